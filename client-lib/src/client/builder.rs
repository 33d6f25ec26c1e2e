//! How a client is made: every setting, its default and the reason for it.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::request::Parts;
use http::uri::{Authority, Scheme};

use super::Client;
use super::call::Classifier;
use super::origin::ServiceOrigin;
use super::policy::{Policy, RoundRobin};
#[cfg(feature = "tls")]
use super::pool::Tls;
use super::pool::{Connections, HealthCheck, OutlierDetection, Pool, Protocol, Settings, Speech, Subset};
use super::resolve::{Dns, Endpoint, Fixed, Resolve};
use super::retry::RetryBudget;
use crate::connection::DialOptions;
use crate::feed::Feed;

/// Why a client cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The origin is no `http://host[:port]`, nor one with `https`.
    #[error("{0:?} is no origin of the form http://host[:port] or https://host[:port]")]
    Origin(String),
    /// The origin's scheme is one that means nothing here.
    #[error("{origin:?} has the scheme {scheme:?}, which is none of http, https and obit")]
    Scheme {
        /// The origin.
        origin: String,
        /// Its scheme.
        scheme: String,
    },
    /// The origin is no `obit:///service.namespace:port`.
    #[error(
        "{origin:?} names no port of a service ({why}): obit:///service.namespace:port, the port by number or by name"
    )]
    Service {
        /// The origin.
        origin: String,
        /// What is wrong with it.
        why: String,
    },
    /// The crate was built without its feature `tls`.
    #[error("https needs the feature `tls` of the crate obit: enable it, or use http://")]
    Https,
    /// The system has no root certificates that could be read.
    #[cfg(feature = "tls")]
    #[error(
        "no root certificates ({0}): install the system's (Debian: ca-certificates), or give a configuration with `tls`"
    )]
    NoRoots(String),
    /// The origin's host cannot be asked of a certificate.
    #[cfg(feature = "tls")]
    #[error("{0:?} can be no name in a certificate: give one that can be with `tls_name`")]
    TlsName(String),
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
    protocol: Protocol,
    connections: Connections,
    max_age: Option<Duration>,
    idle_timeout: Option<Duration>,
    hedge_after: Option<Duration>,
    outliers: Option<OutlierDetection>,
    check: Option<HealthCheck>,
    #[cfg(feature = "tls")]
    tls: Option<rustls::ClientConfig>,
    #[cfg(feature = "tls")]
    tls_name: Option<String>,
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
            protocol: Protocol::Auto,
            connections: Connections { http2: 1, http1: 64 },
            max_age: None,
            idle_timeout: None,
            hedge_after: None,
            outliers: None,
            check: None,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            tls_name: None,
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

    /// Where endpoints come from. Default: DNS, the name of the origin; of a service (`obit:///`) the monitor, and DNS while it does
    /// not answer.
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

    /// Sends a call that may be processed twice to a second endpoint when the first has not answered after this time, or at once
    /// when the first comes to be suspected meanwhile: by the monitor, or because its kernel acknowledges nothing. The first
    /// answer wins, and the other stream is reset. No call has more than one such attempt. Paid from the [retry budget](Self::retry_budget), and only while a stream is
    /// free; bodies that are still being produced are not hedged. Default: `None`, never. A good value is what nine of ten
    /// calls, or nineteen of twenty, take at most: less doubles the traffic, more gains nothing.
    pub fn hedge_after(mut self, pause: impl Into<Option<Duration>>) -> Self {
        self.hedge_after = pause.into();
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

    /// Which versions of HTTP are spoken. Default: [`Protocol::Auto`].
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// How many HTTP/2 connections are kept to each endpoint, at least 1. Default: 1. More than one where a single
    /// connection's flow control or its one thread on the server are the bound: each call goes to the one that carries least.
    pub fn connections_per_endpoint(mut self, count: usize) -> Self {
        self.connections.http2 = count.max(1);
        self
    }

    /// How many HTTP/1.1 connections there may be to each endpoint, at least 1. Default: 64. They are opened as calls need
    /// them, and closed when they were not used for half a minute.
    pub fn http1_connections_per_endpoint(mut self, most: usize) -> Self {
        self.connections.http1 = most.max(1);
        self
    }

    /// Replaces each connection after this time, a tenth more or less. The new one is up before the old one takes no more
    /// calls, and those it carries end in peace. Default: `None`, never. For servers behind a load balancer on the transport
    /// layer, which connections of any age keep on the backends of their day.
    pub fn max_connection_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.max_age = age.into();
        self
    }

    /// Closes all connections when nobody has called for this time; the next call has them dialled again, and waits for the
    /// first. Default: `None`, never: a call then finds a connection whenever there is one.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = timeout.into();
        self
    }

    /// Takes endpoints out of rotation that are up and answer worse than the others. Default: none is.
    pub fn outlier_detection(mut self, detection: OutlierDetection) -> Self {
        self.outliers = Some(detection);
        self
    }

    /// Asks each endpoint how it is. Default: none is asked.
    pub fn health_check(mut self, check: HealthCheck) -> Self {
        self.check = Some(check);
        self
    }

    /// TLS with these roots and certificates, for an `https` origin. Its ALPN names are set by the
    /// [`protocol`](Self::protocol). Default: the system's roots, no client certificate.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: rustls::ClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// The name that the endpoints' certificates must be for. Default: the origin's host.
    #[cfg(feature = "tls")]
    pub fn tls_name(mut self, name: impl Into<String>) -> Self {
        self.tls_name = Some(name.into());
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
        let service = ServiceOrigin::parse(&self.origin)?;
        let (scheme, authority) = match &service {
            Some(service) => (Scheme::HTTP, service.authority.clone()),
            None => origin(&self.origin)?,
        };
        #[cfg(feature = "tls")]
        let tls = if scheme == Scheme::HTTPS {
            let name = self.tls_name.as_deref().unwrap_or(authority.host());
            Some(tls(self.tls, name, self.protocol)?)
        } else {
            None
        };
        let feed = self.feed.unwrap_or_else(Feed::global);
        let resolver = match (self.resolver, service) {
            (Some(resolver), _) => resolver,
            (None, Some(service)) => Box::new(service.resolver(feed.clone())),
            (None, None) => {
                let default_port = if scheme == Scheme::HTTPS { 443 } else { 80 };
                Box::new(Dns::new(authority.host(), authority.port_u16().unwrap_or(default_port)))
            }
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
            feed,
            policy,
            subset: self.subset,
            classifier: self.classifier,
            budget: self.budget,
            connect_timeout: self.connect_timeout,
            drain_timeout: self.drain_timeout,
            queue_limit: self.queue.0,
            queue_deadline: self.queue.1,
            dial,
            speech: Speech {
                protocol: self.protocol,
                #[cfg(feature = "tls")]
                tls,
            },
            connections: self.connections,
            max_age: self.max_age,
            idle_timeout: self.idle_timeout,
            hedge_after: self.hedge_after,
            outliers: self.outliers,
            check: self.check,
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
        "https" if cfg!(feature = "tls") => Ok((scheme, authority)),
        "https" => Err(BuildError::Https),
        other => Err(BuildError::Scheme {
            origin: text.to_owned(),
            scheme: other.to_owned(),
        }),
    }
}

