//! Reads what libFuzzer prints. Pure.

use std::fmt;

/// How far a target is, or was at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) executions: u64,
    /// Places in the code that were reached.
    pub(super) coverage: u64,
    /// Inputs that are worth keeping.
    pub(super) corpus: u64,
    /// Those that were not known before.
    pub(super) new_units: u64,
    /// The input that broke something, or took too long.
    pub(super) artifact: Option<String>,
    ended: bool,
}

impl Progress {
    /// Takes in one line.
    pub(super) fn read_line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix('#') {
            self.read_status(rest);
        } else if let Some(number) = stat(line, "stat::number_of_executed_units:") {
            self.executions = number;
        } else if let Some(number) = stat(line, "stat::new_units_added:") {
            self.new_units = number;
        } else if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.artifact = Some(path.trim().to_owned());
        }
    }

    /// Such as `1024 NEW    cov: 174 ft: 180 corp: 31/2401b lim: 4096 exec/s: 262144 rss: 158Mb`.
    fn read_status(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        let after = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1)?.split('/').next()?.parse().ok()
        };
        let (Some(executions), Some(coverage)) = (words.first().and_then(|it| it.parse().ok()), after("cov:")) else {
            return;
        };
        self.executions = executions;
        self.coverage = coverage;
        self.corpus = after("corp:").unwrap_or(self.corpus);
        self.new_units += u64::from(words.get(1) == Some(&"NEW"));
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn is_running(&self) -> bool {
        self.executions > 0 && !self.ended
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            executions,
            coverage,
            corpus,
            ..
        } = self;
        write!(f, "{executions} runs, coverage {coverage}, corpus {corpus}")
    }
}

fn stat(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix(name)?.trim().parse().ok()
}

/// One line for each target.
pub(super) fn table<'a>(rows: impl Iterator<Item = (&'a str, &'a Progress)>) -> String {
    let mut table = format!(
        "{:<20} {:>12} {:>9} {:>7} {:>9}",
        "target", "executions", "coverage", "corpus", "new units"
    );
    for (target, progress) in rows {
        let Progress {
            executions,
            coverage,
            corpus,
            new_units,
            ..
        } = progress;
        table += &format!("\n{target:<20} {executions:>12} {coverage:>9} {corpus:>7} {new_units:>9}");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Progress {
        let mut progress = Progress::default();
        lines.iter().for_each(|line| progress.read_line(line));
        progress
    }

    #[test]
    fn a_run_is_followed_and_its_end_counts() {
        let begun = [
            "INFO: Seed: 2631992779",
            "#19\tINITED cov: 150 ft: 150 corp: 18/1439b exec/s: 0 rss: 35Mb",
        ];
        assert!(read(&begun).is_running());
        let on = [
            &begun[..],
            &["#700\tNEW    cov: 170 ft: 171 corp: 19/1519b lim: 4096 exec/s: 0 rss: 36Mb L: 80/80 MS: 1 ChangeBit-"],
        ]
        .concat();
        assert_eq!(read(&on).new_units, 1);
        let done = [
            &on[..],
            &[
                "#3447342\tDONE   cov: 174 ft: 174 corp: 31/2401b lim: 4096 exec/s: 265180 rss: 457Mb",
                "stat::number_of_executed_units: 3447342",
                "stat::new_units_added:          25",
            ],
        ]
        .concat();
        assert_eq!(
            read(&done),
            Progress {
                executions: 3_447_342,
                coverage: 174,
                corpus: 31,
                new_units: 25,
                artifact: None,
                ended: false,
            }
        );
    }

    #[test]
    fn the_input_that_broke_something_is_named() {
        let crash = ["artifact_prefix='/t/artifacts/btf/'; Test unit written to /t/artifacts/btf/crash-da39a3ee"];
        assert_eq!(
            read(&crash).artifact.as_deref(),
            Some("/t/artifacts/btf/crash-da39a3ee")
        );
    }

    #[test]
    fn other_lines_change_nothing() {
        let others = [
            "",
            "#",
            "#12",
            "#x NEW cov: 1",
            "###### Recommended dictionary. ######",
            "stat::x: 1",
        ];
        assert_eq!(read(&others), Progress::default());
    }
}
