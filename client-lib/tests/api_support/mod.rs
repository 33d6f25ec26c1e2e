//! A Kubernetes API for tests and for the lab: lists and watches EndpointSlices over HTTP, and the metadata of pods; goes away and
//! comes back.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    missing_docs,
    reason = "helpers of tests"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

/// Runs until dropped or [`stop`](Self::stop)ped.
pub struct Api {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<Cluster>,
    /// Lines of the watches.
    lines: broadcast::Sender<Value>,
    /// Lines of the watches of pods.
    pod_lines: broadcast::Sender<Value>,
    lists: watch::Sender<usize>,
    watches: watch::Sender<usize>,
    /// Changed when every connection ends.
    ended: watch::Sender<()>,
}

#[derive(Default)]
struct Cluster {
    version: u64,
    slices: BTreeMap<String, Value>,
    pods: BTreeMap<String, Value>,
    /// What is said to who asks for pods, if anything.
    pods_refusal: Option<u16>,
    queries: Vec<String>,
    /// What every request is answered with, if anything.
    refusal: Option<u16>,
    /// What the next watch is answered with, if anything.
    watch_refusal: Option<u16>,
    /// Why lists are not streamed, if they are not.
    unstreamed: Option<Unstreamed>,
}

/// What an API that does not stream lists says to who asks for it.
#[derive(Debug, Clone, Copy)]
pub enum Unstreamed {
    /// It refuses: Kubernetes is old.
    Unknown,
    /// The watch begins, and then says that it failed: the storage behind it is old.
    Storage,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Api {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(address: SocketAddr) -> Self {
        let mut api = Self {
            address,
            shared: Arc::new(Shared {
                state: Mutex::default(),
                lines: broadcast::Sender::new(64),
                pod_lines: broadcast::Sender::new(64),
                lists: watch::Sender::new(0),
                watches: watch::Sender::new(0),
                ended: watch::Sender::new(()),
            }),
            serving: None,
        };
        api.resume().await;
        api
    }

    /// Nobody listens any more, and every watch ends.
    pub fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
        self.shared.ended.send_replace(());
    }

    /// Listens again where it did.
    pub async fn resume(&mut self) {
        let listener = loop {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            if socket.bind(self.address).is_ok() {
                break socket.listen(64).unwrap();
            }
            tokio::task::yield_now().await;
        };
        self.address = listener.local_addr().unwrap();
        self.serving = Some(tokio::spawn(serve(listener, self.shared.clone())));
    }

    pub fn client(&self) -> kube::Client {
        let config = kube::Config::new(format!("http://{}", self.address).parse().unwrap());
        kube::Client::try_from(config).unwrap()
    }

    /// The cluster has this slice from now on.
    pub fn apply(&self, slice: &EndpointSlice) {
        let name = slice.metadata.name.clone().unwrap();
        let mut object = serde_json::to_value(slice).unwrap();
        let mut state = self.shared.state.lock().unwrap();
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        let kind = if state.slices.insert(name, object.clone()).is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        // Nobody watches: the next list tells.
        _ = self.shared.lines.send(json!({ "type": kind, "object": object }));
    }

    pub fn delete(&self, name: &str) {
        let mut state = self.shared.state.lock().unwrap();
        state.version += 1;
        let mut object = state.slices.remove(name).unwrap();
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        _ = self.shared.lines.send(json!({ "type": "DELETED", "object": object }));
    }

