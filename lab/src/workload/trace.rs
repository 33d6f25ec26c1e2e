//! Every call of a run as one small record, from which all figures are derived: what a report says of a client is what
//! this list says, nothing is counted twice on the way.

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

impl Call {
    /// How long it took.
    #[must_use]
    pub fn took_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}
