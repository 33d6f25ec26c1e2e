//! The silence rule: when an established connection's silence says that the peer's *kernel* is gone, and not merely its
//! process slow. Pure; [`SocketProbe`](super::SocketProbe) brings the samples, the pool the cadence and the dial.
//!
//! A live kernel acknowledges what it received within its delayed-ack timer, 48 ms at most (Linux, `HZ=250`: 40 ms and up
//! to two jiffies; in 250 000 healthy connection-seconds, idle, overloaded, throttled and stopped, none was longer),
//! whatever its processes do. Bytes in the network and *nothing* heard for longer is silence of the kernel or of the path.
//! A lost packet looks the same, which is why the rule only suspects: fresh dials confirm.

use std::time::Duration;

/// Silence after which fresh dials are worth their SYNs, so that the answer is in when suspicion is due.
pub const DIAL_AFTER: Duration = Duration::from_millis(45);

/// Silence, beyond twice the path's round trip, after which the peer is suspect: 48 ms and a margin.
pub const SUSPECT_AFTER: Duration = Duration::from_millis(60);

/// How often to sample an overdue connection.
pub const CADENCE: Duration = Duration::from_millis(5);

/// Samples in a row that must be silent: one alone may have met the answer on its way.
const SAMPLES_IN_A_ROW: u32 = 2;

/// What the kernel and the connection's own record of writes tell at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SocketSample {
    /// Segments sent and not acknowledged, probes of keep-alive among them. Zero while idle and while the peer's window is closed.
    pub unacked: u32,
    /// Bytes written and not yet sent.
    pub notsent_bytes: u32,
    /// Since the last acknowledgement of any kind (jiffy granularity; stale while idle).
    pub last_ack_recv: Duration,
    /// Since the last data (jiffy granularity; stale while idle).
    pub last_data_recv: Duration,
    /// The shortest round trip seen: the path, without the peer's delayed acknowledgements.
    pub min_rtt: Duration,
    /// Segments retransmitted since the connection began. No proof: a throttled peer provokes them.
    pub total_retrans: u32,
    /// Since the oldest unacknowledged byte was written, or since a probe without an answer was first seen; `None` if there is none.
    pub oldest_unacked: Option<Duration>,
}

impl SocketSample {
    /// Since the peer's kernel was last heard, whatever it said.
    pub(crate) fn last_heard(&self) -> Duration {
        self.last_ack_recv.min(self.last_data_recv)
    }

    /// For how long the peer's kernel owes an answer and nothing came; `None` while it owes none.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        if self.unacked == 0 {
            return None;
        }
        let oldest = self.oldest_unacked?;
        Some(oldest.min(self.last_heard()))
    }

    /// The silence after which this connection's peer is suspect.
    #[must_use]
    pub fn threshold(&self) -> Duration {
        SUSPECT_AFTER + 2 * self.min_rtt
    }

    /// Whether the peer's window is closed: its process does not read, its kernel is alive. No verdict follows.
    #[must_use]
    pub fn is_window_closed(&self) -> bool {
        self.unacked == 0 && self.notsent_bytes > 0
    }
}

/// What a connection's silence calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Silence {
    /// Nothing.
    Quiet,
    /// Fresh dials to the peer, shared by all connections to it: their answer, or lack of one, will be needed.
    Dial,
    /// The peer is suspect. Dead only if those fresh dials are not answered either.
    Suspect,
}

/// The rule for one connection. Feed it a sample every [`CADENCE`] while a call is overdue; begin anew for the next call.
///
/// ```
/// use std::time::Duration;
/// use obit::connection::{Silence, SilenceRule, SocketSample};
///
/// let ms = Duration::from_millis;
/// let silent_for = |silence| SocketSample {
///     unacked: 1,
///     last_ack_recv: silence,
///     last_data_recv: silence,
///     oldest_unacked: Some(silence),
///     ..SocketSample::default()
/// };
/// let mut rule = SilenceRule::default();
/// assert_eq!(rule.observe(&silent_for(ms(40))), Silence::Quiet);
/// assert_eq!(rule.observe(&silent_for(ms(45))), Silence::Dial);
/// assert_eq!(rule.observe(&silent_for(ms(60))), Silence::Dial);
/// assert_eq!(rule.observe(&silent_for(ms(65))), Silence::Suspect);
/// ```
#[derive(Debug, Clone, Default)]
pub struct SilenceRule {
    silent_samples: u32,
}

