//! One call of each kind through the generated client. What streams is answered when every message came and the end with it, all
//! from one pod.

use futures_util::StreamExt as _;
use futures_util::stream::{self, unfold};
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tonic::{Request, Status, Streaming};

use super::load::Transport;
use super::mark_idempotent;
use crate::clock::timer_now;
use crate::pod::THINK_TIME;
use crate::pod::proto::demo_client::DemoClient;
use crate::pod::proto::{CallRequest, CallResponse};
use crate::scenario::{Calls, MESSAGES};

/// What a caller asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    /// What the call is.
    pub(super) calls: Calls,
    /// Its number.
    pub(super) id: u64,
    /// Whether it is marked as idempotent.
    pub(super) idempotent: bool,
}

impl Ask {
    fn request<M>(self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if self.idempotent {
            mark_idempotent(&mut request);
        }
        request
    }
}

/// One call; the number of the pod that answered.
pub(super) async fn call<T: Transport>(mut client: DemoClient<T>, ask: Ask) -> Result<u8, Status> {
    let message = CallRequest { id: ask.id };
    match ask.calls {
        Calls::Unary => number(client.call(ask.request(message)).await?.get_ref()),
        Calls::ClientStream => number(client.client_stream(ask.request(paced(message))).await?.get_ref()),
        Calls::ServerStream => {
            let answers = client.server_stream(ask.request(message)).await?;
            all(answers.into_inner(), || ()).await
        }
        Calls::Bidi => {
            let (requests, mut next) = mpsc::channel(MESSAGES as usize);
            let sent = stream::poll_fn(move |cx| next.poll_recv(cx)).take(MESSAGES as usize);
            // There is room for all. Whoever takes them no more says why in its answer.
            let send = || _ = requests.try_send(message);
            send();
            let answers = client.bidi(ask.request(sent)).await?;
            all(answers.into_inner(), send).await
        }
    }
}

/// The requests of a call in which the caller streams, in their time.
fn paced(message: CallRequest) -> impl futures_util::Stream<Item = CallRequest> + Send + 'static {
    let began = timer_now();
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
async fn all(mut answers: Streaming<CallResponse>, next: impl Fn()) -> Result<u8, Status> {
    let mut pod = None;
    for came in 0..MESSAGES {
        if came > 0 {
            next();
        }
        let answer = answers.message().await?;
        let answer = answer.ok_or_else(|| Status::data_loss(format!("only {came} answers of {MESSAGES} came")))?;
        let number = number(&answer)?;
        if *pod.get_or_insert(number) != number {
            return Err(Status::data_loss("answered by two pods"));
        }
    }
    match answers.message().await? {
        None => pod.ok_or_else(|| Status::data_loss("no answer came")),
        Some(_) => Err(Status::data_loss(format!("more than {MESSAGES} answers came"))),
    }
}

