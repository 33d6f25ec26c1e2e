//! The pod's RPCs: gRPC through tonic's generated server, and beside it Connect for unary calls alone, told apart by the content
//! type. Only calls of the run's kind are answered.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::{Status, Streaming};
use tower_service::Service as _;

use super::Journal;
use super::connect::{Encoding, failure};
use super::proto::demo_server::{Demo, DemoServer};
use super::proto::{CallRequest, CallResponse};
use super::stream::{self, Answers};
use crate::scenario::Calls;

/// The path of unary calls, the same in both protocols.
const PATH: &str = "/obit.lab.v1.Demo/Call";

/// A Connect request longer than this is refused: the real one has 11 bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A pod's service, one clone a connection.
#[derive(Debug, Clone)]
pub struct PodService {
    pod: Arc<Pod>,
    grpc: DemoServer<Arc<Pod>>,
}

#[derive(Debug)]
pub(super) struct Pod {
    name: String,
    calls: Calls,
    think: watch::Receiver<Duration>,
    journal: Mutex<Journal>,
}

impl PodService {
    /// A pod called `name` that answers such `calls`, keeps `journal`, and takes as long for a call as `think` says when it comes.
    #[must_use]
    pub fn new(name: String, calls: Calls, journal: Journal, think: watch::Receiver<Duration>) -> Self {
        let pod = Arc::new(Pod {
            name,
            calls,
            think,
            journal: Mutex::new(journal),
        });
        Self {
            grpc: DemoServer::new(pod.clone()),
            pod,
        }
    }
}

impl Pod {
    /// Notes that call `id` came; how long it takes.
    pub(super) fn received(&self, id: u64) -> std::io::Result<Duration> {
        self.journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .received(id)?;
        Ok(*self.think.borrow())
    }

    /// Notes that call `id` is about to be answered in full.
    pub(super) fn finished(&self, id: u64) -> std::io::Result<()> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).finished(id)
    }

    /// An answer.
    pub(super) fn response(&self) -> CallResponse {
        CallResponse { pod: self.name.clone() }
    }

    async fn process(&self, id: u64) -> std::io::Result<CallResponse> {
        let think = self.received(id)?;
        tokio::time::sleep(think).await;
        self.finished(id)?;
        Ok(self.response())
    }

    /// Whether `calls` are those of this run. A client that makes others would be measured by what was not asked for.
    fn agreed(&self, calls: Calls) -> Result<(), String> {
        match self.calls == calls {
            true => Ok(()),
            false => Err(format!(
                "the calls of this run are {} (OBIT_LAB_CALLS), not {}: see docs/lab.md",
                self.calls.name(),
                calls.name()
            )),
        }
    }

    async fn connect(&self, encoding: Encoding, request: Request<Incoming>) -> Response<bytes::Bytes> {
        if request.method() != Method::POST || request.uri().path() != PATH {
            return failure(
                StatusCode::NOT_FOUND,
                "unimplemented",
                "this pod answers POST /obit.lab.v1.Demo/Call",
            );
        }
        if let Err(message) = self.agreed(Calls::Unary) {
            return failure(StatusCode::NOT_IMPLEMENTED, "unimplemented", &message);
        }
        let body = match Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return failure(StatusCode::BAD_REQUEST, "invalid_argument", &error.to_string()),
        };
        match encoding.decode(body) {
            Err(message) => failure(StatusCode::BAD_REQUEST, "invalid_argument", &message),
            Ok(id) => match self.process(id).await {
                Ok(response) => encoding.answer(&response),
                Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, "internal", &error.to_string()),
            },
        }
    }
}

#[tonic::async_trait]
impl Demo for Arc<Pod> {
    type ServerStreamStream = Answers;
    type BidiStream = Answers;

    async fn call(&self, request: tonic::Request<CallRequest>) -> Result<tonic::Response<CallResponse>, Status> {
        self.agreed(Calls::Unary).map_err(Status::unimplemented)?;
        Ok(tonic::Response::new(self.process(request.get_ref().id).await?))
    }

    async fn client_stream(
        &self,
        request: tonic::Request<Streaming<CallRequest>>,
    ) -> Result<tonic::Response<CallResponse>, Status> {
        self.agreed(Calls::ClientStream).map_err(Status::unimplemented)?;
        stream::client(self, request.into_inner()).await
    }

    async fn server_stream(&self, request: tonic::Request<CallRequest>) -> Result<tonic::Response<Answers>, Status> {
        self.agreed(Calls::ServerStream).map_err(Status::unimplemented)?;
        stream::server(self, request.get_ref().id).await
    }

    async fn bidi(&self, request: tonic::Request<Streaming<CallRequest>>) -> Result<tonic::Response<Answers>, Status> {
        self.agreed(Calls::Bidi).map_err(Status::unimplemented)?;
        stream::bidi(self, request.into_inner()).await
    }
}

impl hyper::service::Service<Request<Incoming>> for PodService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let content_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        match content_type.and_then(Encoding::of) {
            Some(encoding) => {
                let pod = self.pod.clone();
                Box::pin(async move {
                    Ok(pod
                        .connect(encoding, request)
                        .await
                        .map(|body| Body::new(Full::new(body))))
                })
            }
            None => self.grpc.clone().call(request),
        }
    }
}
