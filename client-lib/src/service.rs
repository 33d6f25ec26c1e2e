//! Services of Kubernetes: which one, which of its ports, and the addresses of its pods. What the feed hears and what resolvers
//! choose from.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// One port of a service: its number, or its name in the service.
///
/// ```
/// use obit::resolve::Port;
///
/// assert_eq!(Port::from(50051), Port::Number(50051));
/// assert_eq!(Port::from("grpc"), Port::Name("grpc".into()));
/// assert_eq!(Port::from("50051"), Port::Number(50051));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Port {
    /// The port the pods listen on, not one that a Service maps to it.
    Number(u16),
    /// The name that the service gives to the port; each pod may have another number.
    Name(Arc<str>),
}

impl From<u16> for Port {
    fn from(number: u16) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Port {
    /// A number where it is one; no name of a port consists of digits alone.
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.into()), Self::Number)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// One port of a Kubernetes service. Shown as `demo-api.shop:grpc`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    name: Arc<str>,
    namespace: Arc<str>,
    port: Port,
}

impl Service {
    /// `port` of the service `name` in `namespace`.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, namespace: impl Into<Arc<str>>, port: impl Into<Port>) -> Self {
        Self {
            name: name.into(),
            namespace: namespace.into(),
            port: port.into(),
        }
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace it is in.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The port of it.
    #[must_use]
    pub fn port(&self) -> &Port {
        &self.port
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}:{}", self.name, self.namespace, self.port)
    }
}

/// One address of a service's pod, and how the pod stands. Not every one is to be used; [`resolve::Monitor`] chooses.
///
/// [`resolve::Monitor`]: crate::resolve::Monitor
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceEndpoint {
    /// Where it listens. A pod of a dual-stack service has an address of each family.
    pub address: SocketAddr,
    /// Where it runs, where that is known.
    pub zone: Option<Arc<str>>,
    /// The zones whose clients are meant to use it, where Kubernetes says so (`hints.forZones`).
    pub for_zones: Vec<Arc<str>>,
    /// Whether it is to be given work.
    pub ready: bool,
    /// Whether it can take work, even though it may be about to end.
    pub serving: bool,
    /// Whether it is about to end.
    pub terminating: bool,
}
