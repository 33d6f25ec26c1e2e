//! The lab on real namespaces, kept short. Needs root, iproute2 and nft; fails where they are missing.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_obit-lab"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Held shared by every test that runs labs, alone by the one that leaves something behind.
static LABS: RwLock<()> = RwLock::new(());

/// Runs a lab to its end; its pid and what it printed.
fn run(arguments: &[&str]) -> (u32, Output) {
    let child = lab(arguments).spawn().unwrap();
    (child.id(), child.wait_with_output().unwrap())
}

/// [`run`] beside the labs of other tests.
fn finished(arguments: &[&str]) -> (u32, Output) {
    let _beside = LABS.read().unwrap_or_else(PoisonError::into_inner);
    run(arguments)
}

/// The namespaces of the lab with this pid.
fn namespaces(pid: u32) -> Vec<String> {
    let output = Command::new("ip").args(["netns", "list"]).output().expect("ip runs");
    assert!(output.status.success(), "{output:?}");
    let names = String::from_utf8(output.stdout).unwrap();
    let names = names.lines().filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| name.starts_with(&format!("obit-lab-{pid}-")))
        .map(str::to_owned)
        .collect()
}

/// The processes in a namespace.
fn processes(namespace: &str) -> String {
    let output = Command::new("ip")
        .args(["netns", "pids", namespace])
        .output()
        .expect("ip runs");
    String::from_utf8(output.stdout).unwrap()
}

/// Asks again, for ten seconds at most, until `reached`: what is waited for happens in another process.
#[expect(clippy::disallowed_methods, reason = "another process gives no event to wait for")]
fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if reached() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: not within ten seconds");
}

