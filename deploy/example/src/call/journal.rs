//! What the callers of this process report to, and what prints its lines.

use std::collections::BTreeSet;
use std::io::Write as _;

use tokio::time::Instant;

use super::tally::Tally;
use crate::lines::Line;

/// Everything that happened until now.
#[derive(Debug)]
pub(super) struct Journal {
    /// When each caller's call began, while it has one.
    calling: Vec<Option<Instant>>,
    met: BTreeSet<String>,
    second: Tally,
    all: Tally,
    seconds: u64,
}

impl Journal {
    pub(super) fn new(callers: usize) -> Self {
        Self {
            calling: vec![None; callers],
            met: BTreeSet::new(),
            second: Tally::new(),
            all: Tally::new(),
            seconds: 0,
        }
    }

    /// A caller begins a call.
    pub(super) fn began(&mut self, caller: usize, now: Instant) {
        self.calling[caller] = Some(now);
    }

    /// Its call ended. A line if the pod that answered is a new one.
    pub(super) fn ended(
        &mut self,
        caller: usize,
        result: &Result<String, String>,
        now: Instant,
        at_ms: u64,
    ) -> Option<Line> {
        let began = self.calling[caller].take()?;
        let took = now.saturating_duration_since(began);
        self.second.ended(result, took);
        self.all.ended(result, took);
        let pod = result.as_ref().ok().filter(|pod| !self.met.contains(*pod))?;
        self.met.insert(pod.clone());
        Some(Line::Pod {
            pod: pod.clone(),
            at_ms,
        })
    }

    /// A second is over.
    pub(super) fn second(&mut self, now: Instant, at_ms: u64) -> Line {
        self.seconds += 1;
        let ended = std::mem::replace(&mut self.second, Tally::new());
        Line::Second {
            second: self.seconds,
            at_ms,
            figures: ended.figures(&self.waiting(now)),
        }
    }

    /// The last line.
    pub(super) fn end(&self, now: Instant, at_ms: u64) -> Line {
        Line::End {
            at_ms,
            figures: self.all.figures(&self.waiting(now)),
        }
    }

    fn waiting(&self, now: Instant) -> Vec<std::time::Duration> {
        let calling = self.calling.iter().flatten();
        calling.map(|began| now.saturating_duration_since(*began)).collect()
    }
}

/// Prints a line at once. Nobody listening is no reason to stop calling.
pub(super) fn print(line: &Line) {
    let Ok(mut text) = serde_json::to_string(line) else {
        return;
    };
    text.push('\n');
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn a_pod_is_new_once_and_a_second_forgets_the_one_before() {
        let start = clock::now();
        let later = start + Duration::from_millis(10);
        let mut journal = Journal::new(2);
        let answer = Ok("a".to_owned());
        journal.began(0, start);
        let met = journal.ended(0, &answer, later, 7);
        assert_eq!(
            met,
            Some(Line::Pod {
                pod: "a".to_owned(),
                at_ms: 7
            })
        );
        journal.began(0, later);
        assert_eq!(journal.ended(0, &answer, later, 8), None);
        journal.began(1, start);
        let Line::Second { second: 1, figures, .. } = journal.second(later, 9) else {
            panic!("the first second");
        };
        assert_eq!((figures.ok, figures.in_flight, figures.oldest_ms), (2, 1, 10.0));
        let Line::Second { second: 2, figures, .. } = journal.second(later, 10) else {
            panic!("the next second");
        };
        assert_eq!(figures.ok, 0);
        let Line::End { figures, .. } = journal.end(later, 11) else {
            panic!("the end");
        };
        assert_eq!(figures.ok, 2);
    }
}
