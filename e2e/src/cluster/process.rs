//! A process of the cluster that runs until it is stopped, and says what it has to say in a file.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::{clock, interrupt};

/// Started by us, and ended with us. Dropping it kills it and waits until it is gone.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

/// What to start.
#[derive(Debug)]
pub(super) struct Plan {
    name: String,
    command: Command,
}

impl Plan {
    /// `program`, called `name` in messages and logs, in a network namespace.
    pub(super) fn inside(namespace: &str, name: &str, program: impl AsRef<OsStr>) -> Self {
        let mut plan = Self::new(name, "nsenter");
        plan.command.arg(format!("--net=/run/netns/{namespace}")).arg(program);
        plan
    }

    /// `program`, called `name`. The kernel kills it when this thread ends, however that comes about.
    pub(super) fn new(name: &str, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .current_dir("/")
            // A Ctrl-C at the terminal is for this process alone, which ends them in order.
            .process_group(0);
        Self {
            name: name.into(),
            command,
        }
    }

    pub(super) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(super) fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// `NAME=VALUE`, where the value is a path.
    pub(super) fn option(self, name: &str, path: &Path) -> Self {
        let mut option = std::ffi::OsString::from(name);
        option.push("=");
        option.push(path);
        self.arg(option)
    }

    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it. What it says goes to `NAME.log` in the folder, after what is there already.
    pub(super) fn start(mut self, logs: &Path) -> Result<Process> {
        let log = logs.join(format!("{}.log", self.name));
        let said = File::options().create(true).append(true).open(&log);
        let said = said.with_context(|| format!("opening {}", log.display()))?;
        let complained = said.try_clone().context("a log file twice")?;
        let child = self
            .command
            .stdin(Stdio::piped())
            .stdout(said)
            .stderr(complained)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        Ok(Process {
            name: self.name,
            log,
            child,
        })
    }
}

impl Process {
    /// Its pid; it stays its own until the process is dropped.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log file.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Closes its standard input.
    pub(super) fn hang_up(&mut self) {
        self.child.stdin = None;
    }

    /// Waits for its end, so long.
    pub(super) fn await_end(&self, patience: Duration) {
        let pid = rustix::process::Pid::from_child(&self.child);
        // An error when it has ended before: that is what is waited for.
        if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) {
            let _ = interrupt::wait(Some(pidfd.as_fd()), clock::now() + patience, true);
        }
    }

    /// # Errors
    /// When it has ended: with the last it said.
    pub(super) fn runs(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().context("asking after a process")? {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            bail!(
                "{} ended ({status}); {} ends with: {}",
                self.name,
                self.log.display(),
                last(&said)
            );
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error when it has just ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines.
fn last(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_reported_with_the_last_it_said() {
        let logs = tempfile::tempdir().expect("a folder");
        let plan = Plan::new("short", "sh").args(["-c", "echo one; echo why >&2; read line; exit 3"]);
        let mut process = plan.start(logs.path()).expect("sh");
        process.runs().expect("it waits for a line");
        process.hang_up();
        process.child.wait().expect("its end");
        let error = process.runs().expect_err("it ended").to_string();
        assert!(error.starts_with("short ended (exit status: 3)"), "{error}");
        assert!(error.ends_with("one; why"), "{error}");
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let logs = tempfile::tempdir().expect("a folder");
        let process = Plan::new("long", "sleep").arg("60").start(logs.path()).expect("sleep");
        let pid = process.pid();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
