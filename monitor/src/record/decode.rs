//! Reads a recording, line by line, before it is replayed. Pure, and at home with any bytes.
//!
//! What is wrong with a line ends the recording there: what follows it cannot be taken for what followed then.

use std::fmt;

use serde::Deserialize;

use super::format::{Entry, FORMAT, Header, Magic, PREFIX, prefix};

/// The longest line that is read, bytes; a full load of sightings takes some ten thousand.
pub const LINE_MAX: usize = 1 << 16;

/// How the object of every header begins.
const MAGIC: &[u8] = b"{\"obit\":\"recording\",";

/// What is wrong with a recording, and where.
#[derive(Debug, thiserror::Error)]
#[error("line {line} (byte {offset}): {problem}")]
pub struct DecodeError {
    /// The line, from 1.
    pub line: u64,
    /// Where it begins, bytes from the start of the file.
    pub offset: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// There is no line at all.
    #[error("the file is empty: record again, with `obit record` or `obit monitor --record`")]
    Empty,
    /// The first line is not a header.
    #[error("this is no recording of obit: name a file that `obit record` or `obit monitor --record` wrote")]
    NotARecording,
    /// A recording of another format.
    #[error("format {found}, written by obit {version}, and this obit reads format {FORMAT}: replay it with that obit")]
    Format {
        /// Its format.
        found: u32,
        /// The obit that wrote it.
        version: String,
    },
    /// The file ends within a line.
    #[error(
        "the file ends within this line: it was cut off, or its recorder was; everything before it can be relied on"
    )]
    Cut,
    /// The file ends without the last line every recording has.
    #[error(
        "the file ends before the recording does: it was cut off, or its recorder was; everything before this can be relied on"
    )]
    NoEnd,
    /// A line too long to be one of a recording.
    #[error(
        "the line is longer than {LINE_MAX} bytes, as none of a recording is: the file is damaged; take another copy"
    )]
    TooLong,
    /// The line is not what was written.
    #[error(
        "the line is not what was written (its checksum is {found}, and not {expected}): the file is damaged; take another copy"
    )]
    Damaged {
        /// The checksum before the line.
        found: String,
        /// The checksum of the line.
        expected: String,
    },
    /// As it was written, and not known here.
    #[error("this obit does not know such a line ({0}): replay it with the obit that wrote it, or a newer one")]
    NotKnown(Syntax),
    /// Something follows the last line.
    #[error("something follows the recording's end: two files were joined; replay each by itself")]
    AfterTheEnd,
}

/// What JSON, or one of our lines, should have been instead.
#[derive(Debug)]
pub struct Syntax(serde_json::Error);

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        // The parser was given one line, and counts from there.
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        write!(f, "{what}, at column {}", self.0.column())
    }
}

/// Reads lines in order, the header first. A line ends with a line feed, unless the file ended first.
#[derive(Debug, Default)]
pub struct Decoder {
    line: u64,
    offset: u64,
    next: u64,
    ended: bool,
}

impl Decoder {
    /// At the beginning.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the header from the first line.
    ///
    /// # Errors
    /// [`DecodeError`]: nothing after it can be understood.
    pub fn header(&mut self, line: &[u8]) -> Result<Header, DecodeError> {
        self.advance(line);
        if line.is_empty() {
            return Err(self.error(Problem::Empty));
        }
        let begin = line.get(PREFIX..).unwrap_or_default();
        let begins_so = begin.starts_with(MAGIC) || (MAGIC.starts_with(begin) && is_prefix(line));
        if !begins_so {
            return Err(self.error(Problem::NotARecording));
        }
        let object = self.object(line)?;
        // The version first: of another format nothing else can be expected to be as it is here.
        let begin: Begin = self.parse(object)?;
        if begin.format != FORMAT {
            return Err(self.error(Problem::Format {
                found: begin.format,
                version: begin.version.unwrap_or_else(|| "of another version".to_owned()),
            }));
        }
        self.parse(object)
    }

    /// Reads the entry of the next line. An empty line is the end of the file, where there is nothing more.
    ///
    /// # Errors
    /// [`DecodeError`]: nothing after it can be relied on.
    pub fn entry(&mut self, line: &[u8]) -> Result<Option<Entry>, DecodeError> {
        self.advance(line);
        match (line.is_empty(), self.ended) {
            (true, true) => return Ok(None),
            (true, false) => return Err(self.error(Problem::NoEnd)),
            (false, true) => return Err(self.error(Problem::AfterTheEnd)),
            (false, false) => {}
        }
        let entry = self.parse(self.object(line)?)?;
        self.ended = matches!(entry, Entry::End { .. });
        Ok(Some(entry))
    }

    fn advance(&mut self, line: &[u8]) {
        self.line += 1;
        self.offset = self.next;
        self.next += line.len() as u64;
    }

    /// The object of a line, as it was written.
    fn object<'a>(&self, line: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        if line.len() > LINE_MAX {
            return Err(self.error(Problem::TooLong));
        }
        let Some(text) = line.strip_suffix(b"\n") else {
            return Err(self.error(Problem::Cut));
        };
        let (found, object) = text.split_at(PREFIX.min(text.len()));
        let expected = prefix(object);
        if found == expected {
            return Ok(object);
        }
        let plain = |bytes: &[u8]| bytes.trim_ascii().escape_ascii().to_string();
        Err(self.error(Problem::Damaged {
            found: plain(found),
            expected: plain(&expected),
        }))
    }

    fn parse<'a, T: Deserialize<'a>>(&self, object: &'a [u8]) -> Result<T, DecodeError> {
        serde_json::from_slice(object).map_err(|error| self.error(Problem::NotKnown(Syntax(error))))
    }

    fn error(&self, problem: Problem) -> DecodeError {
        DecodeError {
            line: self.line,
            offset: self.offset,
            problem,
        }
    }
}

/// Whether a line may be the beginning of one of a recording.
fn is_prefix(line: &[u8]) -> bool {
    let digits = &line[..line.len().min(PREFIX - 1)];
    digits.iter().all(u8::is_ascii_hexdigit) && line.get(PREFIX - 1).is_none_or(|byte| *byte == b' ')
}

/// As much of a header as every format has.
#[derive(Deserialize)]
struct Begin {
    #[serde(rename = "obit")]
    _obit: Magic,
    format: u32,
    version: Option<String>,
}

/// A recording as far as it could be read.
#[derive(Debug)]
pub struct Recording {
    /// The first line.
    pub header: Header,
    /// The others, in order.
    pub entries: Vec<Entry>,
    /// What is wrong with the line after them; `None` if there is none.
    pub error: Option<DecodeError>,
}

/// Reads a whole recording.
///
/// # Errors
/// [`DecodeError`], when there is not even a header.
pub fn decode(bytes: &[u8]) -> Result<Recording, DecodeError> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let mut decoder = Decoder::new();
    let mut recording = Recording {
        header: decoder.header(lines.next().unwrap_or_default())?,
        entries: Vec::new(),
        error: None,
    };
    recording.error = loop {
        match decoder.entry(lines.next().unwrap_or_default()) {
            Ok(Some(entry)) => recording.entries.push(entry),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    Ok(recording)
}
