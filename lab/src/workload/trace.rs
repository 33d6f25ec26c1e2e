//! Every call of a run as one small record, from which all figures are derived: what a report says of a client is what
//! this list says, nothing is counted twice on the way.

use std::io::{self, Read, Write};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, by the pod with this number.
    Answered(u8),
    /// Failed, with the error class of this number.
    Failed(u8),
    /// Not ended when the run was stopped.
    Hung,
}

/// One call. Times are `CLOCK_MONOTONIC` nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// When the caller asked.
    pub start_ns: u64,
    /// When the caller had its answer; for a hung call, when the run was stopped.
    pub end_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// Bytes of one record: two times, a kind, a number.
const RECORD_BYTES: usize = 18;

impl Call {
    /// How long it took.
    #[must_use]
    pub fn took_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        record[..8].copy_from_slice(&self.start_ns.to_le_bytes());
        record[8..16].copy_from_slice(&self.end_ns.to_le_bytes());
        [record[16], record[17]] = match self.outcome {
            Outcome::Answered(pod) => [0, pod],
            Outcome::Failed(class) => [1, class],
            Outcome::Hung => [2, 0],
        };
        record
    }

    fn decode(record: &[u8; RECORD_BYTES]) -> io::Result<Self> {
        let time = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&record[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let outcome = match [record[16], record[17]] {
            [0, pod] => Outcome::Answered(pod),
            [1, class] => Outcome::Failed(class),
            [2, 0] => Outcome::Hung,
            [kind, number] => return Err(io::Error::other(format!("a trace has no outcome {kind}:{number}"))),
        };
        Ok(Self {
            start_ns: time(0),
            end_ns: time(8),
            outcome,
        })
    }
}

/// Writes the calls of a run.
///
/// # Errors
/// When the writer fails.
pub fn write(calls: &[Call], mut to: impl Write) -> io::Result<()> {
    for call in calls {
        to.write_all(&call.encode())?;
    }
    to.flush()
}

/// Reads the calls of a run.
///
/// # Errors
/// When the reader fails, or what it reads is no trace.
pub fn read(mut from: impl Read) -> io::Result<Vec<Call>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    let (records, rest) = bytes.as_chunks::<RECORD_BYTES>();
    if !rest.is_empty() {
        return Err(io::Error::other(format!(
            "a trace of {} bytes ends inside a record",
            bytes.len()
        )));
    }
    records.iter().map(Call::decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_as_it_was_written() {
        let calls = [Outcome::Answered(4), Outcome::Failed(7), Outcome::Hung].map(|outcome| Call {
            start_ns: 1,
            end_ns: u64::MAX,
            outcome,
        });
        let mut bytes = Vec::new();
        write(&calls, &mut bytes).unwrap();
        assert_eq!(read(bytes.as_slice()).unwrap(), calls);
    }

    #[test]
    fn half_a_record_is_an_error() {
        let mut bytes = Vec::new();
        write(
            &[Call {
                start_ns: 1,
                end_ns: 2,
                outcome: Outcome::Hung,
            }],
            &mut bytes,
        )
        .unwrap();
        assert!(read(&bytes[..17]).is_err());
        bytes[16] = 9;
        assert!(read(bytes.as_slice()).is_err());
    }
}
