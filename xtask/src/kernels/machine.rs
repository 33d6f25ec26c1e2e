//! Boots a kernel in a virtual machine and listens to what its tests say.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::build::LEFT_OUT;
use super::debian::Packages;
use crate::command::spell;
use crate::test::Tally;

/// How long a machine may run, seconds. It takes half a minute where nothing else does anything.
const LIMIT: &str = "600";
/// What `timeout` ends with when it ended what it ran.
const TIMED_OUT: i32 = 124;

/// What init says of itself, among what the tests say.
const MARK: &str = "obit-machine: ";

/// How many lines of the kernel's messages are shown of a machine that did not come to its end.
const LAST_WORDS: usize = 60;

/// How the machine's processors are emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Emulation {
    /// Each by a thread of its own: fast. A race between the two is the suspected cause of a crash that could not be repeated.
    Parallel,
    /// By turns, in one thread: slow.
    ByTurns,
}

/// Boots the package's kernel with this archive; what the tests said. A machine that does not come to its end is booted once
/// more with one thread for both processors: that run counts.
pub(crate) fn boot(packages: &Packages, archive: &Path) -> Result<Tally> {
    eprintln!("\x1b[1m   {} boots\x1b[0m", packages.kernel);
    for test in LEFT_OUT {
        eprintln!("   left out: {test} (it depends on times, and the processor is emulated)");
    }
    let (report, ended) = run(packages, archive, Emulation::Parallel)?;
    if report.done {
        return Ok(report.close(&ended));
    }
    eprintln!(
        "   {ended}. Once more, the processors by turns: then no race between the threads that emulate them is the cause"
    );
    let (report, ended) = run(packages, archive, Emulation::ByTurns)?;
    Ok(report.close(&ended))
}

/// One boot: what was heard, and how the machine ended if it did not come to its end.
fn run(packages: &Packages, archive: &Path, emulation: Emulation) -> Result<(Report, String)> {
    let messages = packages.folder.join("console.log");
    let mut command = command(&packages.image(), archive, &messages, emulation);
    eprintln!("\x1b[1m   $ {}\x1b[0m", spell(&command));
    let mut machine = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("the virtual machine")?;
    let output = machine.stdout.take().context("the virtual machine's output")?;
    let mut report = Report::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("what the virtual machine prints")?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        if !line.starts_with(MARK) {
            println!("{line}");
        }
        report.read_line(line);
    }
    let status = machine.wait().context("the virtual machine")?;
    if !report.done {
        let said = std::fs::read(&messages).context("the kernel's messages")?;
        eprintln!("{}", last_lines(&String::from_utf8_lossy(&said), LAST_WORDS));
    }
    let ended = match status.code() {
        Some(TIMED_OUT) => format!("it had not ended after {LIMIT} s"),
        _ => format!("it ended early ({status})"),
    };
    Ok((report, format!("{ended}; its messages are in {}", messages.display())))
}

/// The last `count` lines of `text`.
fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn command(image: &Path, archive: &Path, messages: &Path, emulation: Emulation) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", LIMIT, "qemu-system-x86_64"]);
    // Emulated everywhere: the same machine wherever the tests run, and nothing of the host's is needed.
    let accelerator = match emulation {
        Emulation::Parallel => "tcg,thread=multi",
        Emulation::ByTurns => "tcg,thread=single",
    };
    command.args(["-accel", accelerator, "-smp", "2", "-m", "1024"]);
    // The kernel's allocator swaps 16 bytes at once where the processor can, and QEMU 7.2 emulates that wrongly: 6.12 has its
    // lists of free memory damaged within seconds, even if nothing but namespaces is made.
    command.args(["-cpu", "qemu64,-cx16"]);
    command.args(["-nodefaults", "-display", "none", "-no-reboot", "-nic", "none"]);
    command.arg("-kernel").arg(image).arg("-initrd").arg(archive);
    command.args(["-append", "console=ttyS0 panic=-1 loglevel=4"]);
    command.arg("-serial").arg(format!("file:{}", messages.display()));
    command.args(["-serial", "stdio"]);
    command
}

/// What has been heard.
#[derive(Default)]
struct Report {
    tally: Tally,
    /// The test binary that runs, and how many failures there were before it.
    running: Option<(String, usize)>,
    done: bool,
}

impl Report {
    fn read_line(&mut self, line: &str) {
        let Some(said) = line.strip_prefix(MARK) else {
            self.tally.read_line(line);
            return;
        };
        match said.split(' ').collect::<Vec<_>>()[..] {
            ["begin", name] => self.running = Some((name.to_owned(), self.tally.failed.len())),
            ["end", name, code] => {
                let before = self.running.take().map_or(0, |(_, before)| before);
                if code != "0" && self.tally.failed.len() == before {
                    self.tally.check(&format!("{name} (it ended early: {code})"), false);
                }
            }
            ["done"] => self.done = true,
            _ => {}
        }
    }

    /// The tally; a machine that did not come to its end has failed.
    fn close(mut self, ended: &str) -> Tally {
        if !self.done {
            let during = self
                .running
                .map_or("outside the tests".into(), |(name, _)| format!("during {name}"));
            self.tally
                .check(&format!("the virtual machine, {during}: {ended}"), false);
        }
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: &[&str]) -> Tally {
        let mut report = Report::default();
        lines.iter().for_each(|line| report.read_line(line));
        report.close("it ended early")
    }

    #[test]
    fn what_the_tests_say_is_counted() {
        let tally = report(&[
            "obit-machine: begin kernel",
            "test place::one ... FAILED",
            "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "obit-machine: end kernel 101",
            "obit-machine: done",
        ]);
        assert_eq!((tally.passed, tally.failed), (3, vec!["place::one".to_owned()]));
    }

    #[test]
    fn a_machine_that_stops_in_the_middle_has_failed() {
        let tally = report(&["obit-machine: begin kernel", "test place::one ... ok"]);
        assert_eq!(tally.failed, ["the virtual machine, during kernel: it ended early"]);
        assert_eq!(
            report(&[]).failed,
            ["the virtual machine, outside the tests: it ended early"]
        );
    }

    #[test]
    fn a_machine_s_last_words_are_its_last_lines() {
        assert_eq!(last_lines("one\ntwo\nthree\n", 2), "two\nthree");
        assert_eq!(last_lines("one\n", 2), "one");
        assert_eq!(last_lines("", 2), "");
    }

    #[test]
    fn a_test_binary_that_dies_without_a_failed_test_has_failed() {
        let tally = report(&[
            "obit-machine: begin kernel",
            "obit-machine: end kernel 139",
            "obit-machine: done",
        ]);
        assert_eq!(tally.failed, ["kernel (it ended early: 139)"]);
    }
}
