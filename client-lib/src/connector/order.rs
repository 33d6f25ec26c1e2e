//! In which order a name's addresses are dialled. Pure.

use std::net::SocketAddr;

use crate::Verdict;

/// How much a dial is worth, 0 most.
fn rank(verdict: Verdict) -> u8 {
    match verdict {
        verdict if verdict.takes_work() => 0,
        Verdict::Dead => 2,
        _ => 1,
    }
}

/// What to think of an address of whose ports these things are known: the best of them. Nothing at all is unknown.
#[cfg(feature = "reqwest")]
pub(crate) fn best(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    verdicts
        .into_iter()
        .min_by_key(|verdict| rank(*verdict))
        .unwrap_or_default()
}

/// The addresses worth a dial: those that take work, then suspects and those about to leave, each as the resolver listed
/// them. The dead are left out, unless all are: then each is tried, because a verdict may be wrong and there is nothing to
/// lose.
pub(crate) fn dial_order(addresses: &[(SocketAddr, Verdict)]) -> Vec<SocketAddr> {
    let all_dead = addresses.iter().all(|(_, verdict)| rank(*verdict) == 2);
    let mut order: Vec<_> = addresses
        .iter()
        .filter(|(_, verdict)| all_dead || rank(*verdict) < 2)
        .collect();
    order.sort_by_key(|(_, verdict)| rank(*verdict));
    order.into_iter().map(|(address, _)| *address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([198, 18, 0, last], 80))
    }

    #[test]
    fn the_dead_are_left_out_and_the_doubtful_come_last() {
        let addresses = [
            (address(1), Verdict::Dead),
            (address(2), Verdict::Suspect),
            (address(3), Verdict::Unknown),
            (address(4), Verdict::Draining),
            (address(5), Verdict::Alive),
        ];
        assert_eq!(dial_order(&addresses), [3, 5, 2, 4].map(address));
    }

    #[test]
    fn if_all_are_dead_all_are_tried() {
        let addresses = [(address(1), Verdict::Dead), (address(2), Verdict::Dead)];
        assert_eq!(dial_order(&addresses), [1, 2].map(address));
        assert_eq!(dial_order(&[]), []);
    }

    #[cfg(feature = "reqwest")]
    #[test]
    fn an_address_is_dead_if_it_is_dead_at_every_port() {
        assert_eq!(best([Verdict::Dead, Verdict::Suspect]), Verdict::Suspect);
        assert_eq!(
            best([Verdict::Dead, Verdict::Unknown, Verdict::Draining]),
            Verdict::Unknown
        );
        assert_eq!(best([Verdict::Dead, Verdict::Dead]), Verdict::Dead);
        assert_eq!(best([]), Verdict::Unknown);
    }
}
