//! `obit replay`: what it tells of every recording in `tests/recordings`, byte for byte, and of files that are none.
//!
//! When verdicts change on purpose, `OBIT_BLESS=1` writes the expected ones anew; the change then shows in the diff. Most
//! recordings were made of real incidents by the tests of the kernel half (`tests/kernel/recordings.rs`); those in
//! `handmade` are written here.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod damaged;
mod golden;
mod handmade;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn obit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_obit"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

/// Writes a file anew, all at once: other tests may be reading it.
fn write_anew(path: &Path, bytes: &[u8]) {
    let fresh = path.with_added_extension("new");
    fs::write(&fresh, bytes).unwrap();
    fs::rename(fresh, path).unwrap();
}

/// Whether what is expected is to be written anew.
fn bless() -> bool {
    std::env::var_os("OBIT_BLESS").is_some()
}
