//! Counts what test runners print, so that the last line tells the whole truth. Pure, but for [`Tally::close`].

use std::process::ExitCode;

use anyhow::Result;

use crate::host;

/// How many tests passed, failed and were skipped, and which were the last two.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: Vec<String>,
    pub(crate) skipped: Vec<String>,
}

impl Tally {
    /// Takes in one line of what `cargo test` prints: names from the lines of single tests, numbers from the line that
    /// closes a run, which stands even where a test's own output tore the former.
    pub(crate) fn read_line(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, "passed");
            return;
        }
        let Some((name, outcome)) = line.strip_prefix("test ").and_then(|test| test.rsplit_once(" ... ")) else {
            return;
        };
        match outcome.split([',', ' ']).next() {
            Some("FAILED") => self.failed.push(name.to_owned()),
            Some("ignored") => self.skipped.push(name.to_owned()),
            _ => {}
        }
    }

    /// Counts one check that is no test of `cargo test`.
    pub(crate) fn check(&mut self, name: &str, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed.push(name.to_owned());
        }
    }

    /// Counts such a check; why it failed stands with its name in the last lines, which are all that some reports keep.
    pub(crate) fn outcome(&mut self, name: &str, outcome: &Result<()>) {
        match outcome {
            Ok(()) => self.check(name, true),
            Err(error) => self.check(&format!("{name}: {error:#}"), false),
        }
    }

    /// Takes in what was counted elsewhere; names get the place's before them.
    pub(crate) fn absorb(&mut self, place: &str, other: Self) {
        let name = |test: String| format!("{place}: {test}");
        self.passed += other.passed;
        self.failed.extend(other.failed.into_iter().map(name));
        self.skipped.extend(other.skipped.into_iter().map(name));
    }

    /// Prints what was skipped, what failed, and the closing line; the exit code tells whether that is well.
    pub(crate) fn close(&self) -> ExitCode {
        println!();
        for test in &self.skipped {
            println!("skipped: {test}");
        }
        for test in &self.failed {
            println!("failed: {test}");
        }
        println!("{}", self.summary());
        let skip_fails = host::is_ci() && !self.skipped.is_empty();
        if skip_fails {
            eprintln!("in CI a skipped test is a failure");
        }
        if self.failed.is_empty() && !skip_fails {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    /// The closing line.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped.len()
        )
    }
}

/// The number before `word` in "ok. 3 passed; 1 failed; …".
fn count(counts: &str, word: &str) -> usize {
    let words: Vec<_> = counts.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    words
        .windows(2)
        .find(|pair| pair[1] == word)
        .and_then(|pair| pair[0].parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_tests_are_counted_and_the_others_named() {
        let mut tally = Tally::default();
        for line in [
            "running 6 tests",
            "test ledger::refused_is_dead ... ok",
            "test slow one ... noise of a child processok",
            "test a::b - should panic ... ok",
            "test kernel::reset ... FAILED",
            "test src/lib.rs - Feed (line 3) ... ignored",
            "test x ... ignored, needs a second node",
            "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            tally.read_line(line);
        }
        tally.check("formatting", true);
        assert_eq!(tally.failed, ["kernel::reset"]);
        assert_eq!(tally.skipped, ["src/lib.rs - Feed (line 3)", "x"]);
        assert_eq!(tally.summary(), "4 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn what_was_counted_elsewhere_keeps_its_place_in_its_names() {
        let mut there = Tally::default();
        there.check("one", true);
        there.check("two", false);
        there.skipped.push("three".to_owned());
        let mut here = Tally::default();
        here.absorb("Linux 6.1", there);
        assert_eq!(here.summary(), "1 passed, 1 failed, 1 skipped");
        assert_eq!(
            (here.failed, here.skipped),
            (vec!["Linux 6.1: two".to_owned()], vec!["Linux 6.1: three".to_owned()])
        );
    }

    #[test]
    fn a_failed_check_is_named_with_its_reason() {
        let mut tally = Tally::default();
        tally.outcome("docs", &Ok(()));
        tally.check("lints", false);
        tally.outcome("lab: kill", &Err(anyhow::anyhow!("no root").context("the lab")));
        assert_eq!(tally.summary(), "1 passed, 2 failed, 0 skipped");
        assert_eq!(tally.failed, ["lints", "lab: kill: the lab: no root"]);
    }
}
