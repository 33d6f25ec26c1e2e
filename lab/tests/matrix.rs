//! A tiny matrix on real namespaces, cut off, gone on with and reported. Needs root, iproute2 and nft; fails where they are missing.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn lab(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_obit-lab"));
    command.args(arguments).output().unwrap()
}

/// A pod is killed under tonic, and under a client that does not keep the contract; both between callers that take a second and a half.
fn matrix(folder: &str) -> Output {
    lab(&[
        "matrix",
        "--out",
        folder,
        "--trials",
        "1",
        "--scenario",
        "kill",
        "--client",
        "tonic",
        "--exec",
        "echo rubbish",
        "--concurrency",
        "20",
        "--requests",
        "150",
        "--seed",
        "1",
    ])
}

fn documents(folder: &Path) -> Vec<(String, Value)> {
    let files = std::fs::read_dir(folder.join("runs")).unwrap();
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let file = file.unwrap();
        let document = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
        (file.file_name().into_string().unwrap(), document)
    };
    let mut documents: Vec<_> = files.map(read).collect();
    documents.sort_by(|one, two| one.0.cmp(&two.0));
    documents
}

#[test]
fn a_matrix_keeps_every_run_goes_on_where_it_was_cut_off_and_is_reported() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("matrix");
    let path = folder.to_str().unwrap();
    let output = matrix(path);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "a client broke the contract: {said}");
    let kept = documents(&folder);
    let names: Vec<_> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "0001-trial1-tonic-steady.json",
            "0002-trial1-tonic-kill.json",
            "0003-trial1-echo-steady.json",
            "0004-trial1-echo-kill.json"
        ],
        "{said}"
    );
    let kill = &kept[1].1["outcome"]["measured"];
    assert_eq!(kill["victim"], "pod-1", "{kill}");
    assert!(kill["success"].as_u64().unwrap() + kill["fail"].as_u64().unwrap() == 3_000 && kill["fail"] != 0);
    let fault = kept[3].1["outcome"]["fault"].as_str().unwrap();
    assert!(fault.contains("rubbish"), "{fault}");

    // As after a crash between two runs: only what is missing is made again.
    std::fs::remove_file(folder.join("runs").join(names[1])).unwrap();
    let again = String::from_utf8_lossy(&matrix(path).stderr).into_owned();
    assert!(again.contains("1 of 4 runs left"), "{again}");
    let twice = documents(&folder);
    assert_eq!((twice.len(), &twice[0], &twice[2]), (4, &kept[0], &kept[2]));

    let output = lab(&["report", path]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("rubbish"), "{page}");
    let output = lab(&["report", path, "--markdown"]);
    let tables = String::from_utf8(output.stdout).unwrap();
    assert!(
        tables.contains("### `kill`") && tables.contains("| tonic | "),
        "{tables}"
    );
}
