//! The watch of the API, on a thread of its own: what a large cluster tells at once takes nobody's turn.
//!
//! One watch of every EndpointSlice. It begins with a streamed list where the API has that (a slice at a time, so that the memory it
//! takes is that of one), and with pages of a list where it has not; goes on where it was after a loss; and begins anew when what it
//! has is too old.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event, InitialListStrategy, watcher};
use kube::{Api, Client};
use tokio::sync::Notify;
use tower::util::MapResponseLayer;

use super::board::{Answer, Board};
use super::pods::NodePods;
use super::{error, spread};
use crate::clock;
use crate::hub::{CHUNK, Hub};
use crate::sighting::MonotonicNs;

/// How long the API may be away before what it told is called stale: a watch that is taken up again at once is no loss.
const GRACE: Duration = Duration::from_secs(3);

/// How many slices are listed at once where the API does not stream them: about 4 MB of JSON, if they are full.
const PAGE: u32 = 100;

/// The first minor version of Kubernetes 1 that knows what a streamed list is.
const STREAMS_SINCE: u32 = 27;

/// How many complaints about one slice are written to the log.
const COMPLAINTS: usize = 8;

/// The way to the API.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// A kubeconfig. Without it: that of `KUBECONFIG` or of the home directory, else the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
}

impl Access {
    pub(super) async fn config(&self) -> kube::Result<kube::Config> {
        let Some(path) = &self.kubeconfig else {
            return kube::Config::infer().await.map_err(kube::Error::InferConfig);
        };
        let kubeconfig = Kubeconfig::read_from(path).map_err(kube::Error::InferKubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        config.map_err(kube::Error::InferKubeconfig)
    }
}

/// Begins to watch, for as long as the process lives; the pods of this node too, if somebody wants to know them.
///
/// # Errors
/// The system gives no thread.
pub fn start(access: Access, board: Arc<Board>, hub: Arc<Hub>, pods: Option<NodePods>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watch = Watch {
        board,
        hub,
        heard: Arc::default(),
        strategy: InitialListStrategy::StreamingList,
        away: None,
    };
    thread::Builder::new().name("obit-kubernetes".into()).spawn(move || {
        runtime.block_on(async {
            let pods = async {
                if let Some(pods) = pods {
                    pods.watch(&access).await;
                }
            };
            tokio::join!(watch.run(&access), pods);
        });
    })?;
    Ok(())
}

struct Watch {
    board: Arc<Board>,
    hub: Arc<Hub>,
    /// Told whenever the API has answered anything as it should.
    heard: Arc<Notify>,
    strategy: InitialListStrategy,
    /// Since when the API is away.
    away: Option<Away>,
}

#[derive(Debug, Clone, Copy)]
struct Away {
    since: MonotonicNs,
    told: bool,
}

impl Watch {
    async fn run(mut self, access: &Access) {
        loop {
            match self.client(access).await {
                Ok(client) => self.watch_all(client).await,
                Err(error) => self.lost(error::no_client(&error)),
            }
            tokio::time::sleep(spread::pause()).await;
        }
    }

    async fn client(&self, access: &Access) -> kube::Result<Client> {
        let config = access.config().await?;
        tracing::info!(url = %config.cluster_url, "watching Kubernetes");
        let heard = Arc::clone(&self.heard);
        let listen = MapResponseLayer::new(move |response: http::Response<_>| {
            if response.status().is_success() {
                heard.notify_one();
            }
            response
        });
        Ok(ClientBuilder::try_from(config)?.with_layer(&listen).build())
    }

    /// Watches until there is no sense in going on with this client.
    async fn watch_all(&mut self, client: Client) {
        match client.apiserver_version().await {
            Ok(version) => {
                self.strategy = strategy(&version.major, &version.minor);
                tracing::info!(version = version.git_version, strategy = ?self.strategy, "the Kubernetes API answers");
            }
            // Whether it tells its version is one thing, and what it lets us watch another.
            Err(kube::Error::Api(_)) => {}
            Err(error) => return self.lost(error::no_version(&error)),
        }
        loop {
            let config = Config {
                timeout: Some(spread::watch_seconds()),
                page_size: Some(PAGE),
                initial_list_strategy: self.strategy.clone(),
                ..Config::default()
            };
            self.watch(Api::all(client.clone()), config).await;
        }
    }

