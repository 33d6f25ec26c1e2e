//! A client whose run says nothing, named in the report beside the others' figures.

use std::fmt;

use serde::Serialize;

use crate::run::ClientFault;

/// A client that could not be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unmeasured {
    /// The client.
    pub client: String,
    /// What it did.
    pub fault: String,
}

impl Unmeasured {
    /// What `error` says of `client`; `None` if it is not the client's fault.
    #[must_use]
    pub fn of(client: &str, error: &anyhow::Error) -> Option<Self> {
        error.downcast_ref::<ClientFault>()?;
        Some(Self {
            client: client.to_owned(),
            fault: format!("{error:#}"),
        })
    }
}

impl fmt::Display for Unmeasured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was not measured: {}", self.client, self.fault)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn only_a_client_s_fault_is_told_of_it_also_through_context() {
        let fault = Err::<(), _>(ClientFault::NotReady(std::time::Duration::from_secs(3)));
        let error = fault.context("theirs kill").unwrap_err();
        let told = Unmeasured::of("theirs", &error).unwrap().to_string();
        assert_eq!(
            told,
            "theirs was not measured: theirs kill: it did not become ready within 3s"
        );
        assert_eq!(Unmeasured::of("theirs", &anyhow::anyhow!("no nft")), None);
    }
}
