//! How long an endpoint takes to answer: an average that forgets, in one atomic word.

use std::time::Duration;

use tokio::time::Instant;

use crate::sync::atomic::{AtomicU64, Ordering};

/// Peak-sensitive, exponentially weighted moving average of latencies: it jumps to a latency above it at once and comes
/// down with time. Follows Finagle's `PeakEwma` and linkerd's, with time in place of samples as the measure of age.
#[derive(Debug)]
pub(crate) struct Average {
    born: Instant,
    decay: Duration,
    /// The average in nanoseconds, an `f32`, above the millisecond since `born` in which it was last moved. The clock goes
    /// round in 49 days; an average not touched for so long seems young once, and is forgotten again.
    state: AtomicU64,
}

impl Clone for Average {
    fn clone(&self) -> Self {
        Self {
            state: AtomicU64::new(self.state.load(Ordering::Relaxed)),
            ..*self
        }
    }
}

impl Average {
    /// Knows nothing yet. What is older than `decay` has lost all but 1/e of its say.
    pub(crate) fn new(decay: Duration, born: Instant) -> Self {
        Self {
            born,
            decay: decay.max(Duration::from_millis(1)),
            state: AtomicU64::new(0),
        }
    }

    /// Nanoseconds as of `now`; 0 while nothing is known. An endpoint that nobody asks is forgotten, and so asked again.
    pub(crate) fn at(&self, now: Instant) -> f32 {
        let (average, moved) = unpacked(self.state.load(Ordering::Relaxed));
        average * self.remains(self.millis(now).wrapping_sub(moved))
    }

    /// The endpoint answered after `latency`.
    pub(crate) fn answered(&self, latency: Duration, now: Instant) {
        self.fold(latency, now, false);
    }

    /// The call was given up after `latency`, so its answer would have taken longer.
    pub(crate) fn given_up(&self, latency: Duration, now: Instant) {
        self.fold(latency, now, true);
    }

    fn fold(&self, latency: Duration, now: Instant, only_up: bool) {
        let (latency, millis) = (latency.as_secs_f32() * 1e9, self.millis(now));
        let moved_to = |state| {
            let (average, moved) = unpacked(state);
            let remains = self.remains(millis.wrapping_sub(moved));
            if latency >= average * remains {
                return Some(packed(latency, millis));
            }
            // Of the calls that end within one millisecond the first stands for all: they would weigh nothing each.
            let moves = !only_up && millis != moved;
            moves.then(|| packed(average * remains + latency * (1.0 - remains), millis))
        };
        // Nothing to move is no error.
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved_to);
    }

    /// What is left of an average this many milliseconds old.
    fn remains(&self, millis: u32) -> f32 {
        (-Duration::from_millis(millis.into()).div_duration_f32(self.decay)).exp()
    }

    #[expect(clippy::cast_possible_truncation, reason = "a clock that goes round")]
    fn millis(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.born).as_millis() as u32
    }
}

fn packed(average: f32, millis: u32) -> u64 {
    u64::from(average.to_bits()) << 32 | u64::from(millis)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
fn unpacked(state: u64) -> (f32, u32) {
    (f32::from_bits((state >> 32) as u32), state as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    const DECAY: Duration = Duration::from_secs(10);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Milliseconds.
    fn value(average: &Average, now: Instant) -> f32 {
        average.at(now) / 1e6
    }

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_with_time() {
        let begun = clock::now();
        let average = Average::new(DECAY, begun);
        assert!(average.at(begun).abs() < f32::EPSILON);
        average.answered(ms(5), begun);
        average.answered(ms(500), begun + ms(1));
        assert!((value(&average, begun + ms(1)) - 500.0).abs() < 0.1);
        let later = begun + ms(1) + DECAY;
        assert!((value(&average, later) - 500.0 / std::f32::consts::E).abs() < 0.5);
        average.answered(ms(5), later);
        let expected = 500.0 / std::f32::consts::E + 5.0 * (1.0 - 1.0 / std::f32::consts::E);
        assert!((value(&average, later) - expected).abs() < 0.5);
    }

    #[test]
    fn a_call_given_up_counts_only_when_it_was_slow() {
        let begun = clock::now();
        let average = Average::new(DECAY, begun);
        average.answered(ms(50), begun);
        average.given_up(ms(1), begun + ms(100));
        assert!((value(&average, begun) - 50.0).abs() < 0.1);
        average.given_up(ms(900), begun + ms(1000));
        assert!((value(&average, begun + ms(1000)) - 900.0).abs() < 0.1);
    }

    proptest! {
        #[test]
        fn never_leaves_the_range_of_what_it_saw(latencies in prop::collection::vec((1_u64..1000, 0_u64..1000), 1..50)) {
            let mut now = clock::now();
            let average = Average::new(DECAY, now);
            let most = latencies.iter().map(|(latency, _)| *latency).max().unwrap_or(0);
            for (latency, pause) in latencies {
                now += ms(pause);
                average.answered(ms(latency), now);
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let most = most as f32;
                prop_assert!(value(&average, now) > 0.0 && value(&average, now) <= most * 1.001);
            }
        }
    }
}
