//! Why a name gave no endpoints, and what to do about it.

use std::time::Duration;

use hickory_resolver::net::{DnsError as NetDnsError, NetError};

/// Why a name gave no endpoints. The endpoints known stay, but see [`Dns::empty_after`](super::Dns::empty_after).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DnsError {
    /// A name server answered that there is no such name. A headless service without ready pods may look like this.
    #[error("{name} does not exist (asked for {kind} of {}): check spelling, namespace and search list, and whether the service has ready pods", .tried.join(", "))]
    NoSuchName {
        /// The name, as it was given.
        name: String,
        /// The kind of record that was asked for.
        kind: &'static str,
        /// The names it may mean by the search list, in the order in which they were asked about.
        tried: Vec<String>,
    },
    /// A name server answered that the name exists and has no such record. A headless service without ready pods looks like
    /// this.
    #[error("{name} has no usable {kind} record (asked for {}): check that the service is headless and has ready pods", .tried.join(", "))]
    NoRecords {
        /// The name, as it was given.
        name: String,
        /// The kind of record that was asked for.
        kind: &'static str,
        /// The names it may mean by the search list, in the order in which they were asked about.
        tried: Vec<String>,
    },
    /// The answer is larger than DNS can carry: 64 KiB, some 4 000 addresses.
    #[error(
        "{name} has more {kind} records than a DNS answer of 64 KiB holds: use `EndpointSlices` or the monitor's push"
    )]
    TooLarge {
        /// The name, as it was given.
        name: String,
        /// The kind of record that was asked for.
        kind: &'static str,
    },
    /// No name server answered in time.
    #[error(
        "no name server answered for {name} ({kind}) within {waited:?}: check that they are reachable from here (/etc/resolv.conf, network policies)"
    )]
    Timeout {
        /// The name, as it was given.
        name: String,
        /// The kind of record that was asked for.
        kind: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// A name server answered with an error, or none could be asked.
    #[error("cannot look up {name} ({kind}): {}: {}", describe(.source), next_step(.source))]
    LookUp {
        /// The name, as it was given.
        name: String,
        /// The kind of record that was asked for.
        kind: &'static str,
        /// What the resolver said.
        source: Box<NetError>,
    },
    /// The name, or one of the search list, is no domain name.
    #[error("{name:?} is no domain name: {source}")]
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: Box<NetError>,
    },
    /// The system's resolver configuration cannot be read.
    #[error(
        "cannot read the system's resolver configuration: {0}: mend /etc/resolv.conf, or name a server with `Dns::name_server`"
    )]
    SystemConfiguration(#[source] NetError),
}

impl DnsError {
    /// Whether a name server said that there is no address, in contrast to none having said anything.
    #[must_use]
    pub fn is_negative_answer(&self) -> bool {
        matches!(self, Self::NoSuchName { .. } | Self::NoRecords { .. })
    }
}

fn describe(error: &NetError) -> String {
    match error {
        NetError::Dns(NetDnsError::ResponseCode(code)) => format!("the name server answered {code}"),
        error => error.to_string(),
    }
}

fn next_step(error: &NetError) -> &'static str {
    match error {
        NetError::Dns(NetDnsError::ResponseCode(_)) => "check the name server's log",
        NetError::Proto(_) => "what answers is no name server, or broken; check its address",
        _ => "check that the name server is reachable from here",
    }
}
