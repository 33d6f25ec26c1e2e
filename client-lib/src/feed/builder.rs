//! How a feed finds its monitor.

use std::path::PathBuf;
use std::time::Duration;

use super::Feed;

/// Settings of a [`Feed`]; see [`Feed::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `connect`"]
pub struct FeedBuilder {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) reconnect_min: Duration,
    pub(super) reconnect_max: Duration,
    pub(super) answer_timeout: Duration,
}

impl Default for FeedBuilder {
    fn default() -> Self {
        let path = std::env::var_os(obit_protocol::SOCKET_PATH_ENV)
            .filter(|path| !path.is_empty())
            .unwrap_or_else(|| obit_protocol::DEFAULT_SOCKET_PATH.into());
        Self {
            path: path.into(),
            name: own_name(),
            reconnect_min: Duration::from_millis(10),
            reconnect_max: Duration::from_millis(250),
            answer_timeout: Duration::from_secs(1),
        }
    }
}

/// The executable's name: what an operator knows a process by.
fn own_name() -> String {
    let executable = std::env::current_exe().ok();
    let name = executable.as_deref().and_then(std::path::Path::file_stem);
    name.map_or_else(|| "obit".into(), |name| name.to_string_lossy().into_owned())
}

impl FeedBuilder {
    /// The monitor's socket. Default: the environment's `OBIT_SOCKET`, else `/run/obit/obit.sock`.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = path.into();
        self
    }

    /// Who asks, for the monitor's log; cut to 128 bytes. Default: the executable's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The pause between two attempts to reach the monitor grows from `min` to `max`, with jitter. Default: 10 ms to
    /// 250 ms. An attempt costs one `connect` on a unix socket.
    pub fn reconnect(mut self, min: Duration, max: Duration) -> Self {
        self.reconnect_min = min;
        self.reconnect_max = max.max(min);
        self
    }

    /// How long the monitor may take to answer the greeting. Default: 1 s.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// Starts the feed on the current runtime. Never fails: without a monitor it is blind and keeps trying.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use = "a feed ends when its last handle is dropped"]
    pub fn connect(self) -> Feed {
        Feed::start(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pause_is_never_below_the_shortest() {
        let builder = FeedBuilder::default().reconnect(Duration::from_secs(2), Duration::from_secs(1));
        assert_eq!(builder.reconnect_max, Duration::from_secs(2));
    }

    #[test]
    fn a_process_is_known_by_its_executable() {
        assert!(own_name().starts_with("obit"));
    }
}
