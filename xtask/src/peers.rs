//! The lab's peers that are programs of their own: built or fetched where that is possible, and named as absent where it is not.

mod envoy;
mod own;

use std::ffi::OsString;

use anyhow::Result;

use crate::command::{Purpose, find_program};
use crate::host;

/// Where a peer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// `lab/peers/go`.
    Go,
    /// `lab/peers/ginepro`, which has a lock file and a tonic of its own.
    Ginepro,
    /// A pinned wheel.
    Envoy,
    /// The system's package.
    Nginx,
}

impl Source {
    /// Every source.
    pub(crate) const ALL: [Self; 4] = [Self::Go, Self::Ginepro, Self::Envoy, Self::Nginx];

    /// The peers that come from it, as the lab knows them.
    pub(crate) fn peers(self) -> &'static [&'static str] {
        match self {
            Self::Go => &["grpc-go", "grpc-go-least-request", "grpc-go-best", "go-http", "article"],
            Self::Ginepro => &["ginepro", "ginepro-best"],
            Self::Envoy => &["envoy", "envoy-checks", "envoy-best"],
            Self::Nginx => &["nginx", "nginx-best"],
        }
    }

    /// Whether the lab is asked for one of them.
    fn is_named(self, arguments: &[OsString]) -> bool {
        let named = |argument: &OsString| {
            argument.to_str().is_some_and(|it| {
                let it = it.strip_prefix("--client=").unwrap_or(it);
                self.peers().contains(&it)
            })
        };
        arguments.iter().any(named)
    }

    /// Whether [`Self::provide`] has what it needs, or may get it.
    pub(crate) fn can_be_provided(self) -> bool {
        match self {
            Self::Go => find_program("go").is_some(),
            Self::Ginepro => true,
            Self::Envoy => host::can_install_wheel_tools(),
            Self::Nginx => host::can_install_proxies(),
        }
    }

    /// Builds or fetches it. What cannot be had is said here and is absent in the lab's report.
    pub(crate) fn provide(self, purpose: Purpose) -> Result<()> {
        match self {
            Self::Go => own::go(),
            Self::Ginepro => own::ginepro(purpose),
            Self::Envoy => envoy::fetch(),
            Self::Nginx => {
                if let Err(error) = host::install_proxies() {
                    eprintln!("nginx is absent: {error:#}");
                }
                Ok(())
            }
        }
    }
}

/// Provides the peers that the lab is asked for.
pub(crate) fn provide(arguments: &[OsString]) -> Result<()> {
    asked_for(arguments).try_for_each(|source| source.provide(Purpose::Measure))
}

/// The sources of the peers that are named; a matrix that names no client is one of all.
fn asked_for(arguments: &[OsString]) -> impl Iterator<Item = Source> + '_ {
    let names_one = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        ["--client", "--exec"].iter().any(|flag| argument.starts_with(flag))
    };
    let all = arguments.first().is_some_and(|it| it == "matrix") && !arguments.iter().any(names_one);
    let sources = Source::ALL.into_iter();
    sources.filter(move |source| all || source.is_named(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_asked_for_by_the_names_of_its_peers_alone() {
        let sources = |arguments: &[&str]| -> Vec<_> {
            let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
            asked_for(&arguments).collect()
        };
        assert_eq!(sources(&["kill", "--client", "tonic"]), []);
        assert_eq!(sources(&["kill", "--client=nginx-best"]), [Source::Nginx]);
        let both = ["kill", "--client", "ginepro", "--client", "grpc-go"];
        assert_eq!(sources(&both), [Source::Go, Source::Ginepro]);
        assert_eq!(sources(&["kill", "--exec", "./my-envoy"]), []);
        assert_eq!(sources(&["matrix", "--quick"]), Source::ALL);
        assert_eq!(sources(&["matrix", "--client", "tonic"]), []);
        assert_eq!(sources(&["matrix", "--exec=./mine"]), []);
    }
}
