//! Applications that ask for what is not there or cannot be: told so, and nobody else is disturbed.

use anyhow::Result;

use crate::stage::Stage;

use super::app::{App, Asker, Caller, NAMESPACE, SLOWEST_MS, now_ms};

/// What they ask for, and words of what they are to be told.
const ASKERS: [Asker<'static>; 2] = [
    Asker {
        pod: "asks-for-nobody",
        service: "nobody",
        namespace: NAMESPACE,
        words: "nobody.obit-e2e",
    },
    Asker {
        pod: "asks-for-no-name",
        service: "Not_A_Name",
        namespace: NAMESPACE,
        words: "Not_A_Name",
    },
];

/// Starts them, and reads what they log.
pub(super) fn bad_input(stage: &Stage) -> Result<String> {
    let app = App::ready(stage)?;
    let at = now_ms();
    let told = app.ask(&ASKERS, is_reason);
    let seen = app.saw(at, (now_ms() - at) / 1_000 + 1);
    told?;
    let figures = seen?.promise(&[Caller::Obit, Caller::ObitDns], SLOWEST_MS)?;
    Ok(format!("both were told; others: {figures}"))
}

/// A failure by name: of a call, or of the whole program.
fn is_reason(line: &str, words: &str) -> bool {
    let failed = line.contains(r#""errors":{""#) || line.starts_with("obit-example: ");
    failed && line.contains(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_failure_that_names_what_was_asked_for() {
        let second =
            r#"{"event":"second","errors":{"Unavailable: no endpoint: nobody.obit-e2e:50051 is no service":3}}"#;
        assert!(is_reason(second, "nobody.obit-e2e"));
        assert!(is_reason(
            "obit-example: \"obit:///Not_A_Name.x:1\" names no port",
            "Not_A_Name"
        ));
        assert!(!is_reason(
            r#"{"event":"start","target":"obit:///nobody.obit-e2e:50051"}"#,
            "nobody.obit-e2e"
        ));
        assert!(!is_reason(r#"{"event":"second","errors":{}}"#, "nobody.obit-e2e"));
    }
}
