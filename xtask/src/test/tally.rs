//! Counts what test runners print, so that the last line tells the whole truth. Pure.

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
    fn a_failed_check_is_named() {
        let mut tally = Tally::default();
        tally.check("lints", false);
        assert_eq!(
            (tally.summary().as_str(), tally.failed),
            ("0 passed, 1 failed, 0 skipped", vec!["lints".to_owned()])
        );
    }
}
