//! Origins that name a Kubernetes service: `obit:///service.namespace:port`. Pure.

use http::uri::Authority;

use super::builder::BuildError;
use super::resolve::{Dns, Monitor, Port};
use crate::feed::{Feed, Service};

/// What every such origin begins with.
const PREFIX: &str = "obit://";

/// A service as an origin names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServiceOrigin {
    service: Service,
    /// The authority of requests that name none.
    pub(super) authority: Authority,
}

impl ServiceOrigin {
    /// `None` if this is an origin of another kind.
    pub(super) fn parse(origin: &str) -> Result<Option<Self>, BuildError> {
        let Some(rest) = origin.strip_prefix(PREFIX) else {
            return Ok(None);
        };
        let wrong = |why: &str| BuildError::Service {
            origin: origin.to_owned(),
            why: why.to_owned(),
        };
        let target = rest
            .strip_prefix('/')
            .ok_or_else(|| wrong("it names a host: three slashes"))?;
        let (names, port) = target.split_once(':').ok_or_else(|| wrong("it has no port"))?;
        let (name, namespace) = names.split_once('.').ok_or_else(|| wrong("it has no namespace"))?;
        if port.is_empty() {
            return Err(wrong("it has no port"));
        }
        let service = Service::new(name, namespace, port);
        service.check().map_err(|error| wrong(&error.to_string()))?;
        let authority = match service.port() {
            Port::Number(_) => target,
            Port::Name(_) => names,
        };
        let authority = authority.parse().map_err(|_| wrong("it is no authority"))?;
        Ok(Some(Self { service, authority }))
    }

    /// The monitor's push; while the monitor does not answer, the cluster's DNS.
    pub(super) fn resolver(&self, feed: Feed) -> Monitor {
        let (name, namespace) = (self.service.name(), self.service.namespace());
        let dns = match self.service.port() {
            Port::Number(port) => Dns::new(format!("{name}.{namespace}.svc"), *port),
            Port::Name(port) => Dns::srv(format!("_{port}._tcp.{name}.{namespace}.svc")),
        };
        Monitor::new(name, namespace, self.service.port().clone())
            .feed(feed)
            .or(dns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(origin: &str) -> (Service, String) {
        let origin = ServiceOrigin::parse(origin).unwrap().unwrap();
        (origin.service, origin.authority.to_string())
    }

    #[test]
    fn a_service_is_named_with_namespace_and_port() {
        let named = (Service::new("demo-api", "shop", "grpc"), "demo-api.shop".to_owned());
        assert_eq!(parse("obit:///demo-api.shop:grpc"), named);
        let numbered = (
            Service::new("demo-api", "shop", 50051),
            "demo-api.shop:50051".to_owned(),
        );
        assert_eq!(parse("obit:///demo-api.shop:50051"), numbered);
    }

    #[test]
    fn other_origins_are_somebody_elses() {
        assert_eq!(ServiceOrigin::parse("http://demo-api.shop:50051"), Ok(None));
        assert_eq!(ServiceOrigin::parse(""), Ok(None));
    }

    #[test]
    fn what_names_no_service_says_what_is_missing() {
        let why = |origin: &str| match ServiceOrigin::parse(origin) {
            Err(BuildError::Service { why, .. }) => why,
            other => panic!("{origin:?}: {other:?}"),
        };
        assert_eq!(why("obit://demo-api.shop:grpc"), "it names a host: three slashes");
        assert_eq!(why("obit:///demo-api.shop"), "it has no port");
        assert_eq!(why("obit:///demo-api.shop:"), "it has no port");
        assert_eq!(why("obit:///demo-api:grpc"), "it has no namespace");
        assert_eq!(why("obit:///demo-api.shop:0"), "a port is 1 to 65535, not 0");
        for wrong in [
            "obit:///demo-api.shop.svc:80",
            "obit:///.shop:80",
            "obit:///demo-api.shop:80/x",
            "obit:///Demo.shop:80",
        ] {
            assert!(why(wrong).contains(" is no name of a "), "{wrong}: {}", why(wrong));
        }
        let error = ServiceOrigin::parse("obit:///demo-api.shop").unwrap_err();
        let expected = "\"obit:///demo-api.shop\" names no port of a service (it has no port): obit:///service.namespace:port, the \
                        port by number or by name";
        assert_eq!(error.to_string(), expected);
    }
}
