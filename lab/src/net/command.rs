//! Runs `ip` and `nft`, and says in one sentence what to do when they cannot run.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Why the lab's network could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A tool is not installed.
    #[error("`{tool}` is missing: install it (Debian: apt-get install {package}) and run this again")]
    ToolMissing {
        /// The program.
        tool: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The lab builds namespaces, which needs root.
    #[error("the lab builds network namespaces and needs root: run it with sudo")]
    NotRoot,
    /// A tool ran and failed.
    #[error("`{command}` failed: {stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// What it printed.
        stderr: String,
    },
    /// A tool could not be started or waited for.
    #[error("`{command}` could not be run")]
    Io {
        /// The command line.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// A topology has 1 to 200 pods.
    #[error("a topology has 1 to 200 pods, not {0}")]
    PodCount(usize),
}

/// The Debian package of a tool.
fn package(tool: &str) -> &'static str {
    if tool == "nft" { "nftables" } else { "iproute2" }
}

/// Fails unless this process may build namespaces.
///
/// # Errors
/// [`NetError::NotRoot`].
pub fn require_root() -> Result<(), NetError> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(NetError::NotRoot)
    }
}

/// Fails unless `ip` and `nft` can be run.
///
/// # Errors
/// [`NetError::ToolMissing`] with the package to install.
pub fn require_tools() -> Result<(), NetError> {
    run("ip", &["-V"], "")?;
    run("nft", &["--version"], "")?;
    Ok(())
}

/// Runs `tool` with `input` on its standard input and returns what it printed.
pub(super) fn run(tool: &'static str, arguments: &[&str], input: &str) -> Result<String, NetError> {
    let command = || format!("{tool} {}", arguments.join(" "));
    let io = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => NetError::ToolMissing {
            tool,
            package: package(tool),
        },
        _ => NetError::Io {
            command: command(),
            source,
        },
    };
    let mut child = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that ends before it read everything says why on its standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(io)?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(NetError::Failed {
            command: command(),
            stderr,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_named_with_the_package_to_install() {
        let error = run("no-such-tool-of-the-lab", &[], "").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`no-such-tool-of-the-lab` is missing: install it (Debian: apt-get install iproute2) and run this again"
        );
    }

    #[test]
    fn a_failing_tool_is_quoted() {
        let error = run("sh", &["-c", "cat >&2; exit 3"], "what it said").unwrap_err();
        assert!(
            matches!(error, NetError::Failed { ref stderr, .. } if stderr == "what it said"),
            "{error:?}"
        );
    }
}
