//! Runs a program to its end, within a time, and fails with what it said.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::clock;
use crate::interrupt::{self, Woken};

/// How long a program may take that is not told otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program with its arguments, about to run.
#[derive(Debug)]
pub(crate) struct Tool {
    command: Command,
    input: Vec<u8>,
    patience: Duration,
    through: bool,
}

/// A program that runs beside this process, and ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Streaming {
    child: Child,
    reader: Option<JoinHandle<()>>,
}

impl Drop for Streaming {
    fn drop(&mut self) {
        // Its pid cannot be another's: it has not been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    line: String,
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained of.
    pub(crate) stderr: String,
}

impl Tool {
    /// This program. It dies with this process, however that ends.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        // A Ctrl-C at the terminal is for this process alone: what cleans up then is not to be interrupted.
        command.process_group(0);
        Self {
            command,
            input: Vec::new(),
            patience: PATIENCE,
            through: false,
        }
    }

    /// One more argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// More arguments.
    pub(crate) fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// A variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// What it reads on its standard input.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// How long it may take.
    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs also when this process has been asked to end: for cleaning up.
    pub(crate) fn through_interrupts(mut self) -> Self {
        self.through = true;
        self
    }

    /// Runs it and returns what it printed.
    ///
    /// # Errors
    /// When it cannot run, takes too long, or fails: with what it said.
    pub(crate) fn must(self) -> Result<String> {
        let done = self.run()?;
        done.ok()
    }

    /// Lets it run beside this process, and passes on each line it prints, as it comes.
    ///
    /// # Errors
    /// When it cannot run.
    pub(crate) fn stream(mut self, mut each: impl FnMut(&str) + Send + 'static) -> Result<Streaming> {
        let line = spell(&self.command);
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start `{line}`: is util-linux (setpriv) installed?"))?;
        let printed = child.stdout.take();
        let reader = std::thread::spawn(move || {
            let lines = printed.map(|printed| BufReader::new(printed).lines());
            for line in lines.into_iter().flatten().map_while(Result::ok) {
                each(&line);
            }
        });
        Ok(Streaming {
            child,
            reader: Some(reader),
        })
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Errors
    /// When it cannot run or takes too long.
    pub(crate) fn run(mut self) -> Result<Done> {
        let line = spell(&self.command);
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{line}`: is util-linux (setpriv) installed?"))?;
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let feed = feed(&mut child, std::mem::take(&mut self.input));
        let ended = end_of(&mut child, self.patience, self.through);
        if !matches!(ended, Ok(Some(_))) {
            // Its pid cannot be another's: it has not been waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = feed.join();
        let (stdout, stderr) = (text(stdout), text(stderr));
        match ended.with_context(|| format!("`{line}` was not waited for"))? {
            Some(status) => Ok(Done {
                line,
                status,
                stdout,
                stderr,
            }),
            None => bail!(
                "`{line}` took longer than {:?}; it said: {}",
                self.patience,
                said(&stdout, &stderr)
            ),
        }
    }
}

impl Done {
    /// What it printed, if it succeeded.
    ///
    /// # Errors
    /// When it failed: with what it said.
    pub(crate) fn ok(self) -> Result<String> {
        if !self.status.success() {
            bail!(
                "`{}` failed ({}): {}",
                self.line,
                self.status,
                said(&self.stdout, &self.stderr)
            );
        }
        Ok(self.stdout)
    }
}

fn end_of(child: &mut Child, patience: Duration, through: bool) -> Result<Option<ExitStatus>> {
    let pid = rustix::process::Pid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open")?;
    match interrupt::wait(Some(pidfd.as_fd()), clock::now() + patience, through)? {
        Woken::Ready => Ok(Some(child.wait()?)),
        Woken::Late => Ok(None),
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is what there is to show.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn feed(child: &mut Child, input: Vec<u8>) -> JoinHandle<()> {
    let stdin = child.stdin.take();
    std::thread::spawn(move || {
        if let Some(mut stdin) = stdin {
            // A program that ends before it read everything says why on its standard error.
            let _ = stdin.write_all(&input);
        }
    })
}

fn text(reader: JoinHandle<Vec<u8>>) -> String {
    let bytes = reader.join().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The end of what a program said, its complaints if it had any.
fn said<'a>(stdout: &'a str, stderr: &'a str) -> &'a str {
    const MOST: usize = 2_000;
    let said = if stderr.trim().is_empty() { stdout } else { stderr }.trim();
    let mut from = said.len().saturating_sub(MOST);
    while !said.is_char_boundary(from) {
        from += 1;
    }
    &said[from..]
}

/// The command as a person would type it: without what ties it to this process.
fn spell(command: &Command) -> String {
    let words: Vec<_> = command.get_args().skip(3).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_prints_is_returned_and_what_it_is_told_is_read() {
        let printed = Tool::new("cat").input("hello").must().expect("cat");
        assert_eq!(printed, "hello");
    }

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = Tool::new("sh")
            .args(["-c", "echo why >&2; exit 3"])
            .must()
            .expect_err("exit 3");
        assert_eq!(
            error.to_string(),
            "`sh -c echo why >&2; exit 3` failed (exit status: 3): why"
        );
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let patience = Duration::from_millis(50);
        let error = Tool::new("sleep")
            .arg("60")
            .patience(patience)
            .must()
            .expect_err("too long");
        assert!(
            error.to_string().starts_with("`sleep 60` took longer than 50ms"),
            "{error}"
        );
    }

    #[test]
    fn only_the_end_of_a_long_complaint_is_shown() {
        assert_eq!(said("out", " \n"), "out");
        assert_eq!(said("out", "complaint\n"), "complaint");
        assert_eq!(said("", &"é".repeat(1_500)).chars().count(), 1_000);
    }
}
