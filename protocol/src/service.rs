//! Names of services on the wire.

use crate::WatchService;
use crate::watch_service::Port;

/// The capability in a [`Welcome`](crate::Welcome) that allows a [`WatchService`].
pub const SERVICES: &str = "services";

/// The longest name of a namespace, a service or a port, in bytes.
const MAX_NAME_BYTES: usize = 63;

/// A [`WatchService`] that names no port of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// No name of a namespace.
    #[error("{0:?} is no name of a namespace: 1 to 63 of a-z, 0-9 and \"-\"")]
    Namespace(String),
    /// No name of a service.
    #[error("{0:?} is no name of a service: 1 to 63 of a-z, 0-9 and \"-\"")]
    Service(String),
    /// No name of a port.
    #[error("{0:?} is no name of a port: at most 63 of a-z, 0-9 and \"-\"")]
    PortName(String),
    /// A port is 1 to 65535.
    #[error("a port is 1 to 65535, not {0}")]
    PortNumber(u32),
    /// Neither number nor name.
    #[error("no port is named")]
    NoPort,
}

impl WatchService {
    /// Whether this names a port of a service. Where it only ends a watch, there is nothing to name.
    ///
    /// # Errors
    ///
    /// What is wrong with the first name that is none.
    pub fn check(&self) -> Result<(), ServiceError> {
        if self.end {
            return Ok(());
        }
        if !is_name(&self.namespace) {
            return Err(ServiceError::Namespace(self.namespace.clone()));
        }
        if !is_name(&self.service) {
            return Err(ServiceError::Service(self.service.clone()));
        }
        match &self.port {
            Some(Port::Number(1..=65_535)) => Ok(()),
            Some(Port::Number(number)) => Err(ServiceError::PortNumber(*number)),
            Some(Port::Name(name)) if name.is_empty() || is_name(name) => Ok(()),
            Some(Port::Name(name)) => Err(ServiceError::PortName(name.clone())),
            None => Err(ServiceError::NoPort),
        }
    }
}

fn is_name(text: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(letters)
}
