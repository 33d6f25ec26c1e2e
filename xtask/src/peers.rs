//! The lab's peers in other languages: programs that are built where their toolchain is, and named as absent where it is not.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::command::{find_program, run, spell, target_directory, workspace_root};

/// The peers in Go, as the lab knows them.
pub(crate) const GO: [&str; 5] = ["grpc-go", "grpc-go-least-request", "grpc-go-best", "go-http", "article"];

/// Whether their toolchain is here.
pub(crate) fn can_be_built() -> bool {
    find_program("go").is_some()
}

/// Whether the lab is asked for one of them.
pub(crate) fn are_named(arguments: &[OsString]) -> bool {
    let named = |argument: &OsString| {
        argument
            .to_str()
            .is_some_and(|it| GO.iter().any(|name| it.contains(name)))
    };
    arguments.iter().any(named)
}

/// Builds them beside the lab. What cannot be built is said here and is absent in the lab's report.
pub(crate) fn build() -> Result<()> {
    let program = target_directory()?.join("release").join("obit-lab-go");
    // What an older tree had built would be measured in its place.
    let _ = std::fs::remove_file(&program);
    if !can_be_built() {
        eprintln!(
            "No `go` here, so that the lab's peers in Go are absent: install Go 1.26 or later to have them (https://go.dev/dl)"
        );
        return Ok(());
    }
    let mut go = Command::new("go");
    go.current_dir(workspace_root().join("lab/peers/go"))
        .args(["build", "-trimpath", "-o"])
        .arg(&program)
        .arg(".");
    if !run(&mut go)?.success() {
        eprintln!("The lab's peers in Go are absent: `{}` failed, see above", spell(&go));
    }
    Ok(())
}
