//! The writer: one thread that carries what the recorder holds to a file, until it is told to stop, the file is as large as
//! it may be, or the disk takes no more. The file holds whole lines at any time.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::format::{Entry, Header, Offset, Why, encode};
use super::recorder::{Recorder, Tape, WAITING_MAX, recorder};
use crate::sighting::MonotonicNs;

/// How often the writer looks for what has come: as much is lost when the process is killed. Nobody wakes it, for a wake-up
/// would cost the reader's thread several microseconds between a sighting and its verdict.
const TICK: Duration = Duration::from_millis(20);

/// Room kept for the last line, bytes.
const END_MAX: u64 = 64;

/// What to do with a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave it alone, and record nothing.
    Refuse,
    /// Write over it.
    Overwrite,
    /// Name it `*.old` first, in the place of the one before.
    Keep,
}

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file is there already.
    #[error("{} exists: name another file, or overwrite this one with --force", _0.display())]
    Exists(PathBuf),
    /// It cannot be made.
    #[error("{} cannot be written: {source}; name a file in a directory that exists and has room", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No thread for the writer.
    #[error("the recording gets no thread of its own: {0}; raise the limit of tasks")]
    Thread(#[source] io::Error),
}

/// Why a recording ended before its time.
#[derive(Debug, thiserror::Error)]
#[error("{} takes no more: {source}; make room and record again, what is in it (up to byte {bytes}) can be replayed", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// How long it is.
    pub bytes: u64,
    /// What the system said.
    pub source: io::Error,
}

/// How a recording ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Why it ended.
    pub why: Why,
    /// Lines, with the header and the last one.
    pub lines: u64,
    /// The file's length.
    pub bytes: u64,
    /// Entries that are missing because the writer could not keep up.
    pub missing: u64,
}

/// A file to record to.
#[derive(Debug)]
pub struct Target {
    file: File,
    path: PathBuf,
}

impl Target {
    /// Makes the file, for its owner alone: it tells who talks to whom.
    ///
    /// # Errors
    /// [`OpenError::Exists`] or [`OpenError::Open`].
    pub fn open(path: &Path, existing: Existing) -> Result<Self, OpenError> {
        let path = path.to_owned();
        if existing == Existing::Keep {
            let mut old = path.clone().into_os_string();
            old.push(".old");
            // Whether there was one shows when the file is made.
            let _ = std::fs::rename(&path, old);
        }
        let mut how = OpenOptions::new();
        how.write(true).mode(0o600);
        if existing == Existing::Overwrite {
            how.create(true).truncate(true);
        } else {
            how.create_new(true);
        }
        match how.open(&path) {
            Ok(file) => Ok(Self { file, path }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(OpenError::Exists(path)),
            Err(source) => Err(OpenError::Open { path, source }),
        }
    }

    /// Starts to record, at the header's start, up to `max_bytes`.
    ///
    /// # Errors
    /// [`OpenError::Open`] when not even the header can be written, [`OpenError::Thread`].
    pub fn record(self, header: &Header, max_bytes: u64) -> Result<(Recorder, Writer), OpenError> {
        let (recorder, mut tape) = recorder(header.start(), WAITING_MAX);
        let mut sheet = Sheet {
            target: self,
            max_bytes,
            bytes: 0,
            lines: 0,
            missing: 0,
            last: Offset(0),
            pending: Vec::new(),
        };
        sheet.add(header);
        sheet.flush().map_err(|error| OpenError::Open {
            path: error.path,
            source: error.source,
        })?;
        let (stop, told) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("obit-recording".into())
            .spawn(move || {
                let outcome = run(sheet, &mut tape, &told);
                drop(tape);
                match &outcome {
                    Err(error) => tracing::error!("nothing is recorded any more: {error}"),
                    Ok(written) if written.why == Why::MaxBytes => {
                        tracing::warn!(bytes = written.bytes, "nothing is recorded any more: the file is full");
                    }
                    Ok(_) => {}
                }
                // Who does not wait for it has it from the thread.
                let _ = end.send(());
                outcome
            })
            .map_err(OpenError::Thread)?;
        let start = header.start();
        Ok((
            recorder,
            Writer {
                start,
                stop,
                ended,
                thread,
            },
        ))
    }
}

/// A recording under way. Dropped, it ends too, with what has come so far.
#[derive(Debug)]
pub struct Writer {
    start: MonotonicNs,
    stop: mpsc::Sender<(Offset, Why)>,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<Result<Written, WriteError>>,
}

impl Writer {
    /// Waits until it has ended by itself: the file is full, or the disk is.
    ///
    /// # Cancel safety
    /// Cancel safe. Not to be called again after it has returned.
    pub async fn ended(&mut self) {
        // Either way nothing is written any more.
        let _ = (&mut self.ended).await;
    }