/// Starts a long lab and waits until its workload runs.
fn start_long() -> Child {
    let mut child = lab(&[
        "steady",
        "--client",
        "tonic",
        "--concurrency",
        "5",
        "--requests",
        "3000",
    ])
    .spawn()
    .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    // Before it says what it does, it may say what an earlier lab had left behind.
    while !said.lines().any(|line| line.starts_with("5 callers x 3000 calls")) {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    // Read to the end elsewhere: a lab must not fail for want of a reader.
    std::thread::spawn(move || stderr.read_to_string(&mut String::new()));
    let client = format!("obit-lab-{}-client", child.id());
    wait_until("the workload runs", || !processes(&client).trim().is_empty());
    child
}

#[test]
fn a_short_steady_run_answers_every_call_and_leaves_nothing_behind() {
    let (pid, output) = finished(&[
        "steady",
        "--client",
        "tonic",
        "--concurrency",
        "50",
        "--requests",
        "20",
        "--seed",
        "1",
        "--json",
    ]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let line: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (line["scenario"].as_str(), line["client"].as_str()),
        (Some("steady"), Some("tonic"))
    );
    assert_eq!(
        (line["success"].as_u64(), line["fail"].as_u64()),
        (Some(1_000), Some(0))
    );
    let pods = line["load_balance"].as_object().unwrap();
    assert_eq!(pods.len(), 5);
    assert_eq!(pods.values().filter_map(Value::as_u64).sum::<u64>(), 1_000);
    assert!(line["p50_ms"].as_f64().unwrap() >= 10.0, "{line}");
    assert_eq!(namespaces(pid), Vec::<String>::new());
}

#[test]
fn a_killed_pod_answers_no_more_and_the_report_says_who_died() {
    let (pid, output) = finished(&[
        "kill",
        "--client",
        "tonic",
        "--concurrency",
        "20",
        "--requests",
        "150",
        "--seed",
        "1",
    ]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout.matches("(died)").count(), 1, "{stdout}");
    assert!(
        stdout.contains("tonic kill: ") && stdout.contains("Connection refused"),
        "{stdout}"
    );
    assert_eq!(namespaces(pid), Vec::<String>::new());
}

#[test]
fn streams_are_cut_by_a_death_and_compared_with_streams_that_nothing_befalls() {
    let (pid, output) = finished(&[
        "kill-bidi",
        "--client",
        "tonic",
        "--concurrency",
        "20",
        "--requests",
        "150",
        "--seed",
        "1",
        "--json",
    ]);
    let (stdout, stderr) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{stderr}");
    let line: Value = serde_json::from_str(&stdout).unwrap();
    let calls = |outcome: &str| line[outcome].as_u64().unwrap();
    assert!(calls("fail") > 0 && calls("success") > 2_000, "{line}");
    assert!(line["steady_ratio"].is_number(), "{line}");
    assert_eq!(stderr.matches("tonic steady-bidi ... ").count(), 2, "{stderr}");
    assert_eq!(namespaces(pid), Vec::<String>::new());
}

#[test]
fn a_run_that_ends_before_the_death_is_refused_and_leaves_nothing_behind() {
    let (pid, output) = finished(&[
        "kill",
        "--client",
        "tonic",
        "--concurrency",
        "5",
        "--requests",
        "5",
        "--json",
    ]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(stderr.contains("refused: the workload ended"), "{stderr}");
    assert!(output.stdout.is_empty(), "a refused run is not recorded");
    assert_eq!(namespaces(pid), Vec::<String>::new());
}

#[test]
fn a_missing_monitor_is_named_and_leaves_nothing_behind() {
    let (pid, output) = finished(&["steady", "--client", "obit", "--monitor", "/nowhere/obit"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        stderr.contains("no monitor at /nowhere/obit") && stderr.contains("cargo xtask build-ebpf"),
        "{stderr}"
    );
    assert_eq!(namespaces(pid), Vec::<String>::new());
}

#[test]
fn a_bench_without_a_monitor_names_it_and_leaves_nothing_behind() {
    for (bench, part) in [("monitor", "stall"), ("client", "golem")] {
        let (pid, output) = finished(&[
            "bench",
            bench,
            "--trial",
            "--pairs",
            "1",
            part,
            "--monitor",
            "/nowhere/obit",
        ]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(
            stderr.contains(&format!("{part}: no monitor at /nowhere/obit")),
            "{stderr}"
        );
        assert!(output.stdout.is_empty(), "nothing was measured");
        assert_eq!(namespaces(pid), Vec::<String>::new());
    }
}

/// What a comparison of two files of results prints, and its exit code.
fn compared(a: &str, b: &str) -> (Option<i32>, Vec<Value>) {
    let output = lab(&["bench", "diff", a, b, "--json"]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code(), lines)
}

#[test]
fn benches_are_gathered_in_a_file_that_can_be_compared_and_a_part_that_fails_is_named_in_it() {
    let place = tempfile::tempdir().unwrap();
    let [well, ill] = ["well.json", "ill.json"].map(|name| place.path().join(name).display().to_string());
    let gather = |out: &str, more: &[&str]| {
        let mut arguments = vec!["bench", "--trial", "--out", out, "--part", "client/map-read"];
        arguments.extend(["--part", "lab/kill"]);
        arguments.extend(more);
        let (pid, output) = finished(&arguments);
        assert_eq!(namespaces(pid), Vec::<String>::new());
        let file: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
        (output, file)
    };
    let (output, file) = gather(&well, &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(
        file["whole"] == true && file["failed"] == serde_json::json!([]),
        "{file}"
    );
    let rows: Vec<_> = file["rows"].as_array().unwrap().iter().collect();
    let names: Vec<_> = rows.iter().map(|row| row["quantity"].as_str().unwrap()).collect();
    let lab = ["elapsed", "failed calls", "slowest call", "out of rotation"];
    assert_eq!(names, [&["a reading"][..], &lab].concat());
    assert_eq!(rows[1]["values"]["ratio"].as_array().unwrap().len(), 1, "{file}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("client\n") && stdout.contains("lab\n"), "{stdout}");

    let (code, lines) = compared(&well, &well);
    assert_eq!((code, lines.len()), (Some(0), 5), "{lines:?}");

    let (output, file) = gather(&ill, &["--monitor", "/nowhere/obit"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        file["whole"] == true && file["rows"].as_array().unwrap().len() == 1,
        "{file}"
    );
    let failed = &file["failed"][0];
    assert_eq!((&failed["suite"], &failed["part"]), (&"lab".into(), &"kill".into()));
    assert!(
        failed["error"]
            .as_str()
            .unwrap()
            .contains("no monitor at /nowhere/obit")
    );
    let (code, lines) = compared(&well, &ill);
    assert_eq!(code, Some(1));
    assert_eq!(
        lines.iter().filter(|line| line["verdict"] == "failed").count(),
        4,
        "{lines:?}"
    );
    assert_eq!(compared(&well, "/nowhere/b.json").0, Some(2));
}

#[test]
fn a_gathered_bench_that_is_interrupted_leaves_a_file_that_says_so() {
    let _beside = LABS.read().unwrap_or_else(PoisonError::into_inner);
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("cut.json").display().to_string();
    let parts = ["--part", "client/map-read", "--part", "client/all-dead"];
    let arguments = [&["bench", "--trial", "--pairs", "3", "--out", &path], &parts[..]].concat();
    let mut child = lab(&arguments).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("all-dead 1/") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!(namespaces(child.id()), Vec::<String>::new());
    let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(
        file["whole"] == false && file["rows"].as_array().unwrap().len() == 1,
        "{file}"
    );
    let output = lab(&["bench", "diff", &path, &path]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("not whole"), "{stderr}");
}

#[test]
fn an_interrupted_lab_leaves_nothing_behind() {
    let _beside = LABS.read().unwrap_or_else(PoisonError::into_inner);
    for signal in [Signal::INT, Signal::TERM] {
        let mut child = start_long();
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert!(!child.wait().unwrap().success());
        assert_eq!(namespaces(child.id()), Vec::<String>::new(), "{signal:?}");
    }
}

#[test]
fn a_killed_labs_processes_die_with_it_and_the_next_lab_sweeps_its_namespaces() {
    // Any lab sweeps what is left behind: here it must be the one that is looked at.
    let _alone = LABS.write().unwrap_or_else(PoisonError::into_inner);
    let mut child = start_long();
    child.kill().unwrap();
    child.wait().unwrap();
    let left = namespaces(child.id());
    assert_eq!(left.len(), 9, "a SIGKILL leaves no chance to clean up: {left:?}");
    wait_until("every process is gone", || {
        left.iter().all(|name| processes(name).trim().is_empty())
    });
    let (_, output) = run(&["steady", "--client", "tonic", "--concurrency", "5", "--requests", "5"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains(&format!("removed obit-lab-{}-client", child.id())),
        "{stderr}"
    );
    assert_eq!(namespaces(child.id()), Vec::<String>::new());
}

/// The lab's own client, started as anybody's. The shell is the first process of its namespace.
const OWN: &str = concat!(
    "sh -c '",
    env!("CARGO_BIN_EXE_obit-lab"),
    " client tonic --parent 1; exit $?'"
);

/// What a short run of `steady`, or of its variant with other calls, says of clients of these command lines, and how it ended.
fn brought(steady: &str, seconds: &str, commands: &[&str]) -> (Output, Vec<Value>) {
    let mut arguments = vec![
        steady,
        "--concurrency",
        "5",
        "--requests",
        "20",
        "--json",
        "--seconds",
        seconds,
    ];
    arguments.extend(commands.iter().flat_map(|command| ["--exec", command]));
    let (pid, output) = finished(&arguments);
    assert!(namespaces(pid).is_empty());
    let lines = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output, lines)
}

#[test]
fn a_program_that_keeps_the_contract_is_measured_like_the_lab_s_own() {
    let (output, lines) = brought("steady", "60", &[OWN]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&line["client"], &line["success"]), (&"sh".into(), &100.into()));
}

#[test]
fn a_program_that_breaks_the_contract_is_named_and_the_others_results_stand() {
    let ready = r#"echo {\"type\":\"ready\"}"#;
    let started = format!("{ready} && read go && echo {{\\\"type\\\":\\\"started\\\",\\\"at_ns\\\":1}}");
    let (output, lines) = brought(
        "steady",
        "2",
        &[
            "/nowhere/mine",
            "yes",
            "sleep 3600",
            &format!("sh -c '{ready}; exit 3'"),
            &format!("sh -c '{started}; sleep 3600'"),
            OWN,
        ],
    );
    assert!(!output.status.success());
    let measured = lines.iter().filter(|line| line["success"] == 100);
    assert_eq!(measured.count(), 1, "{lines:?}");
    let fault = |number: usize| lines[number]["fault"].as_str().unwrap_or_else(|| panic!("{lines:?}"));
    // The measured one is told of first, because its figures are known first.
    for (number, expected) in [
        (1, "ended (exit status: 127)"),
        (2, "\"y\", which is no line of the contract"),
        (3, "not become ready within 2s"),
        (4, "ended (exit status: 3)"),
        (5, "not stop by itself within 4s"),
    ] {
        assert!(fault(number).contains(expected), "{}", fault(number));
    }
}

#[test]
fn a_program_that_does_no_streaming_calls_is_named_and_one_that_ignores_the_kind_is_not_measured() {
    let unable = r#"echo {\"type\":\"unable\",\"why\":\"does not do streaming calls\"}"#;
    let unary = OWN.replace("sh -c '", "sh -c 'unset OBIT_LAB_CALLS; ");
    let (output, lines) = brought("steady-bidi", "2", &[&format!("sh -c '{unable}'"), &unary, OWN]);
    assert!(!output.status.success());
    let [measured, unable, unary] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert_eq!(
        (&measured["scenario"], &measured["success"]),
        (&"steady-bidi".into(), &100.into())
    );
    let fault = |line: &Value| line["fault"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned();
    assert_eq!(fault(unable), "sh steady-bidi: it does not do streaming calls");
    assert!(fault(unary).contains("not become ready within 2s"), "{}", fault(unary));
}
