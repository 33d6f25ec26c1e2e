//! The lab's side of the contract: what a client said, line by line, or where it broke the contract. Pure.

use super::{CallLine, Line};
use crate::workload::{Call, Classes, Observations, Outcome};

/// Characters of a line that are quoted.
const QUOTED: usize = 120;

/// How a client broke the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// A line is none of the contract's.
    #[error("it said {line:?}, which is no line of the contract ({fault}): see docs/lab.md")]
    Rubbish {
        /// The line, or its beginning.
        line: String,
        /// What is wrong with it.
        fault: String,
    },
    /// A line came at the wrong time.
    #[error("it said {said:?} where {expected:?} was due")]
    OutOfTurn {
        /// What it said.
        said: &'static str,
        /// What was due.
        expected: &'static str,
    },
    /// A call that is none, or was told before.
    #[error("it told of call {id} {fault}")]
    Call {
        /// The number it gave.
        id: u64,
        /// What is wrong with it.
        fault: String,
    },
}

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Turn {
    Ready,
    Started,
    Calls,
    Over,
}

/// Everything a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// When the first call was made.
    pub start_ns: u64,
    /// Every call; one that hung ended when the client did.
    pub calls: Vec<Call>,
    /// The error texts, by class.
    pub classes: Vec<String>,
    /// What it told of itself.
    pub observations: Observations,
    /// Whether it stopped because its time was over.
    pub stopped: bool,
}

/// What a client said until now.
#[derive(Debug)]
pub struct Reading {
    turn: Turn,
    pods: Vec<String>,
    told: Vec<bool>,
    classes: Classes,
    said: Said,
    unable: Option<String>,
}

impl Reading {
    /// Of a client that is to make `asked` calls to pods of these names.
    #[must_use]
    pub fn new(asked: u64, pods: Vec<String>) -> Self {
        let asked = usize::try_from(asked).unwrap_or(usize::MAX);
        Self {
            turn: Turn::Ready,
            pods,
            told: vec![false; asked],
            classes: Classes::default(),
            said: Said {
                start_ns: 0,
                calls: Vec::with_capacity(asked),
                classes: Vec::new(),
                observations: Observations::default(),
                stopped: false,
            },
            unable: None,
        }
    }

    /// Why it makes no calls, of a client that cannot do what it was asked for.
    #[must_use]
    pub fn unable(&self) -> Option<&str> {
        self.unable.as_deref()
    }

    /// Whether it waits for `go`.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.turn == Turn::Started
    }

    /// When it started, once it has.
    #[must_use]
    pub fn started_ns(&self) -> Option<u64> {
        (self.turn > Turn::Started).then_some(self.said.start_ns)
    }

    /// Whether it said everything.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.turn == Turn::Over
    }

    /// Takes its next line.
    ///
    /// # Errors
    /// When it breaks the contract.
    pub fn line(&mut self, text: &str) -> Result<(), Breach> {
        let line: Line = serde_json::from_str(text).map_err(|error| Breach::Rubbish {
            line: text.chars().take(QUOTED).collect(),
            fault: error.to_string(),
        })?;
        match (self.turn, line) {
            (Turn::Ready, Line::Ready) => self.turn = Turn::Started,
            (Turn::Ready, Line::Unable { why }) => {
                self.turn = Turn::Over;
                self.unable = Some(why.chars().take(QUOTED).collect());
            }
            (Turn::Started, Line::Started { at_ns }) => (self.turn, self.said.start_ns) = (Turn::Calls, at_ns),
            (Turn::Calls, Line::Call(call)) => self.call(call)?,
            (_, Line::Moved(moved)) => self.said.observations.transitions.push(moved),
            (_, Line::Told(told)) => self.said.observations.told.push(told),
            (Turn::Calls, Line::Done { at_ns, stopped }) => self.over(at_ns, stopped),
            (turn, line) => {
                return Err(Breach::OutOfTurn {
                    said: line.name(),
                    expected: turn.expected(),
                });
            }
        }
        Ok(())
    }

    fn call(&mut self, call: CallLine) -> Result<(), Breach> {
        let CallLine {
            id,
            start_ns,
            end_ns,
            pod,
            error,
        } = call;
        let breach = |fault: String| Breach::Call { id, fault };
        let asked = self.told.len();
        let told = usize::try_from(id).ok().and_then(|id| self.told.get_mut(id));
        let told = told.ok_or_else(|| breach(format!("and {asked} were asked for, from 0")))?;
        if std::mem::replace(told, true) {
            return Err(breach("twice".into()));
        }
        let outcome = match (end_ns, pod, error) {
            (Some(_), Some(pod), None) => {
                let number = self.pods.iter().position(|known| *known == pod);
                let number = number.and_then(|number| u8::try_from(number).ok());
                Outcome::Answered(number.ok_or_else(|| breach(format!("answered by {pod:?}, which is no pod")))?)
            }
            (Some(_), None, Some(error)) => Outcome::Failed(self.classes.class(&error)),
            (None, None, None) => Outcome::Hung,
            _ => {
                return Err(breach(
                    "without \"end_ns\" and one of \"pod\" and \"error\", or with both".into(),
                ));
            }
        };
        let end_ns = end_ns.unwrap_or(start_ns);
        if start_ns < self.said.start_ns || end_ns < start_ns {
            return Err(breach("that began before the start, or ended before it began".into()));
        }
        self.said.calls.push(Call {
            start_ns,
            end_ns,
            outcome,
        });
        Ok(())
    }

    fn over(&mut self, at_ns: u64, stopped: bool) {
        self.turn = Turn::Over;
        self.said.stopped = stopped;
        let hung = self.said.calls.iter_mut().filter(|call| call.outcome == Outcome::Hung);
        hung.for_each(|call| call.end_ns = at_ns.max(call.start_ns));
    }

    /// Everything it said.
    #[must_use]
    pub fn into_said(self) -> Said {
        Said {
            classes: self.classes.into_texts(),
            ..self.said
        }
    }
}

