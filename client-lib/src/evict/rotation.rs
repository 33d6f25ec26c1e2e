//! Who is in a balancer's rotation. Pure.

use crate::Verdict;

/// For each endpoint whether it is in rotation.
///
/// Those that take work are in; the dead, the draining and the suspects are out. Suspects stay in while fewer than half of
/// the endpoints would be left without them: so many at once more likely means that the trouble is ours. If nobody would be
/// left at all, everyone is in.
pub(super) fn rotation(verdicts: &[Verdict]) -> Vec<bool> {
    let taking = verdicts.iter().filter(|verdict| verdict.takes_work()).count();
    let panic = taking * 2 < verdicts.len();
    let chosen = |verdict: &Verdict| verdict.takes_work() || (panic && *verdict == Verdict::Suspect);
    if verdicts.iter().any(chosen) {
        verdicts.iter().map(chosen).collect()
    } else {
        vec![true; verdicts.len()]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const ALL: [Verdict; 5] = [
        Verdict::Unknown,
        Verdict::Alive,
        Verdict::Suspect,
        Verdict::Dead,
        Verdict::Draining,
    ];

    #[test]
    fn suspects_stay_while_fewer_than_half_are_left_without_them() {
        use Verdict::{Alive, Dead, Suspect};
        assert_eq!(rotation(&[Alive, Suspect]), [true, false]);
        assert_eq!(rotation(&[Alive, Suspect, Suspect]), [true, true, true]);
        assert_eq!(rotation(&[Alive, Suspect, Dead]), [true, true, false]);
    }

    proptest! {
        #[test]
        fn somebody_is_always_in_and_the_dead_only_when_nobody_else_is(
            verdicts in prop::collection::vec(select(&ALL[..]), 1..20),
        ) {
            let chosen = rotation(&verdicts);
            prop_assert!(chosen.contains(&true));
            for (verdict, chosen) in verdicts.iter().zip(&chosen) {
                prop_assert!(*chosen || !verdict.takes_work());
                if *chosen && matches!(verdict, Verdict::Dead | Verdict::Draining) {
                    prop_assert!(!verdicts.iter().any(|verdict| verdict.takes_work() || *verdict == Verdict::Suspect));
                }
            }
        }
    }
}
