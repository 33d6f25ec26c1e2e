//! `obit doctor`, with every privilege, some, and none.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::nobody::Nobody;

/// What it says in JSON, and its exit code.
fn examine(mut command: Command, socket: &Path) -> (Value, i32) {
    let output = run(command.args(["doctor", "--json", "--socket"]).arg(socket));
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (report, output.status.code().unwrap())
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    output
}

/// How the thing of this name stands, and the next step.
fn check<'a>(report: &'a Value, subject: &str) -> (&'a str, &'a str) {
    let mut checks = report["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["subject"] == subject);
    let check = check.unwrap_or_else(|| panic!("nothing about {subject}: {report}"));
    (
        check["state"].as_str().unwrap(),
        check["next"].as_str().unwrap_or_default(),
    )
}

fn every(report: &Value, list: &str, property: &str, value: &Value) {
    let all = report[list].as_array().unwrap();
    assert!(!all.is_empty());
    assert!(all.iter().all(|one| one[property] == *value), "{list}: {all:?}");
}

#[test]
fn to_root_it_says_that_everything_works_after_trying_it() {
    let folder = tempfile::tempdir().unwrap();
    let obit = Command::new(env!("CARGO_BIN_EXE_obit"));
    let (report, code) = examine(obit, &folder.path().join("obit.sock"));
    assert_eq!((report["verdict"].as_str().unwrap(), code), ("works", 0), "{report:#}");
    every(&report, "hooks", "attached", &true.into());
    every(&report, "signals", "available", &true.into());
    every(&report, "checks", "state", &"fine".into());
    assert!(report["capabilities"].as_array().unwrap().contains(&"CAP_BPF".into()));
    assert_eq!(report["user"], 0);
}

#[test]
fn to_nobody_it_names_what_is_missing_and_says_what_it_could_not_try() {
    let nobody = Nobody::with_obit();
    let (report, code) = examine(nobody.command(""), &nobody.socket());
    assert_eq!(
        (report["verdict"].as_str().unwrap(), code),
        ("cannot_work", 2),
        "{report:#}"
    );
    let (state, next) = check(&report, "capabilities");
    assert!(state == "missing" && next.contains("setcap") && next.contains("AmbientCapabilities"));
    every(&report, "hooks", "attached", &Value::Null);
    every(&report, "hooks", "described", &true.into());
    for subject in ["hooks", "signals", "privileges"] {
        assert_eq!(check(&report, subject).0, "untried", "{subject}");
    }
    assert_eq!(report["capabilities"], Value::Array(vec![]));
    // What takes no privilege is known all the same.
    assert_eq!(check(&report, "kernel types").0, "fine");
    assert_eq!(check(&report, "socket").0, "fine");
}

#[test]
fn with_two_capabilities_it_tries_everything_and_misses_only_the_priority() {
    let nobody = Nobody::with_obit();
    let (report, code) = examine(nobody.command("+bpf,+perfmon"), &nobody.socket());
    assert_eq!(
        (report["verdict"].as_str().unwrap(), code),
        ("works_in_part", 1),
        "{report:#}"
    );
    every(&report, "hooks", "attached", &true.into());
    let (state, next) = check(&report, "scheduling");
    assert!(state == "limited" && next.contains("CAP_SYS_NICE"));
    let (report, code) = examine(nobody.command("+bpf,+perfmon,+sys_nice"), &nobody.socket());
    assert_eq!((report["verdict"].as_str().unwrap(), code), ("works", 0), "{report:#}");
}

/// The kernel counts only capabilities of its own first user namespace, and says so only when asked to load something.
#[test]
fn capabilities_that_do_not_count_are_found_out_by_trying() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", env!("CARGO_BIN_EXE_obit")]);
    let (report, code) = examine(command, &folder.path().join("obit.sock"));
    assert_eq!(
        (report["verdict"].as_str().unwrap(), code),
        ("cannot_work", 2),
        "{report:#}"
    );
    assert_eq!(check(&report, "capabilities").0, "fine");
    let (state, next) = check(&report, "hooks");
    assert!(state == "missing" && next.contains("user namespace"), "{report:#}");
    assert_eq!(check(&report, "signals").0, "untried");
}

#[test]
fn a_folder_that_belongs_to_somebody_else_is_named_with_the_command_that_makes_one() {
    let nobody = Nobody::with_obit();
    let foreign = tempfile::tempdir().unwrap();
    std::fs::set_permissions(&foreign, std::fs::Permissions::from_mode(0o755)).unwrap();
    for path in ["obit.sock", "obit/obit.sock"] {
        let (report, code) = examine(nobody.command("+bpf,+perfmon,+sys_nice"), &foreign.path().join(path));
        assert_eq!(code, 2);
        let (state, next) = check(&report, "socket");
        assert!(state == "missing" && next.contains("install -d -o 65534"), "{next}");
    }
}

#[test]
fn people_read_one_line_for_each_thing_and_the_next_step_below_it() {
    let nobody = Nobody::with_obit();
    let output = run(nobody.command("").args(["doctor", "--socket"]).arg(nobody.socket()));
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = said.lines().collect();
    let missing = lines.iter().position(|line| line.starts_with("MISSING  capabilities"));
    let missing = missing.unwrap_or_else(|| panic!("{said}"));
    assert!(lines[missing].contains("CAP_BPF and CAP_PERFMON"), "{said}");
    assert!(lines[missing + 1].trim_start().starts_with("next: "), "{said}");
    assert!(lines.last().is_some_and(|last| last.contains("cannot work")), "{said}");
}