    /// Writes down what has come so far and the last line, and closes the file. Blocks for as long as that takes. The hub
    /// should have dropped its [`Recorder`] before, for what comes later is not written down.
    ///
    /// # Errors
    /// [`WriteError`]: the file holds what was written before, in whole lines.
    pub fn finish(self, now: MonotonicNs, why: Why) -> Result<Written, WriteError> {
        // Fails if it has ended by itself.
        let _ = self.stop.send((Offset::of(now, self.start), why));
        match self.thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn run(mut sheet: Sheet, tape: &mut Tape, stop: &mpsc::Receiver<(Offset, Why)>) -> Result<Written, WriteError> {
    loop {
        let told = match stop.recv_timeout(TICK) {
            Err(RecvTimeoutError::Timeout) => None,
            Ok(told) => Some(told),
            Err(RecvTimeoutError::Disconnected) => Some((sheet.last, Why::Stopped)),
        };
        while let Some(entry) = tape.take() {
            if !sheet.entry(&entry)? {
                let last = sheet.last;
                return sheet.end(last, Why::MaxBytes);
            }
        }
        if let Some((now, why)) = told {
            return sheet.end(now, why);
        }
        sheet.flush()?;
    }
}

/// The file and what is still to be written to it.
struct Sheet {
    target: Target,
    max_bytes: u64,
    bytes: u64,
    lines: u64,
    missing: u64,
    last: Offset,
    pending: Vec<u8>,
}

impl Sheet {
    /// Bytes gathered before they are written.
    const PIECE: usize = 64 * 1024;

    /// Adds an entry; returns whether there was room for it.
    fn entry(&mut self, entry: &Entry) -> Result<bool, WriteError> {
        let before = self.pending.len();
        self.add(entry);
        if self.bytes + self.pending.len() as u64 + END_MAX > self.max_bytes {
            self.pending.truncate(before);
            self.lines -= 1;
            return Ok(false);
        }
        self.last = entry.now();
        if let Entry::Missing { entries, .. } = entry {
            self.missing += entries;
        }
        if self.pending.len() >= Self::PIECE {
            self.flush()?;
        }
        Ok(true)
    }

    fn add(&mut self, line: &impl serde::Serialize) {
        encode(line, &mut self.pending);
        self.lines += 1;
    }

    fn end(mut self, now: Offset, why: Why) -> Result<Written, WriteError> {
        self.add(&Entry::End { now, why });
        self.flush()?;
        Ok(Written {
            why,
            lines: self.lines,
            bytes: self.bytes,
            missing: self.missing,
        })
    }

    /// Writes what is pending. What is written of a line that then finds no room is taken back.
    fn flush(&mut self) -> Result<(), WriteError> {
        let mut written = 0;
        while written < self.pending.len() {
            match self.target.file.write(&self.pending[written..]) {
                Ok(0) => return Err(self.give_up(written, io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.give_up(written, error)),
            }
        }
        self.bytes += written as u64;
        self.pending.clear();
        Ok(())
    }

    fn give_up(&mut self, written: usize, source: io::Error) -> WriteError {
        let whole = self.pending[..written].iter().rposition(|byte| *byte == b'\n');
        self.bytes += whole.map_or(0, |end| end as u64 + 1);
        // Of a pipe nothing can be taken back; then its reader sees that the last line is cut off.
        let _ = self.target.file.set_len(self.bytes);
        WriteError {
            path: self.target.path.clone(),
            bytes: self.bytes,
            source,
        }
    }
}
