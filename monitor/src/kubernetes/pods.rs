//! The watch of this node's pods: their names alone, for the roll.

use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Client};

use super::watch::Access;
use super::{error, spread};
use crate::subscribers::{PodName, Roll, Uid};

/// The pods of one node, and who is told their names.
#[derive(Debug, Clone)]
pub struct NodePods {
    /// The node, by its name in Kubernetes.
    pub node: String,
    /// Who is told.
    pub roll: Arc<Roll>,
}

impl NodePods {
    /// Watches for as long as it is polled. What is known stays when the API is away.
    pub(super) async fn watch(self, access: &Access) {
        self.roll.expect_pods();
        let mut lost = false;
        loop {
            let client = access.config().await.and_then(Client::try_from);
            match client {
                Ok(client) => self.watch_once(client, &mut lost).await,
                // The other watch says so to everyone.
                Err(error) => tracing::debug!(%error, "no way to the Kubernetes API"),
            }
            tokio::time::sleep(spread::pause()).await;
        }
    }

    /// Watches until the watch has to be begun anew.
    async fn watch_once(&self, client: Client, lost: &mut bool) {
        // From the API's cache, which finds the pods of a node without a look at all the others; and of each only its metadata. In one
        // piece: asked for pages, kube-core leaves out that the cache will do, and a node has no more pods than fit in one.
        let config = Config {
            page_size: None,
            ..Config::default()
                .fields(&format!("spec.nodeName={}", self.node))
                .timeout(spread::watch_seconds())
                .any_semantic()
        };
        let api: Api<PartialObjectMeta<Pod>> = Api::all(client);
        let mut events = watcher(api, config).default_backoff().boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if std::mem::take(lost) {
                        tracing::info!("the Kubernetes API tells of this node's pods again");
                    }
                    self.take(event);
                }
                // A watch too old to go on is told from the beginning; that is how it is meant to be.
                Err(watcher::Error::WatchError(status)) if status.code == 410 => {}
                Err(error) => {
                    let said = error::no_pods(&error);
                    if std::mem::replace(lost, true) {
                        tracing::debug!("{said}");
                    } else {
                        tracing::warn!("{said}");
                    }
                    if error::code(&error) == Some(410) {
                        // Said in place of a watch, not within one: kube would ask for the same version for ever.
                        return;
                    }
                }
            }
        }
    }

    fn take(&self, event: Event<PartialObjectMeta<Pod>>) {
        match event {
            Event::Init => self.roll.begin(),
            Event::InitApply(object) | Event::Apply(object) => {
                if let Some((uid, pod)) = named(&object) {
                    self.roll.apply(uid, &pod);
                }
            }
            Event::Delete(object) => {
                if let Some((uid, _)) = named(&object) {
                    self.roll.delete(uid);
                }
            }
            Event::InitDone => {
                let pods = self.roll.complete();
                tracing::info!(node = self.node, pods, "the pods of this node are known");
            }
        }
    }
}

/// `None` for static pods, whose cgroups do not have the UID the API shows.
fn named(object: &PartialObjectMeta<Pod>) -> Option<(Uid, PodName)> {
    let metadata = &object.metadata;
    let uid = Uid::parse(metadata.uid.as_deref()?)?;
    let pod = PodName {
        namespace: metadata.namespace.as_deref()?.into(),
        name: metadata.name.as_deref()?.into(),
    };
    Some((uid, pod))
}
