//! Why the API tells nothing, in words for those who ask and for the log.

use kube::runtime::watcher;
use obit_protocol::EndpointsError;

use super::board::Answer;

/// What to say of a way to the API that is not there.
pub(super) fn no_client(error: &kube::Error) -> Answer {
    Answer::none(
        EndpointsError::Unavailable,
        format!(
            "the monitor has no way to the Kubernetes API: {}: give it a service account, or a kubeconfig (--kubeconfig)",
            chain(error)
        ),
    )
}

/// What to say of an API that refuses, fails or is away.
pub(super) fn failed(error: &watcher::Error) -> Answer {
    let kind = match code(error) {
        Some(401 | 403) => EndpointsError::NotAllowed,
        _ => EndpointsError::Unavailable,
    };
    let detail = format!(
        "the monitor cannot watch EndpointSlices: {}: {}",
        chain(error),
        next_step(error)
    );
    Answer::none(kind, detail)
}

/// What to say of an API that does not tell of this node's pods.
pub(super) fn no_pods(error: &watcher::Error) -> String {
    let next = match code(error) {
        Some(401) => "its credentials are not accepted",
        Some(403) => "allow `list` and `watch` of `pods`, in all namespaces, to its service account",
        _ => "check that the API is reachable from the monitor",
    };
    format!(
        "the monitor cannot watch the pods of this node, those of subscribers stay unknown: {}: {next}",
        chain(error)
    )
}

/// What to say of an API that does not tell its version.
pub(super) fn no_version(error: &kube::Error) -> Answer {
    Answer::none(
        EndpointsError::Unavailable,
        format!(
            "the Kubernetes API does not answer: {}: check that it is reachable from the monitor",
            chain(error)
        ),
    )
}

fn next_step(error: &watcher::Error) -> &'static str {
    match code(error) {
        Some(401) => "its credentials are not accepted",
        Some(403) => {
            "allow `list` and `watch` of `endpointslices` in `discovery.k8s.io`, in all namespaces, to its service account"
        }
        _ => "check that the API is reachable from the monitor",
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

/// Whether a streamed list is what the API cannot do: it refuses one, or begins it and says that it failed, as where the storage
/// behind it is old (etcd before 3.4.31 and 3.5.13) and a list was under way. An error of another kind that looks like it costs a list
/// in pages.
pub(super) fn is_about_streams(error: &watcher::Error, listing: bool) -> bool {
    match error {
        watcher::Error::WatchStartFailed(_) => matches!(code(error), Some(400 | 422)),
        watcher::Error::WatchError(status) => listing && status.code == 500,
        _ => false,
    }
}

/// An error with its causes, those left out that only repeat what was said.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}
