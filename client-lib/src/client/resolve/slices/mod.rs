//! Endpoints straight from the Kubernetes API: a watch of a service's EndpointSlices.

mod error;
mod reading;

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Client};

use super::{IpFamily, Port, Resolve, Resolving, Sets, pods};
pub use error::SlicesError;
use reading::{Reading, SERVICE_LABEL};

/// The pause before a client for the API is looked for again.
const CLIENT_PAUSE: Duration = Duration::from_secs(10);

/// Watches the EndpointSlices of a service.
///
/// Ready pods are endpoints; where there is none, those that terminate and serve yet, as with kube-proxy. Their zone is
/// [`Endpoint::with_zone`](super::Endpoint::with_zone). Of a dual-stack service one family is taken whole, as with
/// [`Dns`](super::Dns). When the API goes away the endpoints known stay, and the watch is taken up again as it comes back; when the
/// API says that there is no endpoint, there is none.
///
/// The service account needs `get`, `list` and `watch` of `endpointslices` in `discovery.k8s.io` in the service's namespace.
/// Every client has a watch of its own: where a node runs many, the monitor's push costs the API less.
///
/// With the feature `kube` (kube 5, k8s-openapi 0.29). As everywhere with k8s-openapi, the program that links this chooses the
/// version of Kubernetes: `k8s-openapi = { version = "0.29", features = ["v1_33"] }`.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use obit::resolve::EndpointSlices;
///
/// let client = obit::Client::builder("http://demo-api.shop")
///     .resolver(EndpointSlices::new("demo-api", "shop", "grpc"))
///     .build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct EndpointSlices {
    service: String,
    namespace: String,
    port: Port,
    family: IpFamily,
    client: Option<Client>,
}

impl EndpointSlices {
    /// The pods of `service` in `namespace`, each serving on `port`: the name the service gives it, or the pods' own number.
    #[must_use]
    pub fn new(service: impl Into<String>, namespace: impl Into<String>, port: impl Into<Port>) -> Self {
        Self {
            service: service.into(),
            namespace: namespace.into(),
            port: port.into(),
            family: IpFamily::default(),
            client: None,
        }
    }

    /// The way to the API. Default: the kubeconfig, else the pod's service account.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Which addresses count where the service has them in both families. Default: [`IpFamily::PreferV4`].
    #[must_use]
    pub fn ip_family(mut self, family: IpFamily) -> Self {
        self.family = family;
        self
    }

    async fn api(&self, sets: &mut Sets) -> Api<EndpointSlice> {
        loop {
            let client = match &self.client {
                Some(client) => Ok(client.clone()),
                None => Client::try_default().await,
            };
            match client {
                Ok(client) => return Api::namespaced(client, &self.namespace),
                Err(error) => {
                    sets.failed(SlicesError::NoClient(error)).await;
                    tokio::time::sleep(CLIENT_PAUSE).await;
                }
            }
        }
    }

    /// Watches until the watch has to be begun anew.
    async fn watch(&self, api: Api<EndpointSlice>, view: &mut View, sets: &mut Sets) {
        // From the API's cache: a thousand clients that start at once do not all reach its database.
        let config = Config::default()
            .labels(&format!("{SERVICE_LABEL}={}", self.service))
            .any_semantic();
        let mut events = watcher(api, config).default_backoff().boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if view.apply(event) {
                        self.publish(view, sets).await;
                    }
                }
                // A watch too old to go on is told from the beginning; that is how it is meant to be.
                Err(watcher::Error::WatchError(status)) if status.code == 410 => {}
                Err(source) => {
                    let outdated = error::code(&source) == Some(410);
                    let (namespace, service) = self.names();
                    sets.failed(SlicesError::Api {
                        namespace,
                        service,
                        source,
                    })
                    .await;
                    if outdated {
                        // Said in place of a watch, not within one: kube would ask for the same version for ever.
                        return;
                    }
                }
            }
        }
    }

    async fn publish(&self, view: &mut View, sets: &mut Sets) {
        let reading = reading::read(view.slices.values(), &self.namespace, &self.service, &self.port);
        let endpoints = pods::endpoints(&reading.pods, self.family);
        let complaint = if endpoints.is_empty() {
            Some(self.complaint(&reading))
        } else {
            None
        };
        if reading.garbage != view.garbage {
            for what in &reading.garbage {
                tracing::warn!(service = %self.service, namespace = %self.namespace, "left out: {what}");
            }
            view.garbage = reading.garbage;
        }
        sets.publish(endpoints).await;
        if let Some(complaint) = complaint {
            sets.failed(complaint).await;
        }
    }

    fn complaint(&self, reading: &Reading) -> SlicesError {
        let (namespace, service) = self.names();
        if reading.slices == 0 {
            SlicesError::NoSlices { namespace, service }
        } else if !reading.port_found {
            SlicesError::NoSuchPort {
                namespace,
                service,
                port: self.port.clone(),
                declared: reading.ports.iter().cloned().collect(),
            }
        } else {
            SlicesError::NoneReady {
                namespace,
                service,
                pods: reading.pods.len(),
            }
        }
    }

    fn names(&self) -> (String, String) {
        (self.namespace.clone(), self.service.clone())
    }
}

impl std::fmt::Debug for EndpointSlices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointSlices")
            .field("service", &self.service)
            .field("namespace", &self.namespace)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Resolve for EndpointSlices {
    fn run(self: Box<Self>, mut sets: Sets) -> Resolving {
        Box::pin(async move {
            let mut view = View::default();
            loop {
                let api = self.api(&mut sets).await;
                self.watch(api, &mut view, &mut sets).await;
            }
        })
    }
}

/// The slices as last told, by name.
#[derive(Debug, Default)]
struct View {
    slices: HashMap<String, EndpointSlice>,
    /// What a new telling has brought so far. Until it is complete the old one counts.
    coming: HashMap<String, EndpointSlice>,
    garbage: Vec<String>,
}

impl View {
    /// Returns whether there is something to publish.
    fn apply(&mut self, event: Event<EndpointSlice>) -> bool {
        let name = |slice: &EndpointSlice| slice.metadata.name.clone().unwrap_or_default();
        match event {
            Event::Init => {
                self.coming.clear();
                return false;
            }
            Event::InitApply(slice) => {
                self.coming.insert(name(&slice), slice);
                return false;
            }
            Event::InitDone => self.slices = mem::take(&mut self.coming),
            Event::Apply(slice) => {
                self.slices.insert(name(&slice), slice);
            }
            Event::Delete(slice) => {
                self.slices.remove(&name(&slice));
            }
        }
        true
    }
}
