//! Files that are not what was written.

use super::{entries, file, header};
use crate::record::decode::{DecodeError, LINE_MAX, Problem, decode};
use crate::record::format::{FORMAT, Header, encode};

#[test]
fn a_recording_reads_back_as_it_was_written() {
    let recording = decode(&file(&entries())).unwrap();
    assert_eq!(recording.header, header());
    assert_eq!(recording.entries, entries());
    assert!(recording.error.is_none());
}

/// Where each line ends.
fn ends(file: &[u8]) -> Vec<usize> {
    (1..=file.len()).filter(|end| file[end - 1] == b'\n').collect()
}

#[test]
fn a_file_cut_anywhere_is_read_up_to_the_cut_which_is_named() {
    let whole = file(&entries());
    let ends = ends(&whole);
    for cut in 0..whole.len() {
        let lines = ends.iter().filter(|end| **end <= cut).count();
        let begin = if lines == 0 { 0 } else { ends[lines - 1] };
        let at = |error: &DecodeError| (error.line, error.offset) == (lines as u64 + 1, begin as u64);
        match decode(&whole[..cut]) {
            Err(error) => {
                assert!(lines == 0 && at(&error), "cut at {cut}: {error}");
                let expected = matches!(
                    (cut, &error.problem),
                    (0, Problem::Empty) | (1.., Problem::Cut | Problem::NotARecording)
                );
                assert!(expected, "cut at {cut}: {error}");
            }
            Ok(recording) => {
                assert_eq!(recording.entries, entries()[..lines - 1], "cut at {cut}");
                let error = recording.error.expect("the last line is missing");
                let on_a_line = cut == begin;
                assert!(
                    at(&error)
                        && matches!(
                            (on_a_line, &error.problem),
                            (true, Problem::NoEnd) | (false, Problem::Cut)
                        ),
                    "cut at {cut}: {error}"
                );
            }
        }
    }
}

#[test]
fn a_header_cut_after_its_checksum_is_known_to_be_cut() {
    let error = decode(&file(&[])[..20]).unwrap_err();
    assert!(matches!(error.problem, Problem::Cut), "{error}");
}

#[test]
fn no_flipped_bit_is_read_as_something_else() {
    let whole = file(&entries());
    let ends = ends(&whole);
    for byte in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << bit;
            let line = ends.iter().filter(|end| **end <= byte).count();
            let error = match decode(&flipped) {
                Err(error) => error,
                Ok(recording) => {
                    assert_eq!(recording.entries[..], entries()[..line - 1]);
                    recording
                        .error
                        .unwrap_or_else(|| panic!("bit {bit} of byte {byte} means nothing"))
                }
            };
            assert_eq!(error.line, line as u64 + 1, "bit {bit} of byte {byte}: {error}");
        }
    }
}

#[test]
fn another_format_is_named_with_the_obit_that_wrote_it() {
    let mut file = Vec::new();
    let newer = Header {
        format: FORMAT + 1,
        version: "9.1.0".into(),
        ..header()
    };
    encode(&newer, &mut file);
    let said = decode(&file).unwrap_err().to_string();
    assert!(said.contains("format 2") && said.contains("obit 9.1.0"), "{said}");
    // Of another format only so much is known.
    let mut file = Vec::new();
    encode(&serde_json::json!({"format": 7}), &mut file);
    assert!(matches!(decode(&file).unwrap_err().problem, Problem::NotARecording));
}

#[test]
fn what_is_no_recording_is_named_so() {
    let long = vec![b'x'; LINE_MAX * 2];
    for bytes in [
        b"hello\n".as_slice(),
        b"\n",
        b"{}\n",
        b"\x7fELF\0\0",
        b"deadbeef\n",
        &long,
    ] {
        let error = decode(bytes).unwrap_err();
        assert!(matches!(error.problem, Problem::NotARecording), "{error}");
    }
}

#[test]
fn a_line_nobody_writes_is_not_kept_in_memory() {
    let mut damaged = file(&[]);
    damaged.resize(damaged.len() + LINE_MAX + 1, b'x');
    let error = decode(&damaged).unwrap().error.unwrap();
    assert!(matches!(error.problem, Problem::TooLong), "{error}");
}

#[test]
fn a_kind_of_line_of_a_newer_obit_is_named() {
    let mut newer = file(&[]);
    encode(&serde_json::json!({"dreamt": {"now": 1}}), &mut newer);
    let said = decode(&newer).unwrap().error.unwrap().to_string();
    assert!(
        said.contains("line 2") && said.contains("dreamt") && said.contains("newer"),
        "{said}"
    );
}

#[test]
fn two_files_joined_are_not_one() {
    let mut twice = file(&entries());
    let offset = twice.len() as u64;
    twice.extend(file(&entries()));
    let recording = decode(&twice).unwrap();
    assert_eq!(recording.entries, entries());
    let error = recording.error.unwrap();
    assert!(
        error.offset == offset && matches!(error.problem, Problem::AfterTheEnd),
        "{error}"
    );
}
