//! obit's own client, with and without a monitor, and what it tells of itself while it works.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use obit::resolve::{Dns, EndpointSlices};
use obit::{ClientBuilder, EndpointEvent, Feed, Phase};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::super::{Observations, Told, Transition};
use crate::api;
use crate::clock::monotonic_ns;
use crate::contract::Environment;

/// A client and what it told until now.
pub(super) struct Observed {
    pub(super) client: obit::Client,
    observations: Arc<Mutex<Observations>>,
}

/// Told by the lab's DNS server which pods there are.
pub(super) fn dns(told: &Environment) -> anyhow::Result<Dns> {
    let (name, port) = told.target.rsplit_once(':').context("a target without a port")?;
    let port = port.parse().context("the target's port")?;
    Ok(Dns::new(format!("{name}."), port).name_server(told.name_server))
}

/// Told by the lab's Kubernetes API.
pub(super) fn slices(told: &Environment) -> anyhow::Result<EndpointSlices> {
    let config = kube::Config::new(told.kubernetes.parse().context("the API's address")?);
    let client = kube::Client::try_from(config).context("a client for the API")?;
    Ok(EndpointSlices::new(api::SERVICE, api::NAMESPACE, api::PORT_NAME).client(client))
}

/// A client of the pods, everything else a default.
pub(super) fn builder(told: &Environment) -> ClientBuilder {
    obit::Client::builder(format!("http://{}", told.target))
}

impl Observed {
    /// Builds the client, which listens to the monitor whose socket it is given.
    pub(super) fn new(told: &Environment, builder: ClientBuilder) -> anyhow::Result<Self> {
        let feed = told.monitor.as_ref().map_or_else(Feed::offline, Feed::connect);
        let client = builder.feed(feed.clone()).build().context("the client")?;
        let observations = Arc::default();
        tokio::spawn(transitions(client.events(), Arc::clone(&observations)));
        for pod in &told.pods {
            tokio::spawn(lateness(feed.clone(), *pod, Arc::clone(&observations)));
        }
        Ok(Self { client, observations })
    }

    /// What was observed until now.
    pub(super) fn observations(&self) -> Observations {
        self.observations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Notes every change of an endpoint.
async fn transitions(mut events: Receiver<EndpointEvent>, observations: Arc<Mutex<Observations>>) {
    loop {
        match events.recv().await {
            Ok(event) => {
                let moved = transition(&event);
                observations
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .transitions
                    .push(moved);
            }
            Err(RecvError::Lagged(missed)) => eprintln!("client: {missed} changes of endpoints were not observed"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn transition(event: &EndpointEvent) -> Transition {
    let ago_ns = u64::try_from(event.at.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Transition {
        at_ns: monotonic_ns().saturating_sub(ago_ns),
        peer: event.peer,
        from: format!("{:?}", event.from),
        to: format!("{:?}", event.to),
        reason: event.cause.to_string(),
        in_rotation: event.to == Phase::Ready,
    }
}

/// Handles the monitor's notices about one pod as a pool does, and notes how late each was.
async fn lateness(feed: Feed, pod: SocketAddr, observations: Arc<Mutex<Observations>>) {
    let mut watch = feed.watch(pod);
    loop {
        let health = watch.changed().await;
        let handled_ns = monotonic_ns();
        if health.kernel_ns > 0 {
            let told = Told {
                kernel_ns: health.kernel_ns,
                handled_ns,
            };
            observations
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .told
                .push(told);
        }
    }
}
