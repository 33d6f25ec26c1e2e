//! Proxies beside the workload, and those that are not there. Needs root, iproute2, nft and nginx; fails where they are missing.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use obit_lab::contract::Environment;
use obit_lab::scenario::Calls;
use obit_lab::sidecar::{Proxy, SETUPS};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// An empty folder beside the lab's, on the same file system.
fn empty() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The lab in a folder where nothing stands beside it but what `beside` says.
fn lab(folder: &TempDir, beside: Option<(&str, &str)>) -> Command {
    let program = folder.path().join("obit-lab");
    // Linked, not copied: what another thread's child still has open for writing cannot be executed.
    fs::hard_link(env!("CARGO_BIN_EXE_obit-lab"), &program).unwrap();
    if let Some((name, script)) = beside {
        let path = folder.path().join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut lab = Command::new(program);
    lab.stdout(Stdio::piped()).stderr(Stdio::piped());
    lab
}

/// What a run says of the fault of its only client.
fn fault(mut lab: Command) -> String {
    let output = lab.arg("--json").output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    let line: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    line["fault"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// The processes called `name` in the namespace of the client of the lab with this pid.
fn processes(lab: u32, name: &str) -> Vec<i32> {
    let namespace = format!("obit-lab-{lab}-client");
    let output = Command::new("ip")
        .args(["netns", "pids", &namespace])
        .output()
        .expect("ip runs");
    let pids = String::from_utf8(output.stdout).unwrap();
    let pids = pids.lines().filter_map(|pid| pid.trim().parse().ok());
    pids.filter(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name))
        .collect()
}

#[test]
fn what_is_not_beside_the_lab_is_named_as_absent() {
    for (client, program) in [
        ("envoy-best", "obit-lab-envoy"),
        ("ginepro", "obit-lab-ginepro"),
        ("grpc-go", "obit-lab-go"),
    ] {
        let folder = empty();
        let mut lab = lab(&folder, None);
        lab.args(["steady", "--client", client]);
        let fault = fault(lab);
        assert!(fault.contains(&format!("{program} is not here: ")), "{fault}");
    }
}

#[test]
fn a_proxy_that_does_not_start_is_to_blame_and_not_the_workload() {
    let folder = empty();
    let mut lab = lab(&folder, Some(("obit-lab-envoy", "#!/bin/sh\nexit 3\n")));
    lab.args(["steady", "--client", "envoy"]);
    assert_eq!(
        fault(lab),
        "envoy steady: its proxy Envoy ended (exit status: 3); what it said is above"
    );
}

#[test]
fn a_proxy_that_ends_under_load_is_to_blame_and_leaves_no_process_behind() {
    let folder = empty();
    let mut lab = lab(&folder, None);
    lab.args(["kill", "--client", "nginx", "--concurrency", "5", "--requests", "3000"]);
    let mut lab = lab.spawn().unwrap();
    let mut stderr = lab.stderr.take().unwrap();
    let mut said = String::new();
    // The first run is announced when it begins, and its report ends the line: what is waited for is the proxy itself.
    let proxies = (0..1_000).find_map(|_| {
        #[expect(clippy::disallowed_methods, reason = "another process gives no event to wait for")]
        std::thread::sleep(Duration::from_millis(10));
        let found = processes(lab.id(), "nginx");
        // Its master and both its workers.
        (found.len() == 3).then_some(found)
    });
    let proxies = proxies.expect("nginx runs within ten seconds");
    // By then it is under load, on any but the busiest of machines; there it ends before, and is to blame all the same.
    #[expect(clippy::disallowed_methods, reason = "the lab does not say when the load begins")]
    std::thread::sleep(Duration::from_secs(1));
    let master = Pid::from_raw(*proxies.iter().min().unwrap()).unwrap();
    kill_process(master, Signal::KILL).unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert!(!lab.wait().unwrap().success());
    // How it ended is told by an unshare that does not always tell of signals.
    assert!(said.contains("its proxy nginx ended ("), "{said}");
    assert_eq!(processes(lab.id(), "nginx"), Vec::<i32>::new());
}

#[test]
fn nginx_takes_its_configuration_whether_calls_may_be_repeated_or_not() {
    let program = Proxy::Nginx.program().unwrap().expect("nginx is installed");
    let folder = empty();
    let configuration = folder.path().join("nginx.conf");
    for setup in SETUPS.iter().filter(|setup| setup.proxy() == Proxy::Nginx) {
        for idempotent in [true, false] {
            let text = setup.render(&told(idempotent), folder.path()).unwrap();
            fs::write(&configuration, text).unwrap();
            let output = check(&program, &configuration);
            assert!(output.contains("test is successful"), "{}: {output}", setup.name());
        }
    }
}

fn check(program: &Path, configuration: &Path) -> String {
    let mut nginx = Command::new(program);
    nginx.arg("-t").args(Proxy::Nginx.arguments(configuration));
    let output = nginx.output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

fn told(idempotent: bool) -> Environment {
    Environment {
        target: "demo.lab.obit.test:8080".into(),
        kubernetes: "http://198.18.0.53:8001".into(),
        name_server: "198.18.0.53:53".parse().unwrap(),
        pods: ["198.18.1.1:8080", "198.18.1.2:8080"]
            .map(|pod| pod.parse().unwrap())
            .into(),
        concurrency: 500,
        requests: 300,
        calls: Calls::Unary,
        seconds: 60,
        idempotent,
        monitor: None,
    }
}
