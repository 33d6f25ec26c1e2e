//! What Kubernetes says of a peer: the ledger's second input, beside the kernel's sightings.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};

/// Whose an address is: the UID of a pod, as a number. Addresses are given to other pods; UIDs are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodUid(pub u64);

impl PodUid {
    /// Stands for an endpoint that is no pod's, or does not say whose it is.
    pub const UNKNOWN: Self = Self(0);

    /// The number of a UID. The same text gives the same number on every node and at every start.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self(hasher.finish().max(1))
    }
}

/// A peer is an endpoint of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Whose it is.
    pub uid: PodUid,
    /// It was told to end.
    pub terminating: bool,
}