#[cfg(feature = "tls")]
fn tls(config: Option<rustls::ClientConfig>, name: &str, protocol: Protocol) -> Result<Tls, BuildError> {
    let bare = name.trim_matches(['[', ']']).to_owned();
    let name = bare.try_into().map_err(|_| BuildError::TlsName(name.to_owned()))?;
    let config = match config {
        Some(config) => config,
        None => trusting_the_system()?,
    };
    Ok(Tls::new(config, name, protocol))
}

/// With ring, whatever the process has chosen for others.
#[cfg(feature = "tls")]
fn trusting_the_system() -> Result<rustls::ClientConfig, BuildError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (trusted, _) = roots.add_parsable_certificates(found.certs);
    if trusted == 0 {
        let why = found
            .errors
            .first()
            .map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(BuildError::NoRoots(why));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| BuildError::NoRoots(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_http_and_a_host() {
        assert_eq!(origin("http://api:8080").unwrap().1, "api:8080");
        assert!(origin("http://[2001:db8::1]:80").is_ok());
        if cfg!(feature = "tls") {
            assert_eq!(origin("https://api").unwrap().0, Scheme::HTTPS);
        } else {
            assert_eq!(origin("https://api"), Err(BuildError::Https));
        }
        let ftp = origin("ftp://api").unwrap_err();
        assert_eq!(
            ftp.to_string(),
            "\"ftp://api\" has the scheme \"ftp\", which is none of http, https and obit"
        );
        for malformed in ["api:8080", "api", "", "http://"] {
            assert_eq!(
                origin(malformed),
                Err(BuildError::Origin(malformed.to_owned())),
                "{malformed:?}"
            );
        }
    }
}
