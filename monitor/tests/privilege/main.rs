//! What `obit monitor` says and does with fewer privileges than root's. Needs root, to give them up.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The user nobody, who has no capability.
const NOBODY: u32 = 65_534;

/// A copy of the binary that anybody may run, wherever the build lies.
fn binary(folder: &Path) -> std::path::PathBuf {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.join("obit");
    std::fs::copy(env!("CARGO_BIN_EXE_obit"), &copy).unwrap();
    copy
}

fn monitor_as_nobody() -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary(folder.path()));
    command
        .args(["monitor", "--socket"])
        .arg(folder.path().join("obit.sock"));
    command.uid(NOBODY).gid(NOBODY).stdin(Stdio::null());
    command
        .output()
        .expect("only root can become nobody: run this test as root")
}

#[test]
fn without_capabilities_one_error_names_those_that_are_missing_and_the_next_step() {
    let output = monitor_as_nobody();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    for word in ["CAP_BPF", "CAP_PERFMON", "setcap"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(output.stdout.is_empty(), "it must not say that it is ready");
}
