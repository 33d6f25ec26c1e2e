//! A pod on loopback answers its RPC as gRPC and as Connect, and journals what it processed.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::graceful::GracefulShutdown;
use obit_lab::pod::proto::demo_client::DemoClient;
use obit_lab::pod::proto::{CallRequest, CallResponse};
use obit_lab::pod::{Journal, PodService, THINK_TIME, Tally, WARM_UP, serve};
use obit_lab::scenario::Calls;
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

struct Pod {
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Pod {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("journal"), 10).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (_think, thinks) = watch::channel(THINK_TIME);
            let (_accept, accepts) = watch::channel(true);
            let service = PodService::new("pod-7".into(), Calls::Unary, journal, thinks);
            serve(listener, service, accepts, &GracefulShutdown::new()).await
        });
        Self { address, directory }
    }

    fn journal(&self) -> Vec<u8> {
        std::fs::read(self.directory.path().join("journal")).unwrap()
    }

    async fn post(&self, path: &str, content_type: &str, body: impl Into<Bytes>) -> Response<Bytes> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut send, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let request = Request::post(format!("http://{}{path}", self.address)).header("content-type", content_type);
        let response = send
            .send_request(request.body(Full::new(body.into())).unwrap())
            .await
            .unwrap();
        let (head, body) = response.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }
}

const PATH: &str = "/obit.lab.v1.Demo/Call";

#[tokio::test]
async fn grpc_is_answered_with_the_pods_name_and_journalled() {
    let pod = Pod::start().await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", pod.address)).unwrap();
    let mut client = DemoClient::new(channel.connect().await.unwrap());
    for id in [3, 3, WARM_UP] {
        let response = client.call(CallRequest { id }).await.unwrap();
        assert_eq!(response.get_ref().pod, "pod-7");
    }
    assert_eq!(pod.journal(), [0, 0, 0, 0x22, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        Tally::of(&[pod.journal()]),
        Tally {
            processed: 1,
            processed_twice: 1
        }
    );
}

#[tokio::test]
async fn connect_is_answered_in_the_encoding_it_was_asked_in() {
    let pod = Pod::start().await;
    let answer = pod
        .post(PATH, "application/proto", CallRequest { id: 1 }.encode_to_vec())
        .await;
    assert_eq!(
        (answer.status(), &answer.headers()["content-type"]),
        (StatusCode::OK, &"application/proto".parse().unwrap())
    );
    assert_eq!(CallResponse::decode(answer.into_body()).unwrap().pod, "pod-7");
    let answer = pod.post(PATH, "application/json", r#"{"id":"2"}"#).await;
    assert_eq!(
        (answer.status(), answer.body().as_ref()),
        (StatusCode::OK, br#"{"pod":"pod-7"}"#.as_slice())
    );
    assert_eq!(pod.journal()[..4], [0, 0x11, 0x11, 0]);
}

#[tokio::test]
async fn connect_failures_are_json_with_a_code() {
    let pod = Pod::start().await;
    let cases = [
        (PATH, r#"{"id":"two"}"#, StatusCode::BAD_REQUEST, "invalid_argument"),
        ("/obit.lab.v1.Demo/Other", "{}", StatusCode::NOT_FOUND, "unimplemented"),
    ];
    for (path, body, status, code) in cases {
        let answer = pod.post(path, "application/json", body).await;
        let error: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(
            (answer.status(), error["code"].as_str()),
            (status, Some(code)),
            "{path} {body}"
        );
    }
}
