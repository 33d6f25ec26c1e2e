//! How a client is made: every setting, its default and the reason for it.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::request::Parts;
use http::uri::{Authority, Scheme};

use super::Client;
use super::call::Classifier;
use super::policy::{Policy, RoundRobin};
use super::pool::{Pool, Settings, Subset};
use super::resolve::{Dns, Endpoint, Fixed, Resolve};
use super::retry::RetryBudget;
use crate::connection::DialOptions;
use crate::feed::Feed;

/// Why a client cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The origin is no `http://host[:port]`.
    #[error("{0:?} is no origin of the form http://host[:port]")]
    Origin(String),
    /// TLS is not built yet.
    #[error("https is not supported yet; use http://")]
    Https,
}

/// Settings of a [`Client`]; every one has a default that suits a service of pods behind a headless name.
#[must_use = "a builder does nothing until `build`"]
pub struct ClientBuilder {
    origin: String,
    feed: Option<Feed>,
    resolver: Option<Box<dyn Resolve>>,
    policy: Option<Arc<dyn Policy>>,
    subset: Option<Subset>,
    classifier: Classifier,
    budget: RetryBudget,
    connect_timeout: Duration,
    drain_timeout: Duration,
    queue: (usize, Duration),
}

impl ClientBuilder {
    pub(super) fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            feed: None,
            resolver: None,
            policy: None,
            subset: None,
            classifier: Classifier::default(),
            budget: RetryBudget::default(),
            connect_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(30),
            queue: (8192, Duration::from_secs(5)),
        }
    }

    /// The subscription to the monitor. Default: [`Feed::global`].
    pub fn feed(mut self, feed: Feed) -> Self {
        self.feed = Some(feed);
        self
    }

    /// A fixed list of endpoints, in place of DNS.
    pub fn endpoints<E: Into<Endpoint>>(self, endpoints: impl IntoIterator<Item = E>) -> Self {
        self.resolver(endpoints.into_iter().collect::<Fixed>())
    }

    /// Where endpoints come from. Default: DNS, the name of the origin.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Some(Box::new(resolver));
        self
    }

    /// Which endpoint takes the next call. Default: [`RoundRobin`] with a random start.
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.policy = Some(Arc::new(policy));
        self
    }

    /// Connects to some of the endpoints only. Default: to all of them.
    pub fn subset(mut self, subset: Subset) -> Self {
        self.subset = Some(subset);
        self
    }

    /// Which requests may be processed twice; `None` leaves it to the method. A request's own
    /// [`Idempotent`](super::Idempotent) outranks this.
    ///
    /// ```
    /// # let builder = obit::Client::builder("http://shop.default.svc");
    /// // Every read of this service is a POST, as gRPC wants it.
    /// let builder = builder.idempotent(|head| head.uri.path().ends_with("/Get").then_some(true));
    /// ```
    pub fn idempotent(mut self, classify: impl Fn(&Parts) -> Option<bool> + Send + Sync + 'static) -> Self {
        self.classifier = Classifier::new(classify);
        self
    }

    /// How much of the traffic may be repeats of calls whose fate is unknown. Default: 20 % and 10 a second.
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// How long a dial may take, and then again the HTTP/2 greeting. No call waits for it while another endpoint is
    /// ready. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long calls in flight on an endpoint that was removed or evicted may take to end. Default: 30 s, the grace
    /// Kubernetes gives a pod.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// How many calls may wait while no stream is free, and for how long. Default: 8 192 for 5 s.
    pub fn queue(mut self, limit: usize, deadline: Duration) -> Self {
        self.queue = (limit, deadline);
        self
    }

    /// Starts the client on the current runtime. It dials at once; nothing is waited for.
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn build(self) -> Result<Client, BuildError> {
        let (scheme, authority) = origin(&self.origin)?;
        let resolver = match self.resolver {
            Some(resolver) => resolver,
            None => Box::new(Dns::new(authority.host(), authority.port_u16().unwrap_or(80))),
        };
        let policy = self
            .policy
            .unwrap_or_else(|| Arc::new(RoundRobin::starting_at(fastrand::usize(..))));
        let dial = DialOptions {
            connect_timeout: Some(self.connect_timeout),
            ..DialOptions::default()
        };
        let pool = Pool::new(Settings {
            scheme,
            authority,
            feed: self.feed.unwrap_or_else(Feed::global),
            policy,
            subset: self.subset,
            classifier: self.classifier,
            budget: self.budget,
            connect_timeout: self.connect_timeout,
            drain_timeout: self.drain_timeout,
            queue_limit: self.queue.0,
            queue_deadline: self.queue.1,
            dial,
        });
        Ok(Client::start(pool, resolver))
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

fn origin(text: &str) -> Result<(Scheme, Authority), BuildError> {
    let malformed = || BuildError::Origin(text.to_owned());
    let parts = text.parse::<Uri>().map_err(|_| malformed())?.into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
        return Err(malformed());
    };
    match scheme.as_str() {
        "http" => Ok((scheme, authority)),
        "https" => Err(BuildError::Https),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_http_and_a_host() {
        assert_eq!(origin("http://api:8080").unwrap().1, "api:8080");
        assert!(origin("http://[2001:db8::1]:80").is_ok());
        assert_eq!(origin("https://api"), Err(BuildError::Https));
        for malformed in ["api:8080", "api", "", "ftp://api", "http://"] {
            assert_eq!(
                origin(malformed),
                Err(BuildError::Origin(malformed.to_owned())),
                "{malformed:?}"
            );
        }
    }
}
