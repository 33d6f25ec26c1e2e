//! The monitor of the client's node: a fresh `obit monitor` for each run, restricted to the client's namespace. All pods
//! live on this one kernel too; what only their side of it shows must not help, or the numbers would not hold for a pod
//! on another node.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::net::Host;

/// How long a monitor may take to load its programs and listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a monitor of another node than the pods' does not see: all pods live on this one kernel.
const FAR_AWAY: [&str; 2] = ["--without", "listener-closed"];

/// How often its socket is tried while it starts.
const RETRY: Duration = Duration::from_millis(20);

/// A running monitor. Killed when dropped.
#[derive(Debug)]
pub struct MonitorProcess {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl MonitorProcess {
    /// Starts `binary` with its socket and log in `directory`, watching the namespace of `client`, and waits until it
    /// accepts subscribers.
    ///
    /// # Errors
    /// When there is no such binary, or it ends or does not listen in time; with what it said.
    pub async fn start(binary: &Path, client: &Host, directory: &Path) -> anyhow::Result<Self> {
        let namespace = client.path();
        let arguments = ["--netns".as_ref(), namespace.as_os_str()];
        Self::start_with(
            binary,
            directory,
            &[&arguments, FAR_AWAY.map(AsRef::as_ref).as_slice()].concat(),
        )
        .await
    }

    /// The same for all namespaces of this machine: where the client has a neighbour.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_for_all(binary: &Path, directory: &Path) -> anyhow::Result<Self> {
        Self::start_with(binary, directory, &FAR_AWAY.map(AsRef::as_ref)).await
    }

    /// The same with every signal and for all namespaces of this machine, as on a node.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_on_the_node(binary: &Path, directory: &Path) -> anyhow::Result<Self> {
        Self::start_with(binary, directory, &[]).await
    }

    async fn start_with(binary: &Path, directory: &Path, arguments: &[&OsStr]) -> anyhow::Result<Self> {
        if !binary.is_file() {
            bail!(
                "no monitor at {}: build it with `cargo xtask build-ebpf && cargo build --release -p obit-monitor`, \
                 or name it with --monitor",
                binary.display()
            );
        }
        let socket = directory.join("obit.sock");
        let log = directory.join("monitor.log");
        let output = File::create(&log).context("the monitor's log")?;
        let child = Command::new(binary)
            .arg("monitor")
            .arg("--socket")
            .arg(&socket)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let mut monitor = Self { child, socket, log };
        match tokio::time::timeout(PATIENCE, monitor.listening()).await {
            Ok(result) => result?,
            Err(_) => bail!(
                "the monitor did not listen within {PATIENCE:?}; it said:\n{}",
                monitor.said()
            ),
        }
        Ok(monitor)
    }

    async fn listening(&mut self) -> anyhow::Result<()> {
        while UnixStream::connect(&self.socket).await.is_err() {
            if let Some(status) = self.exit()? {
                bail!("the monitor ended ({status}); it said:\n{}", self.said());
            }
            tokio::time::sleep(RETRY).await;
        }
        Ok(())
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its pid, until it has been waited for.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it and waits until it is gone, its programs with it.
    ///
    /// # Errors
    /// When it had ended before, or cannot be killed; with what it said.
    pub async fn end(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.exit()? {
            bail!("the monitor ended by itself ({status}); it said:\n{}", self.said());
        }
        self.child.kill().await.context("kill the monitor")
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn exit(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// What it wrote to its log.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_else(|error| format!("({error})"))
    }
}
