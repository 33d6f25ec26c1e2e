//! Replays the saved inputs, so that what was found once is found again by `cargo test`, with any toolchain.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use obit_fuzz::{TARGETS, Target};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn target(name: &str) -> Target {
    TARGETS
        .into_iter()
        .find(|target| target.name == name)
        .expect("a target")
}

/// The names of the inputs that break something.
fn broken_by<'a>(target: Target, inputs: impl IntoIterator<Item = (String, &'a [u8])>) -> Vec<String> {
    inputs
        .into_iter()
        .filter(|(_, input)| catch_unwind(|| (target.check)(input)).is_err())
        .map(|(name, _)| name)
        .collect()
}

fn replay(name: &str) {
    let target = target(name);
    let mut inputs = Vec::new();
    for entry in fs::read_dir(corpus().join(name)).expect("its corpus") {
        let path = entry.expect("its corpus").path();
        inputs.push((path.display().to_string(), fs::read(path).expect("an input")));
    }
    assert!(!inputs.is_empty());
    for (number, seed) in (target.seeds)().into_iter().enumerate() {
        inputs.push((format!("seed {number}"), seed));
    }
    let inputs = inputs.iter().map(|(name, input)| (name.clone(), input.as_slice()));
    let broken = broken_by(target, inputs);
    assert!(broken.is_empty(), "{name} does not hold for {broken:?}");
}

#[test]
fn what_clients_send_is_read_as_it_should_be() {
    replay("client_message");
}

#[test]
fn what_the_monitor_sends_is_read_as_it_should_be() {
    replay("monitor_message");
}

#[test]
fn what_the_kernel_half_writes_is_read_as_it_should_be() {
    replay("record");
}

#[test]
fn type_information_is_read_as_it_should_be() {
    replay("btf");
}

#[test]
fn recordings_are_read_and_replayed_as_they_should_be() {
    replay("recording");
}

#[test]
fn every_target_has_a_binary_and_a_corpus_and_a_test_here() {
    let folders: BTreeSet<_> = fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let (manifest, here) = (include_str!("../Cargo.toml"), include_str!("corpora.rs"));
    let names: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(folders, names);
    for name in names {
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{name}\"\n")), "{name}");
        assert!(here.contains(&format!("replay(\"{name}\")")), "{name}");
    }
}

#[test]
fn an_input_that_breaks_something_is_named() {
    let target = Target {
        check: |input| assert_ne!(input, b"bad"),
        ..target("record")
    };
    let inputs = [("good".to_owned(), &b"good"[..]), ("the bad one".to_owned(), b"bad")];
    assert_eq!(broken_by(target, inputs), ["the bad one"]);
}
