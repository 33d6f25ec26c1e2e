//! A recording somebody sent, as `obit replay` reads it and runs it again.
//!
//! An input is a recording's lines without their checksums: with them almost every change would end at the first line.

use std::path::Path;

use obit_monitor::record::decode::{DecodeError, Problem, Recording, decode};
use obit_monitor::record::format::encode;
use obit_monitor::record::replay::{News, Replay};

use crate::memory::peak_of;

/// The most memory reading takes for each byte: an empty name of a signal takes three in the file, and 24, in a list that
/// doubles where it grows and holds the old one until then.
const MEMORY_PER_BYTE: usize = 32;

/// Room for what an error says, and for the smallest of lists.
const MEMORY_BESIDE: usize = 16 * 1024;

/// What must hold for any bytes taken for a recording: reading and replaying them ends without a panic, reading takes
/// little memory, what was read can be written and read again, and a replay always tells the same.
///
/// # Panics
/// When it does not hold.
pub fn check(input: &[u8]) {
    drop(read(input));
    let Some(recording) = read(&with_checksums(input)) else {
        return;
    };
    let mut again = Vec::new();
    encode(&recording.header, &mut again);
    for entry in &recording.entries {
        encode(entry, &mut again);
    }
    let written = decode(&again).expect("a header just written");
    assert_eq!(written.header, recording.header);
    // What was read may be longer as it is written here.
    let too_long = matches!(&written.error, Some(error) if matches!(error.problem, Problem::TooLong));
    assert!(too_long || written.entries == recording.entries, "{written:?}");
    assert_eq!(replay(&recording), replay(&recording));
}

/// Inputs to begin with: the recordings kept of every kind of failure.
///
/// # Panics
/// When they cannot be read.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../monitor/tests/recordings");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the recordings that are kept")
        .map(|entry| entry.expect("the recordings that are kept").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "obit"))
        .collect();
    files.sort();
    let without_checksums = |file: &Path| {
        let bytes = std::fs::read(file).expect("a recording that is kept");
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        lines
            .flat_map(|line| line.get(9..).unwrap_or_default())
            .copied()
            .collect()
    };
    files.iter().map(|file| without_checksums(file)).collect()
}

fn with_checksums(lines: &[u8]) -> Vec<u8> {
    let mut recording = Vec::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let object = line.strip_suffix(b"\n").unwrap_or(line);
        recording.extend(format!("{:08x} ", crc32fast::hash(object)).into_bytes());
        recording.extend(line);
    }
    recording
}

fn read(bytes: &[u8]) -> Option<Recording> {
    let (recording, peak) = peak_of(|| decode(bytes));
    assert!(
        peak <= MEMORY_PER_BYTE * bytes.len() + MEMORY_BESIDE,
        "{peak} bytes of memory for {} bytes of a recording",
        bytes.len()
    );
    match recording {
        Ok(recording) => {
            let explained = |error: &DecodeError| !error.to_string().is_empty();
            assert!(recording.error.as_ref().is_none_or(explained));
            Some(recording)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

fn replay(recording: &Recording) -> Vec<News> {
    let (mut replay, mut news) = (Replay::new(&recording.header, None), Vec::new());
    for entry in &recording.entries {
        replay.step(entry, &mut news);
    }
    news
}
