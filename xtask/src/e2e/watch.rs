//! Runs a command of Go's that says nothing for minutes, and shows how far it is: in one line on a terminal, elsewhere now and then.

use std::io::{BufRead, BufReader, IsTerminal as _, Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::progress::Progress;
use crate::clock::Stopwatch;
use crate::command::spell;

/// How often progress is shown on a terminal, and elsewhere.
const TERMINAL: Duration = Duration::from_secs(1);
const ELSEWHERE: Duration = Duration::from_secs(30);

/// Runs the command to its end and shows its progress under this title; what it printed on standard output.
///
/// # Errors
/// It cannot be started, or it fails: what it said then has been shown.
pub(super) fn watch(title: &str, command: &mut Command, progress: &mut Progress) -> Result<String> {
    let line = spell(command);
    let mut screen = Screen::new(title);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let said = child.stderr.take().context("what Go says")?;
    let mut printed = child.stdout.take().context("what Go prints")?;
    let printed = std::thread::spawn(move || {
        let mut text = String::new();
        printed.read_to_string(&mut text).map(|_| text)
    });
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    loop {
        match receiver.recv_timeout(screen.next()) {
            Ok(line) => {
                if !progress.read_line(&line) {
                    screen.message(&line);
                }
            }
            Err(RecvTimeoutError::Timeout) => screen.show(progress),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child.wait().with_context(|| format!("`{line}`"))?;
    screen.end(progress);
    let printed = printed.join().unwrap_or_else(|_| Ok(String::new()));
    if !status.success() {
        bail!("`{line}` failed ({status}); what it said is above");
    }
    printed.with_context(|| format!("what `{line}` printed"))
}

/// The line that tells of one command.
struct Screen<'a> {
    title: &'a str,
    terminal: bool,
    watch: Stopwatch,
    /// When the line is due next, counted from the start.
    due: Duration,
}

impl<'a> Screen<'a> {
    fn new(title: &'a str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            title,
            terminal,
            watch: Stopwatch::start(),
            due: if terminal { TERMINAL } else { ELSEWHERE },
        }
    }

    /// How long until the line is due.
    fn next(&self) -> Duration {
        self.due.saturating_sub(self.watch.elapsed())
    }

    fn show(&mut self, progress: &Progress) {
        let elapsed = self.watch.elapsed();
        self.due = elapsed + if self.terminal { TERMINAL } else { ELSEWHERE };
        self.print(&progress.tell(elapsed), if self.terminal { "" } else { "\n" });
    }

    /// What is no progress stands in a line of its own.
    fn message(&self, line: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!("{clear}{line}");
    }

    fn end(&self, progress: &Progress) {
        self.print(&progress.tell(self.watch.elapsed()), "\n");
    }

    fn print(&self, told: &str, end: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        eprint!("{clear}   {}: {told}{end}", self.title);
        // A terminal that is gone is no reason to end a build.
        let _ = std::io::stderr().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_command_prints_is_given_back_and_what_it_says_is_counted() {
        let mut progress = Progress::default();
        let script = "echo out; echo a/b >&2; echo 'go: downloading a v1' >&2; echo c >&2";
        assert_eq!(watch("test", &mut shell(script), &mut progress).unwrap(), "out\n");
        assert_eq!(progress.tell(Duration::ZERO), "2 packages, 0 s");
    }

    #[test]
    fn a_command_that_fails_is_named() {
        let mut progress = Progress::default();
        let error = watch("test", &mut shell("exit 3"), &mut progress).unwrap_err();
        assert!(error.to_string().contains("exit 3"), "{error}");
    }

    #[test]
    fn much_output_on_both_sides_blocks_nobody() {
        let mut progress = Progress::default();
        let script = "seq 20000; seq 20000 >&2";
        let printed = watch("test", &mut shell(script), &mut progress).unwrap();
        assert_eq!(printed.lines().count(), 20_000);
        assert_eq!(progress.tell(Duration::ZERO), "20000 packages, 0 s");
    }
}
