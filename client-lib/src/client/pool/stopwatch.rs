//! Measures how long an endpoint takes to answer one call.

use tokio::time::Instant;

use crate::client::policy::Average;
use crate::clock;

/// Tells the average when the call is answered, or how long it was waited for when it is dropped before.
#[derive(Debug)]
pub(crate) struct Stopwatch<'a> {
    average: &'a Average,
    begun: Instant,
    answered: bool,
}

impl<'a> Stopwatch<'a> {
    pub(crate) fn start(average: &'a Average) -> Self {
        Self {
            average,
            begun: clock::now(),
            answered: false,
        }
    }

    /// The head of the response came.
    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        let now = clock::now();
        let latency = now.saturating_duration_since(self.begun);
        if self.answered {
            self.average.answered(latency, now);
        } else {
            self.average.given_up(latency, now);
        }
    }
}
