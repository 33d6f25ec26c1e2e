//! The clients one can choose between: each is a transport under the same generated stub.

use anyhow::Context as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::proto::GreetRequest;
use crate::proto::greeter_client::GreeterClient;

/// Which client calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum ClientKind {
    /// obit's, which the node's monitor tells the service's pods (DNS where there is no monitor)
    Obit,
    /// obit's, which asks DNS for the service's pods; the monitor tells it which are dead
    ObitDns,
    /// tonic's channel as it comes: one connection to an address that DNS names
    Tonic,
}

impl ClientKind {
    /// What it is called on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Obit => "obit",
            Self::ObitDns => "obit-dns",
            Self::Tonic => "tonic",
        }
    }

    /// The origin under which it knows a service.
    ///
    /// # Errors
    /// When the port is no number: only the monitor knows ports by name.
    pub(super) fn target(self, service: &str, namespace: &str, port: &str) -> anyhow::Result<String> {
        if self == Self::Obit {
            return Ok(format!("obit:///{service}.{namespace}:{port}"));
        }
        let port: u16 = port
            .parse()
            .with_context(|| format!("--port {port:?} is no number, and --client {} needs one", self.name()))?;
        Ok(format!("http://{service}.{namespace}.svc.cluster.local:{port}"))
    }
}

/// A client, cheap to clone.
#[derive(Clone)]
pub(super) enum Client {
    Obit(GreeterClient<obit::Client>),
    Tonic(GreeterClient<Channel>),
}

impl Client {
    /// A client of that kind for `target`, everything else a default. It dials when it wants to.
    pub(super) fn new(kind: ClientKind, target: &str) -> anyhow::Result<Self> {
        match kind {
            ClientKind::Obit | ClientKind::ObitDns => {
                let client = obit::Client::builder(target).build()?;
                Ok(Self::Obit(GreeterClient::new(client)))
            }
            ClientKind::Tonic => {
                let endpoint = Endpoint::from_shared(target.to_owned());
                let endpoint = endpoint.with_context(|| format!("{target:?} is no origin"))?;
                Ok(Self::Tonic(GreeterClient::new(endpoint.connect_lazy())))
            }
        }
    }

    /// One call; the name of the pod that answered.
    pub(super) async fn greet(&mut self) -> Result<String, Status> {
        let mut request = Request::new(GreetRequest {});
        // The call may be processed twice: obit repeats it when the pod dies under it. Others do not look at it.
        request.extensions_mut().insert(obit::Idempotent(true));
        let answer = match self {
            Self::Obit(client) => client.greet(request).await?,
            Self::Tonic(client) => client.greet(request).await?,
        };
        Ok(answer.into_inner().pod)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn a_client_has_one_name() {
        for &kind in ClientKind::value_variants() {
            assert_eq!(ClientKind::from_str(kind.name(), false), Ok(kind));
        }
    }

    #[test]
    fn a_port_by_name_is_for_the_monitor() {
        let obit = ClientKind::Obit.target("greeter", "shop", "grpc");
        assert_eq!(obit.expect("the monitor knows names"), "obit:///greeter.shop:grpc");
        let dns = ClientKind::ObitDns.target("greeter", "shop", "50051");
        assert_eq!(dns.expect("a number"), "http://greeter.shop.svc.cluster.local:50051");
        let tonic = ClientKind::Tonic
            .target("greeter", "shop", "grpc")
            .expect_err("no number");
        assert_eq!(
            tonic.to_string(),
            r#"--port "grpc" is no number, and --client tonic needs one"#
        );
    }

    #[tokio::test]
    async fn what_names_no_service_is_refused_with_the_reason() {
        let error = Client::new(ClientKind::Obit, "obit:///Not_A_Name.shop:grpc")
            .err()
            .expect("no name");
        assert!(error.to_string().contains("Not_A_Name"), "{error}");
    }
}