    /// Watches until the watch has to be begun anew.
    async fn watch(&mut self, api: Api<EndpointSlice>, config: Config) {
        let mut events = watcher(api, config).default_backoff().boxed();
        // Until everything was told once, nobody is told anything.
        let mut first = Some(BTreeSet::new());
        let mut listing = true;
        loop {
            let heard = Arc::clone(&self.heard);
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        listing = match event {
                            Event::Init => true,
                            Event::InitDone => false,
                            _ => listing,
                        };
                        self.take(event, &mut first);
                    }
                    // A watch too old to go on is told from the beginning; that is how it is meant to be.
                    Some(Err(watcher::Error::WatchError(status))) if status.code == 410 => {}
                    Some(Err(error)) => {
                        let code = error::code(&error);
                        if self.strategy == InitialListStrategy::StreamingList && error::is_about_streams(&error, listing) {
                            tracing::info!("this Kubernetes API does not stream lists: asking for pages");
                            self.strategy = InitialListStrategy::ListWatch;
                            return;
                        }
                        self.lost(error::failed(&error));
                        if code == Some(410) {
                            // Said in place of a watch, not within one: kube would ask for the same version for ever.
                            return;
                        }
                    }
                    None => return,
                },
                () = heard.notified() => self.found(),
                () = grace(self.away) => self.stale(),
            }
        }
    }

    fn take(&mut self, event: Event<EndpointSlice>, first: &mut Option<BTreeSet<IpAddr>>) {
        let mut garbage = Vec::new();
        let complete = matches!(event, Event::InitDone);
        let changed = match event {
            Event::Init => {
                self.board.begin();
                BTreeSet::new()
            }
            Event::InitApply(slice) | Event::Apply(slice) => self.board.apply(&slice, &mut garbage),
            Event::Delete(slice) => self.board.delete(&slice),
            Event::InitDone => self.board.complete(),
        };
        if !changed.is_empty() {
            for what in garbage.iter().take(COMPLAINTS) {
                tracing::warn!("left out {what}");
            }
        }
        match first {
            Some(all) => {
                all.extend(changed);
                if complete {
                    let view = self.board.view();
                    tracing::info!(
                        slices = view.slices,
                        addresses = view.addresses,
                        "all EndpointSlices are known"
                    );
                    self.tell(&first.take().unwrap_or_default());
                }
            }
            None => self.tell(&changed),
        }
    }

    /// Tells the hub of the peers it watches at these addresses.
    fn tell(&self, addresses: &BTreeSet<IpAddr>) {
        let addresses: Vec<_> = addresses.iter().copied().collect();
        for chunk in addresses.chunks(CHUNK) {
            let peers = self.hub.watched_at(chunk);
            self.board.tell(&self.hub, &peers);
        }
    }

    fn lost(&mut self, why: Answer) {
        if self.away.is_none() {
            tracing::warn!("{}", why.detail);
            self.away = Some(Away {
                since: clock::monotonic(),
                told: false,
            });
        } else {
            tracing::debug!("{}", why.detail);
        }
        self.board.failed(why);
    }

    fn found(&mut self) {
        if self.away.take().is_some() {
            tracing::info!("the Kubernetes API is back");
        }
        self.board.stale(None);
    }

    fn stale(&mut self) {
        if let Some(away) = &mut self.away {
            away.told = true;
            self.board.stale(Some(away.since));
        }
    }
}

/// Ready when the API has been away for too long, once.
async fn grace(away: Option<Away>) {
    match away.filter(|away| !away.told) {
        Some(away) => tokio::time::sleep((away.since + GRACE).since(clock::monotonic())).await,
        None => std::future::pending().await,
    }
}

/// How an API of this version tells all slices.
fn strategy(major: &str, minor: &str) -> InitialListStrategy {
    // "27+" where somebody built it otherwise.
    let digits = minor.trim_end_matches(|it: char| !it.is_ascii_digit());
    match (major, digits.parse::<u32>()) {
        ("1", Ok(minor)) if minor < STREAMS_SINCE => InitialListStrategy::ListWatch,
        _ => InitialListStrategy::StreamingList,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_that_does_not_know_of_streamed_lists_is_not_asked_for_one() {
        assert_eq!(strategy("1", "26"), InitialListStrategy::ListWatch);
        assert_eq!(strategy("1", "26+"), InitialListStrategy::ListWatch);
        assert_eq!(strategy("1", "27"), InitialListStrategy::StreamingList);
        assert_eq!(strategy("1", "37+"), InitialListStrategy::StreamingList);
    }
}