impl SilenceRule {
    /// What the newest sample, after those before it, calls for.
    pub fn observe(&mut self, sample: &SocketSample) -> Silence {
        let silence = sample.silence().unwrap_or_default();
        if silence >= sample.threshold() {
            self.silent_samples = self.silent_samples.saturating_add(1);
        } else {
            self.silent_samples = 0;
        }
        if self.silent_samples >= SAMPLES_IN_A_ROW {
            Silence::Suspect
        } else if silence >= DIAL_AFTER {
            Silence::Dial
        } else {
            Silence::Quiet
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn any_sample() -> impl Strategy<Value = SocketSample> {
        let up_to = |max: u64| (0..max).prop_map(ms);
        (
            0..3u32,
            0..2u32,
            up_to(200),
            up_to(200),
            up_to(60),
            0..3u32,
            proptest::option::of(up_to(200)),
        )
            .prop_map(
                |(unacked, notsent_bytes, last_ack_recv, last_data_recv, min_rtt, total_retrans, oldest_unacked)| {
                    SocketSample {
                        unacked,
                        notsent_bytes,
                        last_ack_recv,
                        last_data_recv,
                        min_rtt,
                        total_retrans,
                        oldest_unacked,
                    }
                },
            )
    }

    #[test]
    fn a_closed_window_is_no_silence() {
        let sample = SocketSample {
            notsent_bytes: 70_000,
            last_ack_recv: ms(1_260),
            last_data_recv: ms(3_000),
            oldest_unacked: Some(ms(3_000)),
            ..SocketSample::default()
        };
        assert!(sample.is_window_closed());
        let mut rule = SilenceRule::default();
        assert!((0..100).all(|_| rule.observe(&sample) == Silence::Quiet));
    }

    #[test]
    fn an_idle_connection_that_just_wrote_is_not_as_silent_as_its_last_answer_is_old() {
        let sample = SocketSample {
            unacked: 1,
            last_ack_recv: ms(60_000),
            last_data_recv: ms(60_000),
            oldest_unacked: Some(ms(2)),
            ..SocketSample::default()
        };
        assert_eq!(sample.silence(), Some(ms(2)));
    }

    proptest! {
        #[test]
        fn nothing_is_suspected_within_the_delayed_ack_of_a_live_kernel(
            samples in prop::collection::vec(any_sample(), 1..50),
            heard in 0u64..=48,
        ) {
            let mut rule = SilenceRule::default();
            for mut sample in samples {
                sample.last_ack_recv = sample.last_ack_recv.min(ms(heard));
                prop_assert!(rule.observe(&sample) < Silence::Suspect);
            }
        }

        #[test]
        fn suspicion_takes_two_samples_in_a_row_beyond_the_threshold(samples in prop::collection::vec(any_sample(), 1..80)) {
            let mut rule = SilenceRule::default();
            let mut before = false;
            for sample in samples {
                let silent = sample.silence().is_some_and(|silence| silence >= sample.threshold());
                prop_assert_eq!(rule.observe(&sample) == Silence::Suspect, silent && before);
                before = silent;
            }
        }

        #[test]
        fn a_peer_that_owes_nothing_is_left_in_peace(samples in prop::collection::vec(any_sample(), 1..50)) {
            let mut rule = SilenceRule::default();
            for sample in samples {
                let nothing_owed = SocketSample { unacked: 0, ..sample };
                prop_assert_eq!(rule.observe(&nothing_owed), Silence::Quiet);
                let all_acknowledged = SocketSample { oldest_unacked: None, ..sample };
                prop_assert_eq!(rule.observe(&all_acknowledged), Silence::Quiet);
            }
        }
    }
}
