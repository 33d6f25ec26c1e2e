//! Between the rotation and the call: which of the endpoints in rotation gets the next call. Pure; lock-free.

mod round_robin;
mod two_choices;

use std::fmt::Debug;

pub use round_robin::RoundRobin;
pub use two_choices::TwoChoices;

/// What a [`Policy`] may know of the endpoints in rotation. Indices are stable only within one pick.
pub trait Candidates {
    /// How many endpoints are in rotation; never 0 while a policy is asked.
    fn len(&self) -> usize;

    /// How many calls endpoint `index` (below [`len`](Self::len)) is serving for this client right now.
    fn in_flight(&self, index: usize) -> usize;

    /// Whether nobody is in rotation.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Chooses an endpoint for a call. Called once or twice for each call, from many threads at once: keep it short and
/// lock-free. When the chosen endpoint has no free stream, or failed this very call before, the client goes on to the
/// next free one.
pub trait Policy: Debug + Send + Sync + 'static {
    /// The index of the endpoint to use. An index out of range is taken modulo [`Candidates::len`].
    fn pick(&self, candidates: &dyn Candidates) -> usize;
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::Candidates;

    /// Endpoints with so many calls in flight.
    pub(crate) struct Loads(pub(crate) Vec<usize>);

    impl Candidates for Loads {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn in_flight(&self, index: usize) -> usize {
            self.0[index]
        }
    }
}
