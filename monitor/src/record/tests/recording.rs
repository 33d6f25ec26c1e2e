//! The way from the hub to the file.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};

use super::{OWN, START, header, peer, seen};
use crate::record::decode::{Recording, decode};
use crate::record::format::{Entry, Offset, Why};
use crate::record::recorder::recorder;
use crate::record::writer::{Existing, OpenError, Target};
use crate::sighting::{MonotonicNs, Observation};

const PLENTY: u64 = 1 << 30;

fn read(path: &Path) -> Recording {
    let recording = decode(&fs::read(path).unwrap()).unwrap();
    assert!(recording.error.is_none(), "{:?}", recording.error);
    recording
}

/// Entries that are there and entries that are missing.
fn counted(entries: &[Entry]) -> (u64, u64) {
    entries.iter().fold((0, 0), |(there, missing), entry| match entry {
        Entry::Missing { entries, .. } => (there, missing + entries),
        Entry::End { .. } => (there, missing),
        _ => (there + 1, missing),
    })
}

#[test]
fn what_does_not_fit_is_counted_in_its_place() {
    let (mut recorder, mut tape) = recorder(START, 2);
    let at = |n| MonotonicNs(START.0 + n);
    for n in 1..=5 {
        recorder.expire(at(n));
    }
    let taken: Vec<_> = std::iter::from_fn(|| tape.take()).collect();
    assert_eq!(taken, [1, 2].map(|n| Entry::Expire { now: Offset(n) }));
    recorder.expire(at(6));
    recorder.expire(at(7));
    drop(recorder);
    let taken: Vec<_> = std::iter::from_fn(|| tape.take()).collect();
    let gap = |n, entries| Entry::Missing {
        now: Offset(n),
        entries,
    };
    // The last one did not fit either, and nothing came after it.
    assert_eq!(taken, [gap(6, 3), Entry::Expire { now: Offset(6) }, gap(6, 1)]);
}

#[test]
fn nobody_is_recorded_for_when_the_writer_is_gone() {
    let (mut recorder, tape) = recorder(START, 2);
    drop(tape);
    for _ in 0..10 {
        recorder.watch(START, 0, Some(OWN), &[peer()]);
    }
}

#[test]
fn a_recording_is_for_its_owner_alone_and_ends_with_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("incident.obit");
    let (mut recorder, writer) = Target::open(&path, Existing::Refuse)
        .unwrap()
        .record(&header(), PLENTY)
        .unwrap();
    recorder.watch(START, 0, Some(OWN), &[peer()]);
    recorder.saw(START, &[seen(START, Observation::Refused)]);
    recorder.unwatch(0, &[peer()]);
    drop(recorder);
    let written = writer.finish(MonotonicNs(START.0 + 9), Why::Stopped).unwrap();
    let recording = read(&path);
    assert_eq!(recording.header, header());
    assert_eq!(counted(&recording.entries), (3, 0));
    let end = Entry::End {
        now: Offset(9),
        why: Why::Stopped,
    };
    assert_eq!(recording.entries.last(), Some(&end));
    assert_eq!((written.lines, written.missing), (5, 0));
    let file = fs::metadata(&path).unwrap();
    assert_eq!((file.len(), file.mode() & 0o777), (written.bytes, 0o600));
}

#[test]
fn a_file_that_is_there_is_refused_overwritten_or_kept_as_told() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("a"), dir.path().join("a.old"));
    fs::write(&path, "before").unwrap();
    let error = Target::open(&path, Existing::Refuse).unwrap_err();
    assert!(matches!(error, OpenError::Exists(_)) && error.to_string().contains("--force"));
    assert_eq!(fs::read(&path).unwrap(), b"before");
    drop(Target::open(&path, Existing::Keep).unwrap());
    assert_eq!(
        (fs::read(&path).unwrap(), fs::read(&old).unwrap()),
        (b"".to_vec(), b"before".to_vec())
    );
    fs::write(&path, "before").unwrap();
    drop(Target::open(&path, Existing::Overwrite).unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn where_nothing_can_be_written_there_is_no_recording() {
    for path in ["/dev/full", "/does/not/exist", "/"] {
        let outcome =
            Target::open(Path::new(path), Existing::Overwrite).and_then(|target| target.record(&header(), PLENTY));
        let said = outcome.map(drop).unwrap_err().to_string();
        assert!(said.contains(&format!("{path} cannot be written")), "{said}");
    }
}

#[test]
fn a_file_as_large_as_it_may_be_ends_the_recording_and_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("incident.obit");
    let max = 10_000;
    let (mut recorder, mut writer) = Target::open(&path, Existing::Refuse)
        .unwrap()
        .record(&header(), max)
        .unwrap();
    for _ in 0..1_000 {
        recorder.saw(START, &[seen(START, Observation::Refused)]);
    }
    tokio_test::block_on(writer.ended());
    recorder.expire(START);
    let written = writer.finish(START, Why::Stopped).unwrap();
    assert_eq!(written.why, Why::MaxBytes);
    assert!((max - 500..=max).contains(&written.bytes), "{written:?}");
    let entries = read(&path).entries;
    assert_eq!(entries.len() as u64 + 1, written.lines);
    assert!(matches!(entries.last(), Some(Entry::End { why: Why::MaxBytes, .. })));
}

#[test]
fn a_disk_that_stands_still_costs_entries_and_never_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    // Open for both, so that neither end waits for the other; nobody reads yet.
    let mut pipe = fs::File::options().read(true).write(true).open(&path).unwrap();
    let (mut recorder, writer) = Target::open(&path, Existing::Overwrite)
        .unwrap()
        .record(&header(), PLENTY)
        .unwrap();
    let many = 50_000;
    for _ in 0..many {
        recorder.saw(START, &[seen(START, Observation::Refused)]);
    }
    drop(recorder);
    // Now the disk goes on.
    let reader = std::thread::spawn(move || {
        let mut file = Vec::new();
        let mut piece = [0; 65_536];
        while !file.ends_with(b"\"why\":\"stopped\"}}\n") {
            let count = pipe.read(&mut piece).unwrap();
            file.extend_from_slice(&piece[..count]);
        }
        file
    });
    let written = writer.finish(START, Why::Stopped).unwrap();
    let recording = decode(&reader.join().unwrap()).unwrap();
    assert!(recording.error.is_none(), "{:?}", recording.error);
    let (there, missing) = counted(&recording.entries);
    assert_eq!((there + missing, written.missing), (many, missing));
    assert!(missing > many / 2, "{missing} are missing");
    // What a pipe is given no permission for is not asked of it.
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
