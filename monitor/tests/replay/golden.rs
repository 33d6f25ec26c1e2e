//! What follows from each recording.

use std::fs;
use std::path::Path;

use crate::{bless, handmade, obit, recordings, write_anew};

/// Compares, or writes down.
fn expect(name: &str, arguments: &[&str], golden: &Path) {
    let output = obit(arguments);
    assert!(output.status.success(), "{name}: {output:?}");
    assert_eq!(output.stdout, obit(arguments).stdout, "{name}: not the same again");
    if bless() {
        write_anew(golden, &output.stdout);
        return;
    }
    let expected = fs::read_to_string(golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        told, expected,
        "{name}: if this is meant, run the test again with OBIT_BLESS=1 and look at the diff"
    );
}

#[test]
fn every_recording_tells_what_it_told_before() {
    handmade::write_or_compare();
    let mut count = 0;
    for entry in fs::read_dir(recordings()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "obit") {
            let (name, golden) = (path.to_str().unwrap(), path.with_extension("txt"));
            expect(name, &["replay", name], &golden);
            count += 1;
        }
    }
    assert!(count >= 14, "{count} recordings: some are gone");
}

#[test]
fn a_replay_tells_it_to_programs_too() {
    let path = recordings().join("crash-loop.obit");
    let name = path.to_str().unwrap();
    expect(name, &["replay", "--json", name], &path.with_extension("jsonl"));
}

#[test]
fn a_replay_tells_of_one_peer_if_asked_to() {
    let path = recordings().join("ip-reuse.obit");
    let name = path.to_str().unwrap();
    let told = |arguments: &[&str]| {
        let output = obit(&[&["replay", name], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let whole = told(&[]);
    assert!(whole.contains(handmade::OTHER) && whole.contains(handmade::PEER));
    let one = told(&["--peer", handmade::OTHER]);
    assert!(one.contains(handmade::OTHER) && !one.contains(handmade::PEER), "{one}");
    let both = told(&["--peer", handmade::OTHER, "--peer", handmade::PEER]);
    assert_eq!(both, whole);
    let none = told(&["--peer", "198.18.0.9:1"]);
    // Of what concerns everyone, all is told.
    assert_eq!(none.lines().count(), 2, "{none}");
}

#[test]
fn a_replay_tells_it_as_from_another_namespace_if_asked_to() {
    let path = recordings().join("refused.obit");
    let output = obit(&["replay", "--netns", "77", path.to_str().unwrap()]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("suspect") && told.contains("netns 77") && !told.contains("dead"),
        "{told}"
    );
}
