//! The client library's public API, held against the one that is kept in the repository: it does not change unnoticed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use public_api::Builder;
use serde_json::Value;

use super::Tally;
use super::features::LIBRARY;
use crate::command::{cargo, must, output, target_directory, workspace_root};

/// The API as it is kept, from the workspace's root.
const KEPT: &str = "client-lib/public-api.txt";

/// Of rustdoc's JSON: the version that `public-api` reads, and the Rust that writes it. Another Rust may write another.
const FORMAT: u64 = 57;
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// What a run of the tests counts.
const CHECK: &str = "public API of the library";

/// What `cargo xtask public-api` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Keeps the API as it is now
    #[arg(long)]
    write: bool,
}

/// Compares, or writes what is compared with.
pub(crate) fn public_api(arguments: &Arguments) -> Result<ExitCode> {
    let now = match api()? {
        Api::Items(items) => items,
        Api::OtherRust(reason) => bail!(reason),
    };
    let file = workspace_root().join(KEPT);
    if arguments.write {
        fs::write(&file, now).with_context(|| format!("cannot write {}", file.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(if is_as_kept(&file, &now)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Compares; skipped with a Rust whose rustdoc writes what cannot be read.
pub(super) fn check(tally: &mut Tally) {
    let passed = api().and_then(|api| match api {
        Api::Items(now) => is_as_kept(&workspace_root().join(KEPT), &now).map(Some),
        Api::OtherRust(reason) => {
            eprintln!("   skipped: {reason}");
            Ok(None)
        }
    });
    match passed {
        Ok(Some(passed)) => tally.check(CHECK, passed),
        Ok(None) => tally.skipped.push(CHECK.to_owned()),
        Err(error) => tally.outcome(CHECK, &Err(error)),
    }
}

/// The library's API with all features.
enum Api {
    /// An item a line.
    Items(String),
    /// This Rust cannot tell; which one can.
    OtherRust(String),
}

fn api() -> Result<Api> {
    let json = rustdoc_json()?;
    let text = fs::read_to_string(&json).with_context(|| format!("cannot read {}", json.display()))?;
    let format = serde_json::from_str::<Value>(&text).context("rustdoc's JSON")?["format_version"].as_u64();
    if format != Some(FORMAT) {
        let version = output(std::process::Command::new("rustc").arg("--version")).unwrap_or_default();
        return Ok(Api::OtherRust(other_rust(version.trim(), format)));
    }
    // Without what every type has.
    let api = Builder::from_rustdoc_json(json).omit_blanket_impls(true).build()?;
    Ok(Api::Items(relied_on(&api.to_string())))
}

/// Without the traits that the compiler gives by itself and that no program relies on. `Send`, `Sync` and `Unpin` stay.
fn relied_on(items: &str) -> String {
    let nobodys = [
        "core::marker::Freeze",
        "core::marker::UnsafeUnpin",
        "core::panic::unwind_safe::",
    ];
    let lines = items.lines();
    let lines = lines.filter(|line| !line.starts_with("impl") || !nobodys.iter().any(|name| line.contains(name)));
    lines.map(|line| format!("{line}\n")).collect()
}

/// What to do about a Rust whose rustdoc writes `format`.
fn other_rust(version: &str, format: Option<u64>) -> String {
    let format = format.map_or("none".to_owned(), |format| format.to_string());
    format!(
        "the public API is read from version {FORMAT} of rustdoc's JSON, which Rust {RUST} writes; this is {version} with \
         version {format}. Next: run it with `cargo +{RUST} xtask`"
    )
}

/// Documents the library as JSON, and says where it lies.
fn rustdoc_json() -> Result<PathBuf> {
    let json = target_directory()?.join("doc").join(format!("{LIBRARY}.json"));
    // So that none of another time is read.
    if json.exists() {
        fs::remove_file(&json).with_context(|| format!("cannot remove {}", json.display()))?;
    }
    let arguments = [
        "rustdoc",
        "--quiet",
        "-p",
        LIBRARY,
        "--lib",
        "--all-features",
        "--",
        "-Zunstable-options",
        "--output-format=json",
    ];
    must(cargo(arguments).env("RUSTDOC", workspace_root().join("xtask/rustdoc-unstable.sh")))?;
    Ok(json)
}

/// Whether the API is as `file` says. If not, prints what changed and what to do.
fn is_as_kept(file: &Path, now: &str) -> Result<bool> {
    let kept = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let changes = changes(&kept, now);
    if changes.is_empty() {
        return Ok(true);
    }
    for change in changes {
        eprintln!("   {change}");
    }
    eprintln!(
        "   The public API is not as {KEPT} says. Next: if that is meant, `cargo xtask public-api --write`, and a line in \
         CHANGELOG.md"
    );
    Ok(false)
}

/// The items that are gone, with `-`, and the new ones, with `+`; what belongs together side by side.
fn changes(kept: &str, now: &str) -> Vec<String> {
    let (kept, now): (BTreeSet<_>, BTreeSet<_>) = (kept.lines().collect(), now.lines().collect());
    let gone = kept.difference(&now).map(|item| (*item, '-'));
    let new = now.difference(&kept).map(|item| (*item, '+'));
    let all: BTreeSet<_> = gone.chain(new).collect();
    all.into_iter().map(|(item, sign)| format!("{sign} {item}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named_and_the_order_of_items_is_no_change() {
        let kept = "pub fn a()\npub fn b(u8)\npub struct C\n";
        assert!(changes(kept, "pub struct C\npub fn b(u8)\npub fn a()\n").is_empty());
        assert_eq!(
            changes(kept, "pub fn a()\npub fn b(u16)\npub struct C\npub struct D\n"),
            ["+ pub fn b(u16)", "- pub fn b(u8)", "+ pub struct D"]
        );
    }

    #[test]
    fn of_the_traits_a_type_has_by_itself_those_stay_that_programs_rely_on() {
        let items = "pub struct A\nimpl core::marker::Freeze for A\nimpl core::marker::Send for A\n";
        assert_eq!(relied_on(items), "pub struct A\nimpl core::marker::Send for A\n");
    }

    #[test]
    fn another_rust_is_told_which_one_it_takes() {
        let reason = other_rust("rustc 1.99.0", Some(70));
        assert!(reason.contains("rustc 1.99.0 with version 70"), "{reason}");
        assert!(reason.contains("cargo +1.95 xtask"), "{reason}");
    }
}
