//! What `call` prints: one JSON object a line, `event` says which. Fields stay; new ones may come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Line {
    /// The first line.
    Start {
        /// The kind of client, as on the command line.
        client: String,
        /// Whom it calls.
        target: String,
        /// When, milliseconds since 1970.
        at_ms: u64,
    },
    /// A pod answered for the first time.
    Pod {
        /// Its name.
        pod: String,
        /// When its answer came, milliseconds since 1970.
        at_ms: u64,
    },
    /// What came of the calls that ended in one second.
    Second {
        /// Which one, counted from 1.
        second: u64,
        /// When it ended, milliseconds since 1970.
        at_ms: u64,
        /// What came of them.
        #[serde(flatten)]
        figures: Figures,
    },
    /// The last line: all calls that ended.
    End {
        /// When, milliseconds since 1970.
        at_ms: u64,
        /// What came of them.
        #[serde(flatten)]
        figures: Figures,
    },
}

/// What came of calls. Times are from a call's start to its end, whether it was answered or failed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Calls that were answered.
    pub ok: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls that wait for their end now.
    pub in_flight: u64,
    /// How long the oldest of these has waited, milliseconds.
    pub oldest_ms: f64,
    /// The slowest call, milliseconds.
    pub slowest_ms: f64,
    /// The time that half of the calls took at most, milliseconds.
    pub p50_ms: f64,
    /// The time that 99 of 100 calls took at most, milliseconds.
    pub p99_ms: f64,
    /// Calls that each pod answered.
    pub pods: BTreeMap<String, u64>,
    /// How often each failure came; what is too much is in `other`.
    pub errors: BTreeMap<String, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_one_flat_object() {
        let figures = Figures {
            ok: 1,
            pods: BTreeMap::from([("greeter-0".to_owned(), 1)]),
            ..Figures::default()
        };
        let line = Line::Second {
            second: 3,
            at_ms: 1_000,
            figures,
        };
        let text = serde_json::to_string(&line).expect("it is plain data");
        let expected = r#"{"event":"second","second":3,"at_ms":1000,"ok":1,"failed":0,"in_flight":0,"oldest_ms":0.0,"slowest_ms":0.0,"p50_ms":0.0,"p99_ms":0.0,"pods":{"greeter-0":1},"errors":{}}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Line>(&text).expect("it was written above"), line);
    }

    #[test]
    fn fields_that_came_later_are_passed_over() {
        let text = r#"{"event":"pod","pod":"a","at_ms":5,"zone":"z"}"#;
        let pod = Line::Pod {
            pod: "a".to_owned(),
            at_ms: 5,
        };
        assert_eq!(
            serde_json::from_str::<Line>(text).expect("an unknown field is fine"),
            pod
        );
    }
}
