//! The command line as an operator meets it: what is wrong is named, with the next step.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::process::{Command, Output};

fn obit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_obit"))
        .args(arguments)
        .env_remove("OBIT_SOCKET")
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

/// The exit code and what was said about it.
fn refused(arguments: &[&str]) -> (i32, String) {
    let output = obit(arguments);
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_version_is_told() {
    let output = obit(&["--version"]);
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("obit {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_wrong_flag_is_named() {
    for arguments in [
        &["monitor", "--sockets", "/x"][..],
        &["watch", "--jason", "10.0.0.1:80"],
        &["observe"],
    ] {
        let (code, said) = refused(arguments);
        assert_eq!(code, 2);
        let wrong = arguments
            .iter()
            .find(|word| said.contains(*word) && **word != "monitor" && **word != "watch");
        assert!(wrong.is_some(), "{said}");
        assert!(said.contains("Usage: obit") || said.contains("--help"), "{said}");
    }
}

#[test]
fn a_signal_or_a_number_that_cannot_be_is_named() {
    let (code, said) = refused(&["monitor", "--without", "smoke"]);
    assert_eq!(code, 2);
    assert!(
        said.contains("\"smoke\"") && said.contains("refused") && said.contains("handshake"),
        "{said}"
    );
    let (code, said) = refused(&["monitor", "--vip", "10.96.0.0/12,10.0.0.0/33"]);
    assert_eq!(code, 2);
    assert!(said.contains("10.0.0.0/33") && said.contains("--vip"), "{said}");
    let (code, said) = refused(&["monitor", "--heartbeat-ms", "1"]);
    assert!(
        code == 2 && said.contains("--heartbeat-ms") && said.contains("10"),
        "{said}"
    );
    let (code, said) = refused(&["monitor", "--stall-floor-ms", "300"]);
    assert!(
        code == 1 && said.contains("--stall-floor-ms 300") && said.contains("--stall-ceiling-ms 250"),
        "{said}"
    );
    let (code, said) = refused(&["--log", "a=b=c", "watch", "10.0.0.1:80"]);
    assert!(code == 1 && said.contains("--log \"a=b=c\""), "{said}");
}

#[test]
fn a_namespace_that_is_none_is_named() {
    for path in ["/does/not/exist", "/dev/null"] {
        let (code, said) = refused(&["monitor", "--netns", path]);
        assert!(code == 1 && said.contains(&format!("--netns {path}")), "{said}");
    }
}

#[test]
fn an_address_that_cannot_be_read_is_named_with_how_to_write_it() {
    for wrong in [
        "-",
        "10.0.0.1",
        "10.0.0.1:http",
        "fd00::1:80",
        "localhost:80",
        "10.0.0.300:80",
    ] {
        let (code, said) = refused(&["watch", "10.0.0.1:80", wrong]);
        assert_eq!(code, 2);
        assert!(
            said.contains(&format!("'{wrong}'")) && said.contains("198.18.0.2:8080"),
            "{said}"
        );
    }
    for (wrong, why) in [("10.0.0.1:0", "not 0"), ("0.0.0.0:80", "not the address of one peer")] {
        let (code, said) = refused(&["watch", wrong]);
        assert!(
            code == 2 && said.contains(&format!("'{wrong}'")) && said.contains(why),
            "{said}"
        );
    }
}

#[test]
fn watching_nobody_tells_how_to_watch() {
    let (code, said) = refused(&["watch"]);
    assert!(
        code == 2 && said.contains("<PEER>") && said.contains("Usage: obit watch"),
        "{said}"
    );
}

#[test]
fn a_monitor_that_is_not_there_is_named_with_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("obit.sock");
    let (code, said) = refused(&["watch", "10.0.0.1:80", "--socket", socket.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        said.contains(socket.to_str().unwrap()) && said.contains("obit monitor") && said.contains("--socket"),
        "{said}"
    );
    // A file that a dead monitor left.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let (code, said) = refused(&["watch", "10.0.0.1:80", "--socket", socket.to_str().unwrap()]);
    assert!(
        code == 1 && said.contains("refused") && said.contains("obit monitor"),
        "{said}"
    );
}

/// Whoever runs this, and wherever: the doctor knows, and its exit code is what it says.
#[test]
fn the_doctor_says_the_same_to_people_to_programs_and_by_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("obit.sock");
    let socket = ["--socket", socket.to_str().unwrap()];
    let json = obit(&[&["doctor", "--json"][..], &socket].concat());
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let code = match report["verdict"].as_str().unwrap() {
        "works" => 0,
        "works_in_part" => 1,
        "cannot_work" => 2,
        other => panic!("{other}"),
    };
    assert_eq!(json.status.code(), Some(code));
    for check in report["checks"].as_array().unwrap() {
        let bad = ["limited", "missing"].contains(&check["state"].as_str().unwrap());
        assert_eq!(check["next"].is_string(), bad, "each lack has a next step: {check}");
    }
    let text = obit(&[&["doctor"][..], &socket].concat());
    assert_eq!(text.status.code(), Some(code));
    let said = String::from_utf8(text.stdout).unwrap();
    for check in report["checks"].as_array().unwrap() {
        assert!(said.contains(check["found"].as_str().unwrap()), "{said}");
    }
}
