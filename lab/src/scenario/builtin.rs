//! The scenarios that come with the lab: the files of `lab/scenarios`.

use std::sync::LazyLock;

use super::Scenario;

/// A name and the file's text.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*]
    };
}

/// In the order in which they are shown: `steady` first, because others are compared with it; then those of streams.
const FILES: [(&str, &str); 25] = files![
    "steady",
    "kill",
    "refused",
    "blackhole",
    "noroute",
    "graceful",
    "scale",
    "rolling",
    "flap",
    "slow",
    "overload",
    "loss",
    "partition",
    "policy",
    "reuse",
    "monitor-dies",
    "steady-client-stream",
    "kill-client-stream",
    "blackhole-client-stream",
    "steady-server-stream",
    "kill-server-stream",
    "blackhole-server-stream",
    "steady-bidi",
    "kill-bidi",
    "blackhole-bidi",
];

static SCENARIOS: LazyLock<Vec<Scenario>> = LazyLock::new(|| {
    let read = |(name, text): &(&str, &str)| Scenario::parse(name, text);
    let scenarios: Result<Vec<_>, _> = FILES.iter().map(read).collect();
    scenarios.unwrap_or_else(|fault| unreachable!("the tests read every file: {fault}"))
});

/// The text of the one of that name.
pub(super) fn text(name: &str) -> Option<&'static str> {
    let named = FILES.iter().find(|(known, _)| *known == name);
    named.map(|(_, text)| *text)
}

/// Every scenario that comes with the lab.
#[must_use]
pub fn builtins() -> &'static [Scenario] {
    &SCENARIOS
}

/// The one of that name.
#[must_use]
pub fn builtin(name: &str) -> Option<&'static Scenario> {
    builtins().iter().find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pod::THINK_TIME;
    use crate::scenario::{Action, Calls, Target};

    #[test]
    fn every_file_of_the_folder_is_a_scenario() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap();
        let mut files: Vec<_> = folder.map(|file| file.unwrap().file_name()).collect();
        let mut names: Vec<_> = builtins()
            .iter()
            .map(|scenario| std::ffi::OsString::from(format!("{}.toml", scenario.name)))
            .collect();
        files.sort_unstable();
        names.sort_unstable();
        assert_eq!(files, names);
    }

    #[test]
    fn the_workload_lasts_as_long_as_the_script() {
        for scenario in builtins() {
            let script = scenario
                .events
                .iter()
                .filter(|event| event.action != Action::RejectHostUnreachable);
            let last = script.map(|event| event.at).max().unwrap_or_default();
            // While nothing goes to or from the client its callers wait.
            let waits = scenario
                .events
                .iter()
                .any(|event| event.on == Target::Client && event.action == Action::Silence);
            let least = THINK_TIME * u32::try_from(scenario.requests).unwrap();
            assert!(
                waits || least >= last + Duration::from_millis(500),
                "{}: {last:?} in {least:?}",
                scenario.name
            );
        }
    }

    #[test]
    fn a_killed_pod_refuses_then_is_silent_then_unreachable() {
        let kill = builtin("kill").unwrap();
        let script: Vec<_> = kill
            .events
            .iter()
            .map(|event| (event.at.as_millis(), event.action))
            .collect();
        assert_eq!(
            script,
            [
                (1_000, Action::Kill),
                (1_200, Action::Silence),
                (21_000, Action::RejectHostUnreachable)
            ]
        );
        assert_eq!(kill.unreachable_from(), Some(Duration::from_secs(21)));
    }

    #[test]
    fn streams_are_told_by_the_name_and_have_the_script_of_unary_calls() {
        for calls in [Calls::ClientStream, Calls::ServerStream, Calls::Bidi] {
            for like in ["steady", "kill", "blackhole"] {
                let variant = builtin(&format!("{like}-{}", calls.name())).unwrap();
                assert_eq!(variant.calls, calls);
                assert_eq!(variant.events, builtin(like).unwrap().events);
                assert_eq!(variant.steady(), format!("steady-{}", calls.name()));
            }
        }
        assert!(builtins()[..16].iter().all(|scenario| scenario.calls == Calls::Unary));
    }

    #[test]
    fn a_blackholed_pod_is_never_killed() {
        let blackhole = builtin("blackhole").unwrap();
        assert!(blackhole.events.iter().all(|event| event.action == Action::Silence));
        assert_eq!(blackhole.unreachable_from(), None);
    }
}
