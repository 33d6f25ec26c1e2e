//! How each proxy is set up: templates under `lab/peers`, filled in with what a client is told. Pure.

use std::path::Path;

use anyhow::Context as _;

use crate::contract::Environment;

/// Where a proxy listens, on loopback.
pub const PORT: u16 = 9_800;

/// A program that forwards calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// Envoy.
    Envoy,
    /// nginx.
    Nginx,
}

/// A proxy and how it is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    name: &'static str,
    proxy: Proxy,
    template: &'static str,
}

/// Every set-up.
pub const SETUPS: [Setup; 5] = [
    Setup {
        name: "envoy",
        proxy: Proxy::Envoy,
        template: include_str!("../../peers/envoy/plain.yaml"),
    },
    Setup {
        name: "envoy-checks",
        proxy: Proxy::Envoy,
        template: include_str!("../../peers/envoy/checks.yaml"),
    },
    Setup {
        name: "envoy-best",
        proxy: Proxy::Envoy,
        template: include_str!("../../peers/envoy/best.yaml"),
    },
    Setup {
        name: "nginx",
        proxy: Proxy::Nginx,
        template: include_str!("../../peers/nginx/plain.conf"),
    },
    Setup {
        name: "nginx-best",
        proxy: Proxy::Nginx,
        template: include_str!("../../peers/nginx/best.conf"),
    },
];

impl Setup {
    /// What it is called on the command line and in reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Which program it is for.
    #[must_use]
    pub fn proxy(&self) -> Proxy {
        self.proxy
    }

    /// The proxy's configuration for the pods that `told` tells of. The proxy may write below `folder`.
    ///
    /// # Errors
    /// When the target has no port.
    pub fn render(&self, told: &Environment, folder: &Path) -> anyhow::Result<String> {
        let (name, port) = told.target.rsplit_once(':').context("a target without a port")?;
        // What may have been processed is sent again only if it may be.
        let (retry_on, next_upstream) = match told.idempotent {
            true => (
                "reset,connect-failure,refused-stream,unavailable",
                "error timeout non_idempotent",
            ),
            false => ("connect-failure,refused-stream", "error timeout"),
        };
        let servers: Vec<_> = told.pods.iter().map(|pod| format!("        server {pod};")).collect();
        let values = [
            ("listen_port", PORT.to_string()),
            ("name", name.to_owned()),
            ("port", port.to_owned()),
            ("dns_address", told.name_server.ip().to_string()),
            ("dns_port", told.name_server.port().to_string()),
            ("folder", folder.display().to_string()),
            ("servers", servers.join("\n")),
            ("retry_on", format!("\"{retry_on}\"")),
            ("next_upstream", next_upstream.to_owned()),
        ];
        Ok(values.iter().fold(self.template.to_owned(), |text, (key, value)| {
            text.replace(&format!("{{{{{key}}}}}"), value)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Calls;

    fn told(idempotent: bool) -> Environment {
        Environment {
            target: "demo.lab.obit.test:8080".into(),
            kubernetes: "http://198.18.0.53:8001".into(),
            name_server: "198.18.0.53:53".parse().unwrap(),
            pods: ["198.18.1.1:8080", "198.18.1.2:8080"]
                .map(|pod| pod.parse().unwrap())
                .into(),
            concurrency: 500,
            requests: 300,
            calls: Calls::Unary,
            seconds: 60,
            idempotent,
            monitor: None,
        }
    }

    fn rendered(name: &str, idempotent: bool) -> String {
        let setup = SETUPS.into_iter().find(|setup| setup.name() == name).unwrap();
        setup.render(&told(idempotent), Path::new("/dev/shm/x")).unwrap()
    }

    #[test]
    fn no_place_is_left_open_and_no_traffic_goes_but_to_pods_and_dns() {
        for setup in SETUPS {
            let text = rendered(setup.name(), true);
            assert!(!text.contains("{{"), "{}: {text}", setup.name());
            assert!(text.contains("127.0.0.1"), "{}: {text}", setup.name());
            for more in ["admin:", "stats_sinks", "listen 80", "0.0.0.0"] {
                assert!(!text.contains(more), "{} has {more:?}: {text}", setup.name());
            }
        }
    }

    #[test]
    fn envoy_finds_the_pods_by_the_lab_s_dns_and_nginx_has_them_in_a_list() {
        for name in ["envoy", "envoy-checks", "envoy-best"] {
            let text = rendered(name, true);
            let server = "socket_address: {address: 198.18.0.53, port_value: 53}";
            let pods = "socket_address: {address: demo.lab.obit.test, port_value: 8080}";
            assert!(text.contains(server) && text.contains(pods), "{text}");
        }
        for name in ["nginx", "nginx-best"] {
            let text = rendered(name, true);
            assert!(
                text.contains("server 198.18.1.1:8080;\n        server 198.18.1.2:8080;"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_may_have_been_processed_is_sent_again_only_if_it_may_be() {
        for (name, marks) in [
            ("envoy-checks", "reset,"),
            ("envoy-best", "reset,"),
            ("nginx-best", "non_idempotent"),
        ] {
            assert!(rendered(name, true).contains(marks), "{name}");
            assert!(!rendered(name, false).contains(marks), "{name}");
        }
    }
}