impl Turn {
    fn expected(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Started => "started",
            Self::Calls => "call",
            Self::Over => "nothing",
        }
    }
}

impl Line {
    fn name(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Unable { .. } => "unable",
            Self::Started { .. } => "started",
            Self::Call(_) => "call",
            Self::Moved(_) => "moved",
            Self::Told(_) => "told",
            Self::Done { .. } => "done",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Reading {
        Reading::new(4, vec!["pod-0".into(), "pod-1".into()])
    }

    /// What the last of `lines` breaks.
    fn breach(lines: &[&str]) -> String {
        let mut reading = reading();
        let (last, before) = lines.split_last().unwrap();
        before.iter().for_each(|line| reading.line(line).unwrap());
        reading.line(last).unwrap_err().to_string()
    }

    #[test]
    fn who_cannot_do_what_is_asked_for_says_so_instead_of_being_ready_and_nothing_more() {
        const UNABLE: &str = r#"{"type":"unable","why":"does not do streaming calls"}"#;
        let mut reading = reading();
        reading.line(UNABLE).unwrap();
        assert_eq!(reading.unable(), Some("does not do streaming calls"));
        assert!(!reading.is_ready());
        assert!(
            breach(&[UNABLE, READY]).contains("nothing"),
            "{}",
            breach(&[UNABLE, READY])
        );
        assert!(breach(&[READY, UNABLE]).contains("started"));
    }

    const READY: &str = r#"{"type":"ready"}"#;
    const STARTED: &str = r#"{"type":"started","at_ns":100}"#;

    #[test]
    fn calls_are_answered_failed_or_hung() {
        let mut reading = reading();
        for line in [
            READY,
            STARTED,
            r#"{"type":"call","id":3,"start_ns":100,"end_ns":110,"pod":"pod-1"}"#,
            r#"{"type":"call","id":0,"start_ns":101,"end_ns":120,"error":"reset"}"#,
            r#"{"type":"call","id":2,"start_ns":130}"#,
            r#"{"type":"told","kernel_ns":104,"handled_ns":105}"#,
            r#"{"type":"done","at_ns":900,"stopped":true}"#,
        ] {
            assert!(!reading.is_over());
            reading.line(line).unwrap();
        }
        assert!(reading.is_over());
        let said = reading.into_said();
        let outcomes: Vec<_> = said.calls.iter().map(|call| (call.outcome, call.end_ns)).collect();
        assert_eq!(
            outcomes,
            [
                (Outcome::Answered(1), 110),
                (Outcome::Failed(0), 120),
                (Outcome::Hung, 900)
            ]
        );
        assert_eq!((said.start_ns, said.stopped), (100, true));
        assert_eq!(said.classes, ["reset"]);
        assert_eq!(said.observations.told.len(), 1);
    }

    #[test]
    fn rubbish_is_quoted() {
        let long = "x".repeat(1_000);
        assert!(breach(&["hello"]).contains("\"hello\""));
        assert!(breach(&[&long]).len() < 400);
        assert!(breach(&[r#"{"type":"goodbye"}"#]).contains("goodbye"));
    }

    #[test]
    fn every_line_has_its_turn() {
        for lines in [
            &[STARTED][..],
            &[READY, READY],
            &[READY, r#"{"type":"done","at_ns":1}"#],
            &[READY, STARTED, r#"{"type":"done","at_ns":1}"#, STARTED],
        ] {
            assert!(breach(lines).contains("was due"), "{lines:?}");
        }
    }

    #[test]
    fn a_call_is_told_once_and_is_one_that_was_asked_for() {
        for (call, fault) in [
            (
                r#"{"type":"call","id":4,"start_ns":100,"end_ns":110,"pod":"pod-1"}"#,
                "4 were asked for",
            ),
            (
                r#"{"type":"call","id":1,"start_ns":100,"end_ns":110,"pod":"pod-9"}"#,
                "no pod",
            ),
            (r#"{"type":"call","id":1,"start_ns":100,"end_ns":110}"#, "\"error\""),
            (r#"{"type":"call","id":1,"start_ns":100,"pod":"pod-1"}"#, "\"end_ns\""),
            (
                r#"{"type":"call","id":1,"start_ns":99,"end_ns":110,"pod":"pod-1"}"#,
                "before the start",
            ),
            (
                r#"{"type":"call","id":1,"start_ns":100,"end_ns":99,"pod":"pod-1"}"#,
                "before it began",
            ),
        ] {
            let told = breach(&[READY, STARTED, call]);
            assert!(told.contains(fault), "{told}");
        }
        let call = r#"{"type":"call","id":1,"start_ns":100,"end_ns":110,"pod":"pod-1"}"#;
        assert!(breach(&[READY, STARTED, call, call]).contains("twice"));
    }
}
