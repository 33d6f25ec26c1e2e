use super::super::report::State;
use super::*;
use crate::kernel::Signal as Kind;

const HOOKS: [(&str, bool, &[Kind]); 3] = [
    ("inet_sock_set_state", true, &[]),
    ("tcp_retransmit_skb", false, &[Kind::SynRetransmit]),
    ("inet_sk_error_report", false, &[]),
];

fn inspection() -> Inspection {
    let member = |path: &str, needed_for: &str| kernel::Member {
        path: path.into(),
        offset: Some(8),
        needed_for: needed_for.into(),
    };
    Inspection {
        programs: true,
        lacks: vec![],
        members: Ok(vec![
            member("sock.sk_err", "everything"),
            member("tcp_sock.snd_una", "stalled"),
        ]),
        hooks: HOOKS
            .map(|(name, needed, signals)| kernel::Hook {
                name,
                needed,
                signals,
                described: true,
            })
            .to_vec(),
        signals: Kind::ALL.to_vec(),
    }
}

/// A trial in which the kernel refused these hooks.
fn trial(refused: &[&str]) -> Result<Trial, String> {
    let result = |name: &str| refused.contains(&name).then(|| "Permission denied".to_owned());
    Ok(Trial {
        hooks: HOOKS
            .iter()
            .map(|(name, ..)| ((*name).to_owned(), result(name)))
            .collect(),
        doorbells: None,
        keeps_bpf: Ok(false),
    })
}

fn unseen(found: &Inspection, trial: &Result<Trial, String>) -> Vec<&'static str> {
    let all = signals(found, &hooks(&found.hooks, Some(trial)));
    let unseen = all.into_iter().filter(|signal| !signal.available);
    unseen.map(|signal| signal.name).collect()
}

#[test]
fn where_all_hooks_are_attached_all_signals_are_seen() {
    let (found, trial) = (inspection(), trial(&[]));
    let hooks = hooks(&found.hooks, Some(&trial));
    assert_eq!(of_hooks(&hooks, Some(&trial)).state, State::Fine);
    assert_eq!(of_signals(&signals(&found, &hooks), Some(&trial)).state, State::Fine);
}

#[test]
fn a_hook_that_is_refused_takes_its_signals_with_it_and_tells_why() {
    let (found, refused) = (inspection(), trial(&["tcp_retransmit_skb"]));
    assert_eq!(unseen(&found, &refused), ["syn-retransmit"]);
    let check = of_hooks(&hooks(&found.hooks, Some(&refused)), Some(&refused));
    assert_eq!(check.state, State::Limited);
    assert_eq!(check.found, "tcp_retransmit_skb: Permission denied");
    let (found, refused) = (inspection(), trial(&["inet_sock_set_state"]));
    assert_eq!(unseen(&found, &refused).len(), Kind::ALL.len());
    let check = of_hooks(&hooks(&found.hooks, Some(&refused)), Some(&refused));
    assert_eq!(check.state, State::Missing);
}

#[test]
fn a_hook_the_kernel_does_not_describe_is_missed_without_trying() {
    let mut found = inspection();
    found.hooks[2].described = false;
    let hooks = hooks(&found.hooks, None);
    let check = of_hooks(&hooks, None);
    assert!(
        check.state == State::Limited && check.found.starts_with("inet_sk_error_report"),
        "{check}"
    );
    assert_eq!(of_signals(&signals(&found, &hooks), None).state, State::Untried);
}

#[test]
fn a_trial_that_came_to_nothing_is_the_worst() {
    let found = inspection();
    let hooks = hooks(&found.hooks, None);
    let crashed = Err("the process that tries ended early".to_owned());
    assert_eq!(of_hooks(&hooks, Some(&crashed)).state, State::Missing);
    assert_eq!(
        of_signals(&signals(&found, &hooks), Some(&crashed)).state,
        State::Untried
    );
    assert_eq!(tried(Some(&crashed)).len(), 1);
    assert_eq!(tried(Some(&crashed))[0].state, State::Untried);
}

#[test]
fn a_member_that_is_missing_is_named_with_what_it_costs() {
    let mut found = inspection();
    for (lacks, worst) in [
        (vec![], State::Limited),
        (vec![Lack::Member("snd_una")], State::Missing),
    ] {
        found.lacks = lacks;
        if let Ok(members) = &mut found.members {
            members[1].offset = None;
        }
        let checks = types(&found);
        assert_eq!(
            (checks[0].state, checks[0].found.as_str()),
            (State::Fine, "1 of 2 members found")
        );
        assert_eq!(checks[1].state, worst);
        assert!(
            checks[1].found.contains("`tcp_sock.snd_una`, which stalled needs"),
            "{}",
            checks[1]
        );
    }
}

#[test]
fn privileges_that_stay_are_told_of() {
    for (keeps_bpf, state) in [
        (Ok(false), State::Fine),
        (Ok(true), State::Limited),
        (Err("no filter".to_owned()), State::Missing),
    ] {
        let trial = trial(&[]).map(|trial| Trial { keeps_bpf, ..trial });
        assert_eq!(tried(Some(&trial)).last().map(|check| check.state), Some(state));
    }
    let deaf = trial(&[]).map(|trial| Trial {
        doorbells: Some("no perf events".into()),
        ..trial
    });
    let checks = tried(Some(&deaf));
    assert!(
        checks
            .iter()
            .any(|check| check.state == State::Missing && check.subject == "doorbells")
    );
}

#[test]
fn a_reader_at_ordinary_priority_is_a_limit_with_a_next_step() {
    assert_eq!(scheduling(Ok(Scheduling::Fifo)).state, State::Fine);
    assert_eq!(scheduling(Ok(Scheduling::Nice)).state, State::Limited);
    let check = scheduling(Err("Operation not permitted".into()));
    assert!(check.state == State::Limited && check.next.is_some_and(|next| next.contains("CAP_SYS_NICE")));
}