/// The number of the pod that an answer names.
fn number(answer: &CallResponse) -> Result<u8, Status> {
    let number = answer.pod.strip_prefix("pod-").and_then(|number| number.parse().ok());
    number.ok_or_else(|| Status::data_loss(format!("answered by {:?}, which is no pod", answer.pod)))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use hyper_util::server::graceful::GracefulShutdown;
    use tempfile::TempDir;
    use tokio::net::TcpListener;
    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::{oneshot, watch};
    use tonic::Code;
    use tonic::transport::{Channel, Endpoint};

    use super::*;
    use crate::pod::{Journal, PodService, serve};

    const STREAMS: [Calls; 3] = [Calls::ClientStream, Calls::ServerStream, Calls::Bidi];

    /// A pod with threads and sockets of its own, which go at once when it is killed.
    struct Pod {
        runtime: Runtime,
        client: DemoClient<Channel>,
        folder: TempDir,
    }

    fn journal(folder: &Path) -> PathBuf {
        folder.join("journal")
    }

    impl Pod {
        async fn start(calls: Calls, think: Duration) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let journal = Journal::open(&journal(folder.path()), 10).unwrap();
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            let (tell, told) = oneshot::channel::<SocketAddr>();
            runtime.spawn(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let (_think, thinks) = watch::channel(think);
                let (_accept, accepts) = watch::channel(true);
                let service = PodService::new("pod-7".into(), calls, journal, thinks);
                serve(listener, service, accepts, &GracefulShutdown::new()).await
            });
            let endpoint = Endpoint::from_shared(format!("http://{}", told.await.unwrap())).unwrap();
            Self {
                runtime,
                client: DemoClient::new(endpoint.connect().await.unwrap()),
                folder,
            }
        }

        fn call(&self, calls: Calls, id: u64) -> impl Future<Output = Result<u8, Status>> + use<> {
            let ask = Ask {
                calls,
                id,
                idempotent: true,
            };
            call(self.client.clone(), ask)
        }

        fn noted(&self) -> Vec<u8> {
            std::fs::read(journal(self.folder.path())).unwrap()
        }

        /// Once it has received a call.
        async fn busy(&self) {
            while self.noted().iter().all(|byte| *byte == 0) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    #[tokio::test]
    async fn a_call_of_any_kind_is_answered_and_takes_about_the_think_time() {
        for calls in Calls::ALL {
            let pod = Pod::start(calls, THINK_TIME).await;
            let began = timer_now();
            assert_eq!(pod.call(calls, 3).await.unwrap(), 7, "{calls:?}");
            assert!(began.elapsed() >= THINK_TIME, "{calls:?}: {:?}", began.elapsed());
            assert_eq!(pod.noted(), [0, 0, 0, 0x11, 0, 0, 0, 0, 0, 0], "{calls:?}");
            pod.runtime.shutdown_background();
        }
    }

    #[tokio::test]
    async fn a_stream_whose_pod_is_killed_failed_and_was_not_finished() {
        for calls in STREAMS {
            let pod = Pod::start(calls, Duration::from_secs(60)).await;
            let answer = tokio::spawn(pod.call(calls, 3));
            pod.busy().await;
            let noted = pod.folder;
            pod.runtime.shutdown_background();
            let failed = answer.await.unwrap().unwrap_err();
            assert!(
                [Code::Unavailable, Code::Unknown].contains(&failed.code()),
                "{calls:?}: {failed:?}"
            );
            assert_eq!(std::fs::read(journal(noted.path())).unwrap()[3], 0x01, "{calls:?}");
        }
    }

    #[tokio::test]
    async fn a_pod_answers_no_calls_but_those_of_its_run() {
        let pod = Pod::start(Calls::Bidi, THINK_TIME).await;
        for calls in Calls::ALL.into_iter().filter(|calls| *calls != Calls::Bidi) {
            let failed = pod.call(calls, 3).await.unwrap_err();
            assert_eq!(failed.code(), Code::Unimplemented, "{calls:?}: {failed:?}");
            assert!(failed.message().contains("are bidi (OBIT_LAB_CALLS)"), "{failed:?}");
        }
        assert_eq!(pod.noted(), [0; 10]);
        pod.runtime.shutdown_background();
    }

    #[tokio::test]
    async fn a_pod_finishes_no_stream_that_is_not_whole() {
        let pod = Pod::start(Calls::ClientStream, THINK_TIME).await;
        for (ids, fault) in [
            (vec![], "without a request"),
            (vec![3; 4], "ends before its request 5 of 5"),
            (vec![3; 6], "more than 5 requests"),
            (vec![3, 3, 4, 3, 3], "request 3 of call 3 is of call 4"),
        ] {
            let requests = stream::iter(ids.into_iter().map(|id| CallRequest { id }));
            let failed = pod.client.clone().client_stream(requests).await.unwrap_err();
            assert!(failed.message().contains(fault), "{failed:?}");
        }
        assert_eq!(pod.noted()[3], 0x03);
        pod.runtime.shutdown_background();
    }

    #[tokio::test]
    async fn a_stream_is_answered_only_by_as_many_messages_as_it_has_of_one_pod() {
        let answer = |pod: &str| Ok(CallResponse { pod: pod.into() });
        let answers = |pods: &[&str]| {
            let body = stream::iter(pods.iter().map(|pod| answer(pod)).collect::<Vec<_>>());
            let body = tonic::codec::EncodeBody::new_server(
                tonic_prost::ProstEncoder::<CallResponse>::default(),
                body,
                None,
                tonic::codec::SingleMessageCompressionOverride::default(),
                None,
            );
            let decoder = tonic_prost::ProstDecoder::<CallResponse>::default();
            all(
                Streaming::new_response(decoder, body, http::StatusCode::OK, None, None),
                || (),
            )
        };
        assert_eq!(answers(&["pod-1"; 5]).await.unwrap(), 1);
        for (pods, fault) in [
            (&["pod-1"; 4][..], "only 4 answers of 5"),
            (&["pod-1"; 6], "more than 5"),
            (&["pod-1", "pod-1", "pod-2", "pod-1", "pod-1"], "two pods"),
        ] {
            let failed = answers(pods).await.unwrap_err();
            assert!(failed.message().contains(fault), "{failed:?}");
        }
    }
}
