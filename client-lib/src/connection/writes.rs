//! When which byte of a connection was written: the age of the oldest byte the peer's kernel has not acknowledged. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Writes closer together than this count as one, at the time of the later: an age is never invented, and never
/// understated by more.
const QUANTUM: Duration = Duration::from_millis(1);

/// Entries kept: at least 256 ms of history, beyond any threshold of the silence rule on paths below 98 ms. The oldest go
/// first; on a healthy connection they are long acknowledged.
const CAPACITY: usize = 256;

/// Which byte offsets were written when.
#[derive(Debug, Default)]
pub(super) struct WriteLog {
    written: u64,
    entries: VecDeque<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The offset behind the last byte written.
    end: u64,
    began: Instant,
    last: Instant,
}

impl WriteLog {
    /// `bytes` were taken by the kernel. `now` is read *after* the write returned: a stamp from before would age while
    /// the writer waits for a CPU.
    pub(super) fn wrote(&mut self, bytes: u64, now: Instant) {
        self.written += bytes;
        match self.entries.back_mut() {
            Some(entry) if now.saturating_duration_since(entry.began) < QUANTUM => {
                entry.end = self.written;
                entry.last = now;
            }
            _ => {
                if self.entries.len() == CAPACITY {
                    self.entries.pop_front();
                }
                self.entries.push_back(Entry {
                    end: self.written,
                    began: now,
                    last: now,
                });
            }
        }
    }

    /// How long the oldest byte beyond the first `acknowledged` ones has been waiting; `None` if all are acknowledged.
    pub(super) fn oldest_unacknowledged(&mut self, acknowledged: u64, now: Instant) -> Option<Duration> {
        while self.entries.front().is_some_and(|entry| entry.end <= acknowledged) {
            self.entries.pop_front();
        }
        let oldest = self.entries.front()?;
        Some(now.saturating_duration_since(oldest.last))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn the_oldest_byte_not_acknowledged_has_the_age_of_its_write() {
        let (mut log, start) = (WriteLog::default(), clock::now());
        assert_eq!(log.oldest_unacknowledged(0, start), None);
        log.wrote(100, start);
        log.wrote(100, start + 20 * MS);
        assert_eq!(log.oldest_unacknowledged(99, start + 30 * MS), Some(30 * MS));
        assert_eq!(log.oldest_unacknowledged(100, start + 30 * MS), Some(10 * MS));
        assert_eq!(log.oldest_unacknowledged(200, start + 30 * MS), None);
    }

    proptest! {
        /// Against the plain list of all writes: never older than the truth, and at most one quantum younger as long as
        /// the history reaches back.
        #[test]
        fn an_age_is_never_invented_and_understated_by_a_quantum_at_most(
            writes in prop::collection::vec((1u64..2_000, 0u64..3_000), 1..200),
            acknowledged in 0.0f64..1.2,
        ) {
            let start = tokio_test::block_on(async { clock::now() });
            let (mut log, mut all, mut now, mut written) = (WriteLog::default(), Vec::new(), start, 0);
            for (bytes, pause_us) in writes {
                now += Duration::from_micros(pause_us);
                written += bytes;
                log.wrote(bytes, now);
                all.push((written, now));
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
                reason = "any offset will do")]
            let acknowledged = (written as f64 * acknowledged) as u64;
            let truth = all.iter().find(|(end, _)| *end > acknowledged).map(|(_, at)| now - *at);
            let told = log.oldest_unacknowledged(acknowledged, now);
            prop_assert_eq!(told.is_some(), truth.is_some());
            if let (Some(told), Some(truth)) = (told, truth) {
                prop_assert!(told <= truth, "{told:?} told, {truth:?} true");
                prop_assert!(told + QUANTUM >= truth, "{told:?} told, {truth:?} true");
            }
        }
    }
}