    /// The cluster has this pod from now on.
    pub fn apply_pod(&self, node: &str, namespace: &str, name: &str, uid: &str) {
        let mut state = self.shared.state.lock().unwrap();
        state.version += 1;
        let object = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {
                "namespace": namespace, "name": name, "uid": uid, "resourceVersion": state.version.to_string(),
                // Not there in a real one, which knows by itself.
                "annotations": { "node": node },
            },
        });
        let before = state.pods.insert(uid.to_owned(), object.clone());
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        _ = self.shared.pod_lines.send(json!({ "type": kind, "object": object }));
    }

    pub fn delete_pod(&self, uid: &str) {
        let mut state = self.shared.state.lock().unwrap();
        state.version += 1;
        let mut object = state.pods.remove(uid).unwrap();
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        _ = self
            .shared
            .pod_lines
            .send(json!({ "type": "DELETED", "object": object }));
    }

    /// Answers who asks for pods with this code from now on.
    pub fn refuse_pods(&self, code: impl Into<Option<u16>>) {
        self.shared.state.lock().unwrap().pods_refusal = code.into();
    }

    /// Changes the cluster without a word to the watches.
    pub fn delete_in_secret(&self, name: &str) {
        self.shared.state.lock().unwrap().slices.remove(name).unwrap();
    }

    /// Objects of no interest to the watches move the version on.
    pub fn advance(&self, versions: u64) {
        self.shared.state.lock().unwrap().version += versions;
    }

    pub fn bookmark(&self) {
        let version = self.shared.state.lock().unwrap().version;
        let object = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "resourceVersion": version.to_string(), "creationTimestamp": null },
        });
        _ = self.shared.lines.send(json!({ "type": "BOOKMARK", "object": object }));
    }

    /// Tells every watch that it is too old to go on.
    pub fn gone(&self) {
        _ = self
            .shared
            .lines
            .send(json!({ "type": "ERROR", "object": status(410) }));
    }

    /// Ends every watch after what was said, as a server does after some minutes.
    pub fn end_watches(&self) {
        _ = self.shared.lines.send(Value::Null);
    }

    /// Says something that is no line of a watch.
    pub fn babble(&self) {
        _ = self.shared.lines.send(json!(["no", "event"]));
    }

    /// Answers every request with this code from now on.
    pub fn refuse(&self, code: impl Into<Option<u16>>) {
        self.shared.state.lock().unwrap().refusal = code.into();
    }

    /// Answers the next watch with this code.
    pub fn refuse_watch(&self, code: u16) {
        self.shared.state.lock().unwrap().watch_refusal = Some(code);
    }

    /// Does not stream lists from now on.
    pub fn only_list(&self, why: Unstreamed) {
        self.shared.state.lock().unwrap().unstreamed = Some(why);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection; the next ones are served.
    pub fn hang_up(&self) {
        self.shared.ended.send_replace(());
    }

    /// Waits until so many watches were begun.
    pub async fn watches(&self, count: usize) {
        self.shared
            .watches
            .subscribe()
            .wait_for(|watches| *watches >= count)
            .await
            .unwrap();
    }

    pub fn list_count(&self) -> usize {
        *self.shared.lists.borrow()
    }

    /// Path and query of every request so far.
    pub fn queries(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().queries.clone()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let app = Router::new().fallback(answer).with_state(shared.clone());
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(app.clone());
        let mut ended = shared.ended.subscribe();
        connections.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => {}
                _ = ended.changed() => {}
            }
        });
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut state = shared.state.lock().unwrap();
    state.queries.push(request.uri().to_string());
    if let Some(code) = state.refusal {
        return refused(code);
    }
    if request.uri().path() == "/version" {
        return json_response(Body::from(version().to_string()));
    }
    if request.uri().path() == "/api/v1/pods" {
        return pods(&shared, &state, request.headers(), &query);
    }
    if query.contains("watch=true") {
        shared.watches.send_modify(|watches| *watches += 1);
        if let Some(code) = state.watch_refusal.take() {
            return refused(code);
        }
        // Subscribed under the lock: nothing that happens after the list is missed.
        let lines = stream::unfold(shared.lines.subscribe(), |mut lines| async {
            let line = lines.recv().await.ok().filter(|line| !line.is_null())?;
            Some((line, lines))
        });
        let mut first = Vec::new();
        if query.contains("sendInitialEvents=true") {
            match state.unstreamed {
                None => {}
                Some(Unstreamed::Unknown) => return refused(422),
                Some(Unstreamed::Storage) => {
                    let failed = json!({ "type": "ERROR", "object": {
                        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 500, "reason": "InternalError",
                        "message": "the required storage feature RequestWatchProgress is disabled",
                    }});
                    return json_response(Body::from(format!("{failed}\n")));
                }
            }
            let added = |object: &Value| json!({ "type": "ADDED", "object": object });
            first.extend(state.slices.values().map(added));
            first.push(end_of_list(state.version));
        }
        let lines = stream::iter(first).chain(lines);
        let lines = lines.map(|line| Ok::<_, Infallible>(format!("{line}\n")));
        return json_response(Body::from_stream(lines.boxed()));
    }
    shared.lists.send_modify(|lists| *lists += 1);
    let list = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList",
        "metadata": { "resourceVersion": state.version.to_string() },
        "items": state.slices.values().collect::<Vec<_>>(),
    });
    json_response(Body::from(list.to_string()))
}

/// What is said of the pods of one node, to who asks for no more than their metadata.
fn pods(shared: &Shared, state: &Cluster, headers: &HeaderMap, query: &str) -> Response {
    if let Some(code) = state.pods_refusal {
        return refused(code);
    }
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    assert!(
        accept.contains("as=PartialObjectMetadata"),
        "all of every pod is asked for: {accept:?}"
    );
    let selector = parameter(query, "fieldSelector");
    let node = selector.strip_prefix("spec.nodeName%3D").expect("the pods of one node");
    let node = node.to_owned();
    let on_it = move |object: &Value| object["metadata"]["annotations"]["node"] == *node;
    if query.contains("watch=true") {
        // Subscribed under the lock: nothing that happens after the list is missed.
        let lines = stream::unfold(shared.pod_lines.subscribe(), |mut lines| async {
            let line = lines.recv().await.ok()?;
            Some((line, lines))
        });
        // What came between the list and the watch.
        let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        let newer =
            |version: &str| version.parse::<u64>().unwrap() > parameter(query, "resourceVersion").parse().unwrap();
        let missed = state.pods.values().filter(|object| newer(&version(object).unwrap()));
        let missed: Vec<_> = missed
            .map(|object| json!({ "type": "ADDED", "object": object }))
            .collect();
        let lines = stream::iter(missed).chain(lines);
        let lines = lines.filter(move |line| std::future::ready(on_it(&line["object"])));
        let lines = lines.map(|line| Ok::<_, Infallible>(format!("{line}\n")));
        return json_response(Body::from_stream(lines.boxed()));
    }
    let list = json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
        "metadata": { "resourceVersion": state.version.to_string() },
        "items": state.pods.values().filter(|object| on_it(object)).collect::<Vec<_>>(),
    });
    json_response(Body::from(list.to_string()))
}

/// A parameter of a query; empty where it is not there.
fn parameter<'a>(query: &'a str, name: &str) -> &'a str {
    let parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    let mut found = parameters.filter(|(it, _)| *it == name).map(|(_, value)| value);
    found.next().unwrap_or_default()
}

/// The bookmark after the last object of a streamed list.
fn end_of_list(version: u64) -> Value {
    json!({ "type": "BOOKMARK", "object": {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "resourceVersion": version.to_string(), "creationTimestamp": null,
            "annotations": { "k8s.io/initial-events-end": "true" },
        },
    }})
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "37", "gitVersion": "v1.37.0", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": "",
    })
}

fn json_response(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn refused(code: u16) -> Response {
    let mut response = json_response(Body::from(status(code).to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn status(code: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code,
        "reason": if code == 403 { "Forbidden" } else { "Expired" }, "message": format!("the test says {code}"),
    })
}
