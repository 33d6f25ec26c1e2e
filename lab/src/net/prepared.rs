//! A rule set that is ready to take effect: nft is already running inside the namespace and only waits for its input,
//! so the moment it holds is known to about a millisecond.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::topology::command_in;
use super::{NetError, Ruleset};

/// An nft that waits for its input. Dropping it applies nothing.
#[derive(Debug)]
pub struct Prepared {
    nft: Child,
    rules: Ruleset,
    namespace: String,
}

impl Prepared {
    /// Starts nft in this namespace.
    ///
    /// # Errors
    /// When nft cannot be started.
    pub fn new(namespace: &str, rules: Ruleset) -> Result<Self, NetError> {
        let mut command: Command = command_in(namespace, "nft".as_ref());
        let nft = command
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| NetError::Io {
                command: "nft -f -".into(),
                source,
            })?;
        Ok(Self {
            nft,
            rules,
            namespace: namespace.to_owned(),
        })
    }

    /// Lets the rules take effect and returns once they hold.
    ///
    /// # Errors
    /// When nft refuses.
    pub async fn commit(mut self) -> Result<(), NetError> {
        let command = || format!("nft -f - (in {})", self.namespace);
        if let Some(mut stdin) = self.nft.stdin.take() {
            // An nft that ends before it read everything says why on its standard error.
            let _ = stdin.write_all(self.rules.0.as_bytes()).await;
        }
        let command = command();
        let output = self.nft.wait_with_output().await.map_err(|source| NetError::Io {
            command: command.clone(),
            source,
        })?;
        if output.status.success() {
            Ok(())
        } else {
            Err(NetError::Failed {
                command,
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            })
        }
    }
}
