//! The lab's own processes: this binary again, with another subcommand, inside a namespace. None outlives the lab, and
//! only processes started here are ever signalled.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getppid, kill_process, set_parent_process_death_signal, waitid,
};
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use crate::net::Host;

/// Where a program is that was built together with this one.
///
/// # Errors
/// When this program's own path is unknown.
pub fn beside_this_binary(program: &str) -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe().context("the path of this program")?;
    Ok(executable.with_file_name(program))
}

/// The monitor to run: the one that was named, else the one built together with this program.
///
/// # Errors
/// When none was named and this program's own path is unknown.
pub fn monitor_program(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    named.map_or_else(|| beside_this_binary("obit"), Ok)
}

/// Ties this process to the lab that started it: the kernel kills it when its parent ends.
///
/// # Errors
/// When the parent is already gone.
pub fn die_with_parent(parent: u32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("PR_SET_PDEATHSIG")?;
    // The parent may have died before the line above: then this process has already been given to another.
    let expected = i32::try_from(parent).ok().and_then(Pid::from_raw);
    if expected.is_none() || getppid() != expected {
        bail!("the lab that started this process is gone");
    }
    Ok(())
}

/// Characters of a line; longer ones are an error.
const LONGEST_LINE: usize = 64 * 1024;

/// A process of the lab, spoken to in lines. Dropping it kills it and waits until it is gone: the next one may want its port.
#[derive(Debug)]
pub struct LabProcess {
    name: String,
    child: Child,
    stdin: ChildStdin,
    stdout: FramedRead<ChildStdout, LinesCodec>,
}

impl LabProcess {
    /// Starts `obit-lab SUBCOMMAND --parent <this process> ARGUMENTS…` in the namespace of `host`. Its standard error
    /// is the lab's.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(host: &Host, subcommand: &str, arguments: &[String]) -> anyhow::Result<Self> {
        let executable = std::env::current_exe().context("the path of this program")?;
        Self::spawn(host, Self::own(host, &executable, &[subcommand], arguments))
    }

    /// The same with another of the lab's programs, which stands beside this one and has no subcommands.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_other(host: &Host, program: &str, arguments: &[String]) -> anyhow::Result<Self> {
        Self::spawn(host, Self::own(host, &beside_this_binary(program)?, &[], arguments))
    }

    /// The same with variables in its environment.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_told(
        host: &Host,
        subcommand: &str,
        arguments: &[String],
        variables: Vec<(&'static str, String)>,
    ) -> anyhow::Result<Self> {
        let executable = std::env::current_exe().context("the path of this program")?;
        let mut command = Self::own(host, &executable, &[subcommand], arguments);
        command.envs(variables);
        Self::spawn(host, command)
    }

    /// Starts somebody's program, named with its arguments, in the namespace of `host`. It is the first process of a PID
    /// namespace: whatever it starts dies with it, and it dies with this process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_foreign(host: &Host, line: &[&OsStr], variables: Vec<(&'static str, String)>) -> anyhow::Result<Self> {
        let mut command = host.command("setpriv".as_ref());
        command
            .args(["--pdeathsig", "KILL", "--"])
            .args(["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"])
            .args(line)
            .envs(variables);
        Self::spawn(host, command)
    }

    fn own(host: &Host, executable: &Path, subcommand: &[&str], arguments: &[String]) -> Command {
        let mut command = host.command(executable.as_os_str());
        command
            .args(subcommand)
            .args(["--parent", &std::process::id().to_string()])
            .args(arguments);
        command
    }

    fn spawn(host: &Host, mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{:?} in {}", command.as_std(), host.namespace))?;
        let stdin = child.stdin.take().context("a child's standard input")?;
        let stdout = child.stdout.take().context("a child's standard output")?;
        Ok(Self {
            name: host.role.clone(),
            child,
            stdin,
            stdout: FramedRead::new(stdout, LinesCodec::new_with_max_length(LONGEST_LINE)),
        })
    }

    /// What it is in the lab: "client", "pod-0", …
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its pid, until it has been waited for.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The next line it prints; `None` once it prints no more.
    ///
    /// # Errors
    /// When what it prints is no text, or a line without an end.
    ///
    /// # Cancel safety
    /// No line is lost.
    pub async fn next_line(&mut self) -> Result<Option<String>, LinesCodecError> {
        self.stdout.next().await.transpose()
    }

    /// The next line it prints.
    ///
    /// # Errors
    /// When it ends instead.
    pub async fn line(&mut self) -> anyhow::Result<String> {
        match self.next_line().await? {
            Some(line) => Ok(line),
            None => bail!(
                "{} ended unexpectedly ({}); what it said is above",
                self.name,
                self.child.wait().await?
            ),
        }
    }

    /// Waits for the line `expected`.
    ///
    /// # Errors
    /// When it prints something else or ends.
    pub async fn expect(&mut self, expected: &str) -> anyhow::Result<()> {
        let line = self.line().await?;
        if line == expected {
            Ok(())
        } else {
            bail!("{} said {line:?} instead of {expected:?}", self.name)
        }
    }

    /// Sends it a line.
    ///
    /// # Errors
    /// When it no longer reads.
    pub async fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        self.stdin
            .write_all(format!("{line}\n").as_bytes())
            .await
            .with_context(|| format!("{} does not listen", self.name))
    }

    /// Gives it an order.
    ///
    /// # Errors
    /// When it no longer reads.
    pub async fn order(&mut self, order: &impl Serialize) -> anyhow::Result<()> {
        self.tell(&serde_json::to_string(order)?).await
    }

    /// SIGKILLs it and waits until it is gone.
    ///
    /// # Errors
    /// When it had ended before, or cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.child.start_kill().with_context(|| format!("kill {}", self.name))?;
        Ok(self.child.wait().await?)
    }

    /// SIGTERMs it, and does not wait.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        let pid = self
            .child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("{} has ended", self.name))?;
        kill_process(pid, Signal::TERM).with_context(|| format!("terminate {}", self.name))
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn exit(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for LabProcess {
    fn drop(&mut self) {
        // None once it has been waited for; an error when it has just ended by itself.
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        let _ = self.child.start_kill();
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // Only looked at: the runtime collects it.
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        }
    }
}
