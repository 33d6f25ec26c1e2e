//! Between the rotation and the call: which of the endpoints in rotation gets the next call. Pure; lock-free.
//!
//! # Choosing a policy
//!
//! | policy | a pick costs | take it when |
//! |---|---|---|
//! | [`RoundRobin`] (default) | one shared counter | calls cost alike and endpoints are alike: the evenest split there is |
//! | [`Random`] | a draw | as round robin, where thousands of clients or many threads must not fall into step |
//! | [`TwoChoices`] | two looks | calls differ in cost, or endpoints in speed |
//! | [`PeakEwma`] | two looks, a clock, two exponentials | endpoints differ in speed or distance, or have bad moments |
//! | [`LeastRequest`] | up to eight looks | there are few endpoints, and calls are long or very uneven |
//! | [`HeaderHash`] | a hash, a look-up | servers keep caches or sessions by a key that a header names |
//!
//! And around any of them:
//!
//! | policy | a pick costs | take it when |
//! |---|---|---|
//! | [`ZoneAware`] | a draw more | traffic between zones costs money or milliseconds |
//! | [`SlowStart`] | nothing more | servers are slow until they are warm |
//!
//! Every policy honours the [weight](super::resolve::Endpoint::weight) of an endpoint. With weights that differ, a pick
//! also looks its endpoint up by bisection, in `O(log n)`.

mod average;
mod call;
mod candidate;
mod header_hash;
mod least_request;
mod load;
mod peak_ewma;
mod random;
mod ring;
mod round_robin;
mod scaled;
mod shares;
mod slow_start;
mod two_choices;
mod zone_aware;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use average::Average;
pub use call::{Call, Environment};
pub use candidate::Candidate;
pub use header_hash::HeaderHash;
pub use least_request::LeastRequest;
pub(crate) use load::{Load, Loads};
pub use peak_ewma::PeakEwma;
pub use random::Random;
pub use round_robin::RoundRobin;
pub use slow_start::SlowStart;
pub use two_choices::TwoChoices;
pub use zone_aware::ZoneAware;

/// How a client shares its calls out among its endpoints.
///
/// What follows from the set of endpoints alone is worked out once for each set, in [`prepare`](Self::prepare); what is
/// left for the call is in the [`Picker`].
///
/// ```
/// use std::sync::Arc;
///
/// use obit::policy::{Call, Candidate, Picker, Policy};
/// use tokio::time::Instant;
///
/// /// The first endpoint that can take the call, in the order of their addresses: one serves, the others stand by.
/// #[derive(Debug)]
/// struct Standby;
///
/// impl Policy for Standby {
///     fn prepare(&self, candidates: Arc<[Candidate]>, _: Instant) -> Box<dyn Picker> {
///         Box::new(InOrder(candidates))
///     }
/// }
///
/// #[derive(Debug)]
/// struct InOrder(Arc<[Candidate]>);
///
/// impl Picker for InOrder {
///     fn pick(&self, call: &Call<'_>) -> usize {
///         self.0.iter().position(|candidate| call.suits(candidate)).unwrap_or(0)
///     }
/// }
///
/// let client = obit::Client::builder("http://shop.default.svc").policy(Standby);
/// ```
pub trait Policy: Debug + Send + Sync + 'static {
    /// Gets ready for a new rotation: `candidates`, never none, ordered by address, as of `now`. Called under a lock,
    /// whenever an endpoint comes into rotation, leaves it, or changes its weight or zone.
    fn prepare(&self, candidates: Arc<[Candidate]>, now: Instant) -> Box<dyn Picker>;

    /// Whether the client is to measure for this policy how long endpoints take to answer, and after what time it is to
    /// forget; asked once. Default: `None`, it does not, which spares each call two readings of the clock.
    fn measures(&self) -> Option<Duration> {
        None
    }
}

/// A policy at work on one rotation.
pub trait Picker: Debug + Send + Sync + 'static {
    /// The index, among the candidates it was prepared with, of the endpoint to use; taken modulo their number.
    ///
    /// Called once or twice for each attempt, from many threads at once: keep it short and lock-free, and do not allocate.
    /// When the chosen endpoint does not [suit](Call::suits) the call, the client asks once more and then goes on to the
    /// next one that does.
    fn pick(&self, call: &Call<'_>) -> usize;

    /// When the policy is to be prepared anew though nothing changed but the time. Default: `None`, never.
    fn stale_at(&self) -> Option<Instant> {
        None
    }
}

#[cfg(test)]
pub(crate) mod fixture;
