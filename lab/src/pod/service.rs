//! The pod's one RPC behind both protocols: gRPC through tonic's generated server, Connect beside it, told apart by the
//! content type.

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
use tower_service::Service as _;

use super::Journal;
use super::connect::{Encoding, failure};
use super::proto::demo_server::{Demo, DemoServer};
use super::proto::{CallRequest, CallResponse};

/// The path of the RPC, the same in both protocols.
const PATH: &str = "/obit.lab.v1.Demo/Call";

/// A Connect request longer than this is refused: the real one has 11 bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A pod's service, one clone a connection.
#[derive(Debug, Clone)]
pub struct PodService {
    pod: Arc<Pod>,
    grpc: DemoServer<Pod>,
}

#[derive(Debug)]
struct Pod {
    name: String,
    think: watch::Receiver<Duration>,
    journal: Mutex<Journal>,
}

impl PodService {
    /// A pod called `name` that keeps `journal`, and takes as long for a call as `think` says when it comes.
    #[must_use]
    pub fn new(name: String, journal: Journal, think: watch::Receiver<Duration>) -> Self {
        let pod = Arc::new(Pod {
            name,
            think,
            journal: Mutex::new(journal),
        });
        Self {
            grpc: DemoServer::from_arc(pod.clone()),
            pod,
        }
    }
}

impl Pod {
    async fn process(&self, id: u64) -> Result<CallResponse, std::io::Error> {
        self.journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .received(id)?;
        let think = *self.think.borrow();
        tokio::time::sleep(think).await;
        self.journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .finished(id)?;
        Ok(CallResponse { pod: self.name.clone() })
    }

    async fn connect(&self, encoding: Encoding, request: Request<Incoming>) -> Response<bytes::Bytes> {
        if request.method() != Method::POST || request.uri().path() != PATH {
            return failure(
                StatusCode::NOT_FOUND,
                "unimplemented",
                "this pod answers POST /obit.lab.v1.Demo/Call",
            );
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
impl Demo for Pod {
    async fn call(&self, request: tonic::Request<CallRequest>) -> Result<tonic::Response<CallResponse>, tonic::Status> {
        match self.process(request.get_ref().id).await {
            Ok(response) => Ok(tonic::Response::new(response)),
            Err(error) => Err(tonic::Status::internal(error.to_string())),
        }
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
