//! Which of a service's ports.

use std::fmt;
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
