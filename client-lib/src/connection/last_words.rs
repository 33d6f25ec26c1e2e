//! What a peer said before it reset the connection must be read, whatever failed meanwhile. Pure.
//!
//! A peer that closes while something is on its way to it resets the connection, and a GOAWAY and the last answers may still be
//! unread then. Who hears of a failed write reads nothing more: h2 fails every stream, also those that were answered, and
//! those of which the GOAWAY says that they were not processed. So a write is said to have gone well, as it would have a moment before
//! the reset, and the reader is told once it has read everything.

use std::io;

/// How much may be written into the void between two reads. Between two reads h2 writes what it has framed; more is written by
/// somebody who does not read, and has to hear of the end from a write.
const VOID: usize = 1 << 20;

/// The end of a connection that a write met.
#[derive(Debug, Default)]
pub(super) struct LastWords {
    failure: Option<io::ErrorKind>,
    void: usize,
    shut_down: bool,
}

impl LastWords {
    /// A write of `asked` bytes failed: what whoever wrote is told.
    pub(super) fn not_written(&mut self, asked: usize, error: io::Error) -> io::Result<usize> {
        let over = matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
        // Where this end stopped writing first, the reader need not hear of anything.
        if !over || self.shut_down {
            return Err(error);
        }
        // The first knows more: after it everything is a broken pipe.
        self.failure.get_or_insert(error.kind());
        self.void = self.void.saturating_add(asked);
        if self.void > VOID { Err(error) } else { Ok(asked) }
    }

    /// This end writes nothing more.
    pub(super) fn shut_down(&mut self) {
        self.shut_down = true;
    }

    /// Whether a write met the end.
    pub(super) fn is_awaited(&self) -> bool {
        self.failure.is_some()
    }

    /// The reader read so much: what it is told. The kernel has told of the reset already, and now tells of an end in good
    /// order, which would make half a body a whole one.
    pub(super) fn read(&mut self, bytes: usize) -> io::Result<()> {
        match self.failure {
            Some(failure) if bytes == 0 => Err(failure.into()),
            _ => {
                self.void = 0;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reset() -> io::Error {
        io::ErrorKind::ConnectionReset.into()
    }

    #[test]
    fn the_reader_is_told_after_the_last_byte_and_of_the_first_failure() {
        let mut words = LastWords::default();
        assert!(words.read(0).is_ok(), "an end in good order");
        assert_eq!(words.not_written(5, reset()).unwrap(), 5);
        assert_eq!(words.not_written(7, io::ErrorKind::BrokenPipe.into()).unwrap(), 7);
        assert!(words.read(100).is_ok());
        assert_eq!(words.read(0).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(words.read(0).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn who_never_reads_is_told_by_a_write() {
        let mut words = LastWords::default();
        assert!(words.not_written(VOID, reset()).is_ok());
        assert!(words.read(1).is_ok());
        assert!(words.not_written(VOID, reset()).is_ok());
        assert!(words.not_written(1, reset()).is_err());
    }

    #[test]
    fn other_failures_and_those_after_ones_own_shutdown_are_told_at_once() {
        let mut words = LastWords::default();
        assert!(words.not_written(1, io::ErrorKind::TimedOut.into()).is_err());
        words.shut_down();
        assert!(words.not_written(1, io::ErrorKind::BrokenPipe.into()).is_err());
        assert!(!words.is_awaited());
    }
}
