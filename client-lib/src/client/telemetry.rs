//! What the client counts, through the `metrics` facade: whatever recorder the application has installed gets it.
//! Without the feature `metrics` nothing is left of it.

use std::time::Duration;

use super::retry::Fate;
use super::{Cause, Error, Phase};

#[cfg(feature = "metrics")]
mod names {
    pub(super) const CALLS: &str = "obit_client_calls_total";
    pub(super) const SECONDS: &str = "obit_client_call_seconds";
    pub(super) const MOVED: &str = "obit_client_calls_moved_total";
    pub(super) const HEDGES: &str = "obit_client_hedges_total";
    pub(super) const WAITING: &str = "obit_client_calls_waiting";
    pub(super) const ENDPOINTS: &str = "obit_client_endpoints";
    pub(super) const TRANSITIONS: &str = "obit_client_endpoint_transitions_total";
    pub(super) const SAVED: &str = "obit_client_dial_milliseconds_saved_total";
}

/// Tells the recorder that is installed what this crate's metrics mean, and in which units they are. To be called once, after
/// the recorder was installed; without it, everything is counted all the same.
///
/// | metric | kind | labels | what |
/// |---|---|---|---|
/// | `obit_client_calls_total` | counter | `service`, `outcome` | calls that ended: `ok` with a response's head, or the kind of [`Error`] |
/// | `obit_client_call_seconds` | histogram | `service` | from the call to its response's head or its error |
/// | `obit_client_calls_moved_total` | counter | `service`, `fate` | calls sent again elsewhere, by what became of the attempt before |
/// | `obit_client_hedges_total` | counter | `service` | calls sent to a second endpoint because the first was slow or suspected |
/// | `obit_client_calls_waiting` | gauge | `service` | calls in the queue |
/// | `obit_client_endpoints` | gauge | `service`, `phase` | endpoints by [`Phase`] |
/// | `obit_client_endpoint_transitions_total` | counter | `service`, `to`, `cause` | changes of an endpoint's phase |
/// | `obit_client_dial_milliseconds_saved_total` | counter | `service` | see [`EndpointStatus::time_saved`](super::EndpointStatus::time_saved) |
///
/// `service` is the origin's authority; the other labels have a fixed set of values. No label names an endpoint.
#[cfg(feature = "metrics")]
pub fn describe_metrics() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!(names::CALLS, Unit::Count, "Calls that ended, by outcome");
    describe_histogram!(
        names::SECONDS,
        Unit::Seconds,
        "From the call to its response's head or its error"
    );
    describe_counter!(names::MOVED, Unit::Count, "Calls sent again elsewhere");
    describe_counter!(
        names::HEDGES,
        Unit::Count,
        "Calls sent to a second endpoint because the first was slow or suspected"
    );
    describe_gauge!(names::WAITING, Unit::Count, "Calls in the queue");
    describe_gauge!(names::ENDPOINTS, Unit::Count, "Endpoints by phase");
    describe_counter!(names::TRANSITIONS, Unit::Count, "Changes of an endpoint's phase");
    describe_counter!(
        names::SAVED,
        Unit::Milliseconds,
        "What was left of dial timeouts when evidence ended the dial"
    );
}

/// Counts what happens to one client's calls and endpoints.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    #[cfg(feature = "metrics")]
    service: std::sync::Arc<str>,
}

#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
impl Telemetry {
    pub(crate) fn new(service: &str) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            service: service.into(),
        }
    }

    pub(crate) fn call(&self, outcome: Option<&Error>, lasted: impl FnOnce() -> Duration) {
        #[cfg(feature = "metrics")]
        {
            let outcome = outcome.map_or("ok", kind);
            metrics::counter!(names::CALLS, "service" => self.service.clone(), "outcome" => outcome).increment(1);
            metrics::histogram!(names::SECONDS, "service" => self.service.clone()).record(lasted().as_secs_f64());
        }
    }

    pub(crate) fn moved(&self, fate: Fate) {
        #[cfg(feature = "metrics")]
        {
            let fate = match fate {
                Fate::NotSent => "not_sent",
                Fate::SentAway | Fate::Unprocessed => "unprocessed",
                Fate::Stranded | Fate::Unknown => "unknown",
            };
            metrics::counter!(names::MOVED, "service" => self.service.clone(), "fate" => fate).increment(1);
        }
    }

    pub(crate) fn hedged(&self) {
        #[cfg(feature = "metrics")]
        metrics::counter!(names::HEDGES, "service" => self.service.clone()).increment(1);
    }

    /// So many more calls wait, or less.
    pub(crate) fn waiting(&self, change: f64) {
        #[cfg(feature = "metrics")]
        metrics::gauge!(names::WAITING, "service" => self.service.clone()).increment(change);
    }

    /// An endpoint went `from` one phase, unless it is new, `to` another.
    pub(crate) fn endpoint(&self, from: Option<Phase>, to: Phase, cause: Cause) {
        #[cfg(feature = "metrics")]
        {
            let gauge = |phase: Phase| metrics::gauge!(names::ENDPOINTS, "service" => self.service.clone(), "phase" => phase.name());
            if let Some(from) = from {
                gauge(from).decrement(1);
            }
            if to != Phase::Removed {
                gauge(to).increment(1);
            }
            let labels = [("to", to.name()), ("cause", cause.name())];
            let service = self.service.clone();
            metrics::counter!(names::TRANSITIONS, "service" => service, "to" => labels[0].1, "cause" => labels[1].1)
                .increment(1);
        }
    }

    pub(crate) fn saved(&self, time: Duration) {
        #[cfg(feature = "metrics")]
        {
            let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            metrics::counter!(names::SAVED, "service" => self.service.clone()).increment(milliseconds);
        }
    }
}

/// A call in the queue.
pub(crate) struct Waits<'a>(&'a Telemetry);

impl<'a> Waits<'a> {
    pub(crate) fn new(telemetry: &'a Telemetry) -> Self {
        telemetry.waiting(1.0);
        Self(telemetry)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting(-1.0);
    }
}

#[cfg(feature = "metrics")]
fn kind(error: &Error) -> &'static str {
    match error {
        Error::PeerDead(_) => "peer_dead",
        Error::Connection { .. } => "connection",
        Error::Truncated { .. } => "truncated",
        Error::NoEndpoint { .. } => "no_endpoint",
        Error::Overloaded { .. } => "overloaded",
        Error::RequestBody(_) => "request_body",
        Error::InvalidRequest(_) => "invalid_request",
        Error::ShutDown => "shut_down",
    }
}
