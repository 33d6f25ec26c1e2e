//! Why the API gave no endpoints, and what to do about it.

use kube::runtime::watcher;

use crate::client::resolve::Port;

/// Why there are no endpoints, or no news of them. Those known stay, unless the API itself says that there are none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlicesError {
    /// There is no way to the API: neither a kubeconfig nor a pod's service account.
    #[error(
        "no Kubernetes API is configured here: {0}: run in a pod with a service account, set KUBECONFIG, or give `EndpointSlices::client` one"
    )]
    NoClient(#[source] kube::Error),
    /// The API refused, failed or is away.
    #[error("cannot watch the EndpointSlices of {namespace}/{service}: {source}: {}", next_step(.source))]
    Api {
        /// The service's namespace.
        namespace: String,
        /// The service.
        service: String,
        /// What happened.
        source: watcher::Error,
    },
    /// The service has no EndpointSlice at all.
    #[error("{namespace}/{service} has no EndpointSlice: check its name and namespace, and that it has a selector")]
    NoSlices {
        /// The service's namespace.
        namespace: String,
        /// The service.
        service: String,
    },
    /// None of its slices declares the port.
    #[error("{namespace}/{service} has no TCP port {port} (it has {}): a number is that of the pods' port", if .declared.is_empty() { "none".to_owned() } else { .declared.join(", ") })]
    NoSuchPort {
        /// The service's namespace.
        namespace: String,
        /// The service.
        service: String,
        /// The port that was asked for.
        port: Port,
        /// The ports there are, as `name=number`.
        declared: Vec<String>,
    },
    /// It has pods, and none of them can take calls.
    #[error("none of the {pods} pods of {namespace}/{service} is ready: look at their readiness probes")]
    NoneReady {
        /// The service's namespace.
        namespace: String,
        /// The service.
        service: String,
        /// How many addresses there are.
        pods: usize,
    },
}

fn next_step(error: &watcher::Error) -> &'static str {
    match code(error) {
        Some(401) => "the credentials are not accepted",
        Some(403) => {
            "allow `get`, `list` and `watch` of `endpointslices` in `discovery.k8s.io` to this service account"
        }
        _ => "check that the API is reachable from here",
    }
}

/// The HTTP status by which the API said so.
pub(super) fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}
