//! Builds the tests that run in the virtual machine: linked statically, so that they need nothing of the machine's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::command::{cargo, spell};

/// Naming the target keeps these flags from build scripts and procedural macros, which cannot be static.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const FLAGS_VARIABLE: &str = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS";
/// Optimised, because the machine is emulated: at level 2 the tests took 54 s instead of 95. At level 1 they take 46 and 57 s on the two
/// kernels, and less time to compile.
const FLAGS: &str = "-C target-feature=+crt-static -C opt-level=1 -C debuginfo=0 -C strip=debuginfo";

/// The test targets that run there.
const TESTS: [&str; 3] = ["kernel", "path", "identity"];

/// Tests that measure times, or who of two is first: they say nothing where the processor is emulated.
pub(crate) const LEFT_OUT: [&str; 3] = [
    "an_isolated_refusal_reaches_its_subscriber_at_once",
    "latency::an_isolated_refusal_wakes_the_reader_by_itself",
    "latency::what_is_urgent_is_read_on_the_processor_where_it_was_seen",
];

/// What was built.
pub(crate) struct Built {
    pub(crate) tests: Vec<Binary>,
    /// The programs the tests start. They look for them where they are here.
    pub(crate) programs: Vec<Binary>,
}

/// One of it.
pub(crate) struct Binary {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Builds them with these eBPF programs, and says where they are.
pub(crate) fn tests(programs: &Path) -> Result<Built> {
    let mut command = command(programs);
    let line = spell(&command);
    eprintln!("\x1b[1m   $ {line}\x1b[0m");
    let output = command.stderr(Stdio::inherit()).output().context("cargo")?;
    ensure!(output.status.success(), "`{line}` failed ({})", output.status);
    let messages = String::from_utf8_lossy(&output.stdout);
    let tests = binaries(&messages, true);
    for name in TESTS {
        ensure!(
            tests.iter().any(|test| test.name == name),
            "cargo built no test `{name}`"
        );
    }
    Ok(Built {
        tests,
        programs: binaries(&messages, false),
    })
}

fn command(programs: &Path) -> Command {
    let mut command = cargo(["test", "--no-run", "--message-format=json-render-diagnostics"]);
    command.args(["-p", "obit-monitor", "--features", "obit-monitor/kernel-tests"]);
    command.args(["--target", TARGET]);
    command.args(TESTS.iter().flat_map(|name| ["--test", name]));
    // `RUSTFLAGS` would win over it.
    command.env_remove("RUSTFLAGS").env(FLAGS_VARIABLE, FLAGS);
    // The build looks for them beside itself, and a named target has a folder of its own.
    command.env("OBIT_EBPF_OBJECT", programs);
    command
}

/// The tests, or the other programs, among what cargo says that it made.
fn binaries(messages: &str, tests: bool) -> Vec<Binary> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter(|message| message["profile"]["test"] == tests && message["target"]["kind"] != json!(["custom-build"]))
        .filter_map(|message| {
            Some(Binary {
                name: message["target"]["name"].as_str()?.to_owned(),
                path: message["executable"].as_str()?.into(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_the_programs_they_start_are_told_apart_in_what_cargo_says() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"name":"build-script-build","kind":["custom-build"]},"profile":{"test":false},"executable":"/t/build"}
{"reason":"compiler-artifact","target":{"name":"obit_monitor","kind":["lib"]},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","target":{"name":"obit","kind":["bin"]},"profile":{"test":false},"executable":"/t/obit"}
{"reason":"compiler-artifact","target":{"name":"kernel","kind":["test"]},"profile":{"test":true},"executable":"/t/kernel-1"}
{"reason":"build-finished","success":true}
"#;
        let names = |tests| {
            let found = binaries(messages, tests).into_iter();
            found
                .map(|it| format!("{} {}", it.name, it.path.display()))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(true), ["kernel /t/kernel-1"]);
        assert_eq!(names(false), ["obit /t/obit"]);
    }
}
