//! How a run goes, each second, while it goes: what the pods have answered by then, as their journals have it. What failed only the
//! client knows, and says when it is over.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pod::finished;

/// Tells once a second, on the line that the run's name stands on; where standard error is no terminal, nothing. Never returns.
///
/// # Cancel safety
/// Cancel safe: the line is cleared by [`clear`].
pub(super) async fn tell(name: &str, journals: &[PathBuf]) -> std::convert::Infallible {
    if !std::io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let second = Duration::from_secs(1);
    let mut before = answered(journals);
    for number in 1_u64.. {
        tokio::time::sleep(second).await;
        let now = answered(journals);
        eprint!(
            "\r{name} ... {number} s, {} answered, {} a second\x1b[K",
            now,
            now.saturating_sub(before)
        );
        before = now;
    }
    std::future::pending().await
}

/// Makes room on the line for what came of the run.
pub fn clear(name: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{name} ... \x1b[K");
    }
}

fn answered(journals: &[PathBuf]) -> u64 {
    let read = |path: &PathBuf| -> u64 { std::fs::read(path as &Path).map_or(0, |journal| finished(&journal)) };
    journals.iter().map(read).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::Journal;

    #[test]
    fn answers_are_counted_over_all_pods_and_pods_without_a_journal_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["pod-0", "pod-1", "pod-2"].map(|name| folder.path().join(name));
        for path in &paths[..2] {
            let mut journal = Journal::open(path, 10).unwrap();
            journal.received(3).unwrap();
            journal.received(4).unwrap();
            journal.finished(4).unwrap();
        }
        assert_eq!(answered(&paths), 2);
    }
}
