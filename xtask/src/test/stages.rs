//! The stages: each begins with its name, and at the end they are listed with the time that each took.

use std::time::Duration;

use crate::clock::{Stopwatch, minutes};

/// The stages up to now.
#[derive(Debug)]
pub(super) struct Stages {
    whole: Stopwatch,
    /// Those begun, and when, counted from the start.
    begun: Vec<(&'static str, Duration)>,
}

impl Stages {
    pub(super) fn start() -> Self {
        Self {
            whole: Stopwatch::start(),
            begun: Vec::new(),
        }
    }

    /// Begins a stage, and so ends the one before.
    pub(super) fn begin(&mut self, name: &'static str) {
        let now = self.whole.elapsed();
        self.begun.push((name, now));
        eprintln!("\n\x1b[1;36m== {name}\x1b[0m (after {})", minutes(now));
    }

    /// Lists them all.
    pub(super) fn close(&self) {
        println!("\n{}", table(&self.begun, self.whole.elapsed()));
    }
}

/// A line for each stage and one for the whole.
fn table(begun: &[(&str, Duration)], end: Duration) -> String {
    let ends = begun.iter().skip(1).map(|(_, next)| *next).chain([end]);
    let took = begun.iter().zip(ends).map(|((name, begin), end)| (*name, end - *begin));
    let lines = took.chain([("all stages", end)]);
    let lines: Vec<_> = lines
        .map(|(name, took)| format!("{:>12}  {name}", minutes(took)))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_lasts_until_the_next_begins() {
        let begun = [("one", Duration::ZERO), ("two", Duration::from_secs(70))];
        let told = table(&begun, Duration::from_secs(75));
        assert_eq!(told, "  1 min 10 s  one\n         5 s  two\n  1 min 15 s  all stages");
        assert_eq!(table(&[], Duration::ZERO), "         0 s  all stages");
    }
}
