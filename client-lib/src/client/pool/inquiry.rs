//! When a connection that owes nothing and has calls in flight is to ask its peer's kernel, earlier than keep-alive does by itself:
//! a request that was acknowledged before the peer's node was lost leaves no trace. Pure.

use std::time::Duration;

use crate::connection::SocketSample;

/// The first question: as early as the kernel lets anybody set it.
const FIRST: Duration = Duration::from_secs(1);

/// The questions of one connection: after a second without a segment, after two more, after four, and so on to what is configured, as
/// long as the same calls wait.
#[derive(Debug)]
pub(super) struct Inquiry {
    patience: Duration,
    asking: bool,
}

impl Default for Inquiry {
    fn default() -> Self {
        Self {
            patience: FIRST,
            asking: false,
        }
    }
}

impl Inquiry {
    /// What keep-alive is to be set to after this look at a connection where it asks after `usual`: that, or so short that it asks now.
    pub(super) fn look(&mut self, sample: &SocketSample, waiting: bool, usual: Duration) -> Option<Duration> {
        let quiet = sample.last_heard();
        if self.asking {
            if waiting && quiet >= FIRST {
                return None;
            }
            self.asking = false;
            self.patience *= 2;
            return Some(usual);
        }
        if !waiting || sample.last_data_recv < FIRST {
            self.patience = FIRST;
        }
        let due = waiting && sample.unacked == 0 && quiet >= self.patience && self.patience < usual;
        self.asking = due;
        due.then_some(FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_secs(5);

    fn quiet(data_ms: u64, ack_ms: u64) -> SocketSample {
        SocketSample {
            last_data_recv: Duration::from_millis(data_ms),
            last_ack_recv: Duration::from_millis(ack_ms),
            ..SocketSample::default()
        }
    }

    #[test]
    fn whoever_waits_longer_asks_less_often() {
        let mut inquiry = Inquiry::default();
        assert_eq!(inquiry.look(&quiet(900, 900), true, USUAL), None);
        let mut asked = Vec::new();
        let (mut heard, mut now) = (0, 1_000);
        while now < 40_000 {
            match inquiry.look(&quiet(now, now - heard), true, USUAL) {
                Some(FIRST) => asked.push(now - heard),
                Some(pause) => assert_eq!((pause, now), (USUAL, heard)),
                None => {}
            }
            // The peer answers within a look.
            if inquiry.asking {
                heard = now;
            } else {
                now += 20;
            }
        }
        assert_eq!(asked, [1_000, 2_000, 4_000]);
    }

    #[test]
    fn data_begins_anew_and_nobody_asks_for_nobody() {
        let mut inquiry = Inquiry {
            patience: 4 * FIRST,
            asking: false,
        };
        assert_eq!(inquiry.look(&quiet(3_000, 3_000), true, USUAL), None);
        assert_eq!(inquiry.look(&quiet(10, 10), true, USUAL), None);
        assert_eq!(inquiry.look(&quiet(1_000, 1_000), false, USUAL), None);
        assert_eq!(
            inquiry.look(&quiet(1_000, 1_000), true, FIRST),
            None,
            "keep-alive asks as early"
        );
        let owes = SocketSample {
            unacked: 1,
            ..quiet(1_000, 1_000)
        };
        assert_eq!(inquiry.look(&owes, true, USUAL), None, "the silence rule's");
        assert_eq!(inquiry.look(&quiet(1_000, 1_000), true, USUAL), Some(FIRST));
        assert_eq!(inquiry.look(&quiet(1_020, 1_020), true, USUAL), None);
        assert_eq!(inquiry.look(&quiet(1_040, 1_040), false, USUAL), Some(USUAL));
    }
}
