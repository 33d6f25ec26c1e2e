//! What a policy may know of the call it chooses an endpoint for.

use std::fmt;
use std::net::SocketAddr;

use http::request::Parts;
use tokio::time::Instant;

use super::Candidate;

/// The clock and the dice of a pick, so that policies have none of their own and can be tested.
pub trait Environment {
    /// The time.
    fn now(&self) -> Instant;

    /// 64 random bits.
    fn random(&self) -> u64;
}

/// A call that needs an endpoint.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    head: &'a Parts,
    tried: &'a [SocketAddr],
    environment: &'a dyn Environment,
}

impl<'a> Call<'a> {
    /// The first attempt of a request with this head.
    #[must_use]
    pub fn new(head: &'a Parts, environment: &'a dyn Environment) -> Self {
        Self {
            head,
            tried: &[],
            environment,
        }
    }

    /// The next attempt of a call that failed at these endpoints.
    #[must_use]
    pub fn after(self, tried: &'a [SocketAddr]) -> Self {
        Self { tried, ..self }
    }

    /// The request without its body.
    #[must_use]
    pub fn head(&self) -> &'a Parts {
        self.head
    }

    /// The time, read when asked for.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.environment.now()
    }

    /// 64 random bits, new ones each time.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.environment.random()
    }

    /// Whether the endpoint has a free stream and did not fail this very call before.
    #[must_use]
    pub fn suits(&self, candidate: &Candidate) -> bool {
        !self.tried.contains(&candidate.address()) && !candidate.is_full()
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("head", &self.head)
            .field("tried", &self.tried)
            .finish_non_exhaustive()
    }
}
