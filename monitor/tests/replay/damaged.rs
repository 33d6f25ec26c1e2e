//! Files that are no recordings, or not whole ones.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use caps::{CapSet, Capability};

use crate::{obit, recordings};

/// What was printed, and the error; there must be one.
fn replay(path: &Path) -> (String, String) {
    let output = obit(&["replay", path.to_str().unwrap()]);
    let (told, said) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(output.status.code(), Some(1), "{told}{said}");
    assert!(
        said.starts_with(&format!("obit: {}", path.display())) && said.lines().count() == 1,
        "{said}"
    );
    (told, said)
}

fn crash_loop() -> (Vec<u8>, String) {
    let path = recordings().join("crash-loop.obit");
    let output = obit(&["replay", path.to_str().unwrap()]);
    (fs::read(path).unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn what_can_be_read_of_a_file_cut_in_half_is_told_and_then_where_it_ends() {
    let (file, whole) = crash_loop();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.obit");
    // At the end of each line, and in the middle of it.
    let mut begin = 0;
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        for cut in [begin, begin + line.len() / 2] {
            fs::write(&path, &file[..cut]).unwrap();
            let (told, said) = replay(&path);
            assert!(whole.starts_with(&told), "cut at {cut}: {told}");
            assert!(said.contains(&format!("(byte {begin})")), "cut at {cut}: {said}");
        }
        begin += line.len();
    }
    // Of all but the last line, everything is told but the end.
    fs::write(&path, &file[..file.len() - 1]).unwrap();
    assert_eq!(replay(&path).0.lines().count() + 1, whole.lines().count());
}

#[test]
fn a_flipped_byte_is_named_and_what_precedes_it_is_told() {
    let (mut file, whole) = crash_loop();
    let middle = file.len() / 2;
    file[middle] ^= 1;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flipped.obit");
    fs::write(&path, file).unwrap();
    let (told, said) = replay(&path);
    assert!(whole.starts_with(&told) && told.lines().count() > 1, "{told}");
    assert!(said.contains("checksum") && said.contains("byte"), "{said}");
}

#[test]
fn another_format_an_empty_file_and_something_else_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut newer = Vec::new();
    let header = serde_json::json!({"obit": "recording"});
    obit_monitor::record::format::encode(&header, &mut newer);
    for (bytes, named) in [
        (&b""[..], "empty"),
        (b"\x7fELF\x02\x01", "no recording of obit"),
        (b"{}\n", "no recording of obit"),
        (&newer, "no recording of obit"),
    ] {
        fs::write(&path, bytes).unwrap();
        let (told, said) = replay(&path);
        assert!(told.is_empty() && said.contains(named), "{said}");
    }
    let newer = "{\"obit\":\"recording\",\"format\":2,\"version\":\"9.1.0\"}";
    fs::write(&path, format!("{:08x} {newer}\n", crc32fast::hash(newer.as_bytes()))).unwrap();
    let (told, said) = replay(&path);
    assert!(
        told.is_empty() && said.contains("format 2") && said.contains("obit 9.1.0"),
        "{said}"
    );
}

#[test]
fn a_file_that_is_not_there_and_a_directory_are_named() {
    let dir = tempfile::tempdir().unwrap();
    assert!(replay(&dir.path().join("nothing")).1.contains("No such file"));
    assert!(replay(dir.path()).1.contains("Is a directory"));
}

#[test]
fn a_file_one_may_not_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret.obit");
    fs::write(&path, crash_loop().0).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    // Root reads everything, unless it may not: these go with the thread, and are inherited by what it starts.
    let said = std::thread::spawn(move || {
        for capability in [Capability::CAP_DAC_OVERRIDE, Capability::CAP_DAC_READ_SEARCH] {
            if caps::has_cap(None, CapSet::Effective, capability).unwrap() {
                caps::drop(None, CapSet::Bounding, capability).unwrap();
            }
        }
        replay(&path).1
    });
    assert!(said.join().unwrap().contains("Permission denied"));
}

#[test]
fn whoever_has_read_enough_is_not_told_more() {
    let path = recordings().join("crash-loop.obit");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_obit"))
        .args(["replay", path.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
