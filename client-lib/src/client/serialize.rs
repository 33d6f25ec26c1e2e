//! An endpoint's status as data: times as milliseconds ago, phases and causes in words.

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::{EndpointStatus, Phase};
use crate::clock;

impl Serialize for Phase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Serialize for EndpointStatus {
    /// `peer`, `phase`, `cause`, `since_ms`, `connections`, `in_flight`, `rtt_us` (or null), `last_evidence` (null, or
    /// `cause` and `since_ms`), `time_saved_ms`. `since_ms` is how many milliseconds ago.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Evidence {
            cause: String,
            since_ms: u64,
        }
        let now = clock::now();
        let evidence = self.last_evidence.map(|(cause, at)| Evidence {
            cause: cause.to_string(),
            since_ms: milliseconds(now, at),
        });
        let mut status = serializer.serialize_struct("EndpointStatus", 9)?;
        status.serialize_field("peer", &self.peer)?;
        status.serialize_field("phase", &self.phase)?;
        status.serialize_field("cause", &self.cause.to_string())?;
        status.serialize_field("since_ms", &milliseconds(now, self.since))?;
        status.serialize_field("connections", &self.connections)?;
        status.serialize_field("in_flight", &self.in_flight)?;
        status.serialize_field("rtt_us", &self.rtt.map(|rtt| rtt.as_micros()))?;
        status.serialize_field("last_evidence", &evidence)?;
        status.serialize_field("time_saved_ms", &self.time_saved.as_millis())?;
        status.end()
    }
}

fn milliseconds(now: Instant, at: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(at).as_millis()).unwrap_or(u64::MAX)
}
