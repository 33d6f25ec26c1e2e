//! What a client may do that leaves nothing to measure. It is the client's: the runs of others stand.

use std::process::ExitStatus;
use std::time::Duration;

use crate::contract::Breach;

/// Why a client's run says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// Its program is not there.
    #[error("{program} is not here: {remedy}")]
    Absent {
        /// The program.
        program: &'static str,
        /// What brings it here.
        remedy: &'static str,
    },
    /// It cannot do what the scenario asks for.
    #[error("it {0}")]
    Unable(String),
    /// The proxy that it calls through has ended.
    #[error("its proxy {program} ended ({status}); what it said is above")]
    Proxy {
        /// The proxy.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// It broke the contract.
    #[error(transparent)]
    Breach(#[from] Breach),
    /// A line is no text, or endless.
    #[error("it printed what is no line of text: {0}")]
    Unreadable(String),
    /// It never became ready.
    #[error("it did not become ready within {0:?}")]
    NotReady(Duration),
    /// It did not do what `go` asks for.
    #[error("it did not start within {0:?} of being told to")]
    NotStarted(Duration),
    /// It ended before it had said everything.
    #[error("it ended ({0}) before it was done; what it said is above")]
    Ended(ExitStatus),
    /// It said everything and did not end well.
    #[error("it was done and then failed ({0}); what it said is above")]
    Failed(ExitStatus),
    /// It did not stop.
    #[error("it did not stop by itself within {0:?}, and was killed")]
    Overdue(Duration),
}
