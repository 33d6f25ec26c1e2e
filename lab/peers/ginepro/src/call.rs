//! One call of each kind. What streams is answered when every message came and the end with it, all from one pod.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, unfold};
use ginepro::LoadBalancedChannel;
use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::client::Grpc;
use tonic::codec::ProstCodec;
use tonic::{Request, Status, Streaming};

/// How many messages there are in each direction that streams.
const MESSAGES: u32 = 5;

/// How long a call takes, over which the requests of a client that streams are spread.
const THINK_TIME: Duration = Duration::from_millis(10);

/// `CallRequest` of `demo.proto`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct CallRequest {
    #[prost(uint64, tag = "1")]
    id: u64,
}

/// `CallResponse` of `demo.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct CallResponse {
    #[prost(string, tag = "1")]
    pod: String,
}

/// What a call is.
#[derive(Clone, Copy)]
pub enum Calls {
    Unary,
    ClientStream,
    ServerStream,
    Bidi,
}

impl Calls {
    /// The kind that the lab calls so.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "unary" => Some(Self::Unary),
            "client-stream" => Some(Self::ClientStream),
            "server-stream" => Some(Self::ServerStream),
            "bidi" => Some(Self::Bidi),
            _ => None,
        }
    }

    fn path(self) -> PathAndQuery {
        PathAndQuery::from_static(match self {
            Self::Unary => "/obit.lab.v1.Demo/Call",
            Self::ClientStream => "/obit.lab.v1.Demo/ClientStream",
            Self::ServerStream => "/obit.lab.v1.Demo/ServerStream",
            Self::Bidi => "/obit.lab.v1.Demo/Bidi",
        })
    }
}

/// One call; the pod that answered.
pub async fn call(channel: LoadBalancedChannel, calls: Calls, id: u64) -> Result<String, Status> {
    let mut client = Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(format!("not ready: {error}")))?;
    let message = CallRequest { id };
    let codec = ProstCodec::<CallRequest, CallResponse>::default();
    let path = calls.path();
    match calls {
        Calls::Unary => Ok(client.unary(Request::new(message), path, codec).await?.into_inner().pod),
        Calls::ClientStream => {
            let answer = client
                .client_streaming(Request::new(paced(message)), path, codec)
                .await?;
            Ok(answer.into_inner().pod)
        }
        Calls::ServerStream => {
            let answers = client.server_streaming(Request::new(message), path, codec).await?;
            all(answers.into_inner(), || ()).await
        }
        Calls::Bidi => {
            let (requests, mut next) = mpsc::channel(MESSAGES as usize);
            let sent = stream::poll_fn(move |cx| next.poll_recv(cx)).take(MESSAGES as usize);
            // There is room for all. Whoever takes them no more says why in its answer.
            let send = || _ = requests.try_send(message);
            send();
            let answers = client.streaming(Request::new(sent), path, codec).await?;
            all(answers.into_inner(), send).await
        }
    }
}

/// The requests of a call in which the caller streams, in their time.
fn paced(message: CallRequest) -> impl futures_util::Stream<Item = CallRequest> + Send + 'static {
    let began = Instant::now();
    let requests = unfold(0, move |number| async move {
        // Even a time that has come costs a turn of the timer.
        if number > 0 {
            sleep_until(began + THINK_TIME * number / MESSAGES).await;
        }
        Some((message, number + 1))
    });
    requests.take(MESSAGES as usize)
}

/// The pod that gave all answers; `next` follows on each but the last.
async fn all(mut answers: Streaming<CallResponse>, next: impl Fn()) -> Result<String, Status> {
    let mut pod: Option<String> = None;
    for came in 0..MESSAGES {
        if came > 0 {
            next();
        }
        let answer = answers.message().await?;
        let answer = answer.ok_or_else(|| Status::data_loss(format!("only {came} answers of {MESSAGES} came")))?;
        match &pod {
            Some(pod) if *pod != answer.pod => return Err(Status::data_loss("answered by two pods")),
            _ => pod = Some(answer.pod),
        }
    }
    match answers.message().await? {
        None => Ok(pod.unwrap_or_default()),
        Some(_) => Err(Status::data_loss(format!("more than {MESSAGES} answers came"))),
    }
}
