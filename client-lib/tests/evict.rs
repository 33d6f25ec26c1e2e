//! Eviction for tower, poll by poll: calls, bodies, readiness and discovery follow the feed.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::Stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use obit::evict::{EvictError, EvictService};
use obit::{EvictDiscover, EvictLayer, Feed, PeerDead, PeerWatch, Reason, Verdict};
use obit_protocol::{Reason as WireReason, Verdict as WireVerdict};
use support::LiveMonitor;
use tokio::sync::mpsc;
use tokio_test::{assert_pending, assert_ready_eq, task};
use tower::discover::Change;
use tower::{Layer, Service, ServiceExt, service_fn};

fn peer(last: u8) -> SocketAddr {
    SocketAddr::from(([198, 18, 0, last], 8080))
}

async fn tell(monitor: &LiveMonitor, watch: &mut PeerWatch, verdict: WireVerdict, wanted: Verdict) {
    monitor.watching(watch.peer()).await;
    monitor.say(watch.peer(), verdict, WireReason::Unreachable);
    while watch.changed().await.verdict != wanted {}
}

/// A live monitor, and a watch of one peer.
fn watched() -> (LiveMonitor, PeerWatch) {
    let monitor = LiveMonitor::start();
    let watch = monitor.feed().watch(peer(1));
    (monitor, watch)
}

type Frames = mpsc::UnboundedReceiver<Result<Frame<Bytes>, Infallible>>;

fn body(frames: Frames) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Unpin {
    StreamBody::new(tokio_stream(frames))
}

fn tokio_stream<T>(mut receiver: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> + Unpin {
    futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx))
}

fn dead<E: std::fmt::Debug>(error: EvictError<E>) -> PeerDead {
    match error {
        EvictError::PeerDead(dead) => dead,
        EvictError::Inner(error) => panic!("the peer's death was expected, not {error:?}"),
    }
}

#[tokio::test]
async fn a_call_in_flight_ends_with_the_obituary_and_so_does_the_next() {
    let (monitor, mut watch) = watched();
    let service = EvictLayer::new(watch.clone()).layer(service_fn(|_: Request<()>| {
        std::future::pending::<Result<Response<String>, Infallible>>()
    }));
    let mut call = task::spawn(service.clone().oneshot(Request::new(())));
    assert_pending!(call.poll());
    tell(&monitor, &mut watch, WireVerdict::Dead, Verdict::Dead).await;
    assert!(call.is_woken());
    let cause = dead(call.await.unwrap_err());
    assert_eq!((cause.peer, cause.reason), (peer(1), Reason::Unreachable));
    assert_eq!(Some(cause), watch.obituary());
    assert_eq!(dead(service.oneshot(Request::new(())).await.unwrap_err()).peer, peer(1));
}

#[tokio::test]
async fn whoever_waits_for_readiness_hears_of_the_death_and_the_service_comes_back() {
    let (monitor, mut watch) = watched();
    let ready = Arc::new(Mutex::new(false));
    let mut service: EvictService<_> = EvictLayer::new(watch.clone()).layer(ReadyWhen(ready.clone()));
    let mut waiting = task::spawn(std::future::poll_fn(|cx| service.poll_ready(cx)));
    assert_pending!(waiting.poll());
    tell(&monitor, &mut watch, WireVerdict::Dead, Verdict::Dead).await;
    assert!(waiting.is_woken());
    assert_eq!(dead(waiting.await.unwrap_err()).peer, peer(1));

    tell(&monitor, &mut watch, WireVerdict::Alive, Verdict::Alive).await;
    *ready.lock().unwrap() = true;
    let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
}

/// Answers "ok", once it is told to be ready.
struct ReadyWhen(Arc<Mutex<bool>>);

impl Service<Request<()>> for ReadyWhen {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        if *self.0.lock().unwrap() {
            std::task::Poll::Ready(Ok(()))
        } else {
            std::task::Poll::Pending
        }
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        std::future::ready(Ok(Response::new("ok".to_owned())))
    }
}

#[tokio::test]
async fn a_body_gives_out_what_had_arrived_and_then_ends_with_the_obituary() {
    let (monitor, mut watch) = watched();
    let (sender, frames) = mpsc::unbounded_channel();
    let frames = Mutex::new(Some(frames));
    let service = EvictLayer::new(watch.clone()).layer(service_fn(move |_: Request<()>| {
        let frames = frames.lock().unwrap().take().unwrap();
        std::future::ready(Ok::<_, Infallible>(Response::new(body(frames))))
    }));
    let mut body = service.oneshot(Request::new(())).await.unwrap().into_body();
    let mut frame = task::spawn(body.frame());
    assert_pending!(frame.poll());
    sender.send(Ok(Frame::data(Bytes::from_static(b"arrived")))).unwrap();
    tell(&monitor, &mut watch, WireVerdict::Dead, Verdict::Dead).await;
    assert_eq!(frame.await.unwrap().unwrap().into_data().unwrap(), "arrived");
    assert_eq!(
        dead(body.frame().await.unwrap().unwrap_err()).reason,
        Reason::Unreachable
    );
    assert!(body.frame().await.is_none());
    drop(sender);
}

#[tokio::test]
async fn an_inner_failure_is_the_inner_failure_while_the_peer_lives() {
    let (_monitor, watch) = watched();
    let service = EvictLayer::new(watch).layer(service_fn(|_: Request<()>| async {
        Err::<Response<String>, _>("its own")
    }));
    assert!(matches!(
        service.oneshot(Request::new(())).await,
        Err(EvictError::Inner("its own"))
    ));
}

type Found = Result<Change<SocketAddr, &'static str>, Infallible>;

type Discovery = task::Spawn<EvictDiscover<Finds, obit::evict::Peers<SocketAddr>>>;

/// A discovery driven by hand, under the feed's.
fn discovery(feed: Feed) -> (mpsc::UnboundedSender<Found>, Discovery) {
    let (sender, found) = mpsc::unbounded_channel();
    (sender, task::spawn(EvictDiscover::new(Finds(found), feed)))
}

struct Finds(mpsc::UnboundedReceiver<Found>);

impl Stream for Finds {
    type Item = Found;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Found>> {
        self.0.poll_recv(cx)
    }
}

/// Everything there is to tell now, as text: `+1a` an insert, `-1` a removal.
fn told(discover: &mut Discovery) -> Vec<String> {
    let mut told = Vec::new();
    while let std::task::Poll::Ready(Some(change)) = discover.poll_next() {
        let last = |peer: SocketAddr| match peer.ip() {
            std::net::IpAddr::V4(ip) => ip.octets()[3],
            std::net::IpAddr::V6(_) => panic!("only IPv4 here"),
        };
        told.push(match change.unwrap() {
            Change::Insert(peer, service) => format!("+{}{service}", last(peer)),
            Change::Remove(peer) => format!("-{}", last(peer)),
        });
    }
    told
}

#[tokio::test]
async fn the_dead_leave_the_balancer_at_once_and_return_when_they_live() {
    let monitor = LiveMonitor::start();
    let feed = monitor.feed();
    let (found, mut discover) = discovery(feed.clone());
    for n in 1..=3 {
        found.send(Ok(Change::Insert(peer(n), "a"))).unwrap();
    }
    assert_eq!(told(&mut discover), ["+1a", "+2a", "+3a"]);

    let mut watch = feed.watch(peer(2));
    tell(&monitor, &mut watch, WireVerdict::Dead, Verdict::Dead).await;
    assert!(discover.is_woken());
    assert_eq!(told(&mut discover), ["-2"]);
    tell(&monitor, &mut watch, WireVerdict::Alive, Verdict::Alive).await;
    assert_eq!(told(&mut discover), ["+2a"]);
    tell(&monitor, &mut watch, WireVerdict::Suspect, Verdict::Suspect).await;
    assert_eq!(told(&mut discover), ["-2"]);
    // Dead and back between two looks: nothing to tell.
    tell(&monitor, &mut watch, WireVerdict::Dead, Verdict::Dead).await;
    assert_eq!(told(&mut discover), [""; 0]);
    tell(&monitor, &mut watch, WireVerdict::Unknown, Verdict::Unknown).await;
    assert_eq!(told(&mut discover), ["+2a"]);
}

#[tokio::test]
async fn a_service_replaced_goes_before_the_new_one_comes() {
    let monitor = LiveMonitor::start();
    let (found, mut discover) = discovery(monitor.feed());
    found.send(Ok(Change::Insert(peer(1), "a"))).unwrap();
    assert_eq!(told(&mut discover), ["+1a"]);
    found.send(Ok(Change::Insert(peer(1), "b"))).unwrap();
    assert_eq!(told(&mut discover), ["-1", "+1b"]);
    found.send(Ok(Change::Remove(peer(1)))).unwrap();
    found.send(Ok(Change::Insert(peer(1), "c"))).unwrap();
    assert_eq!(told(&mut discover), ["-1", "+1c"]);
    found.send(Ok(Change::Remove(peer(1)))).unwrap();
    found.send(Ok(Change::Remove(peer(9)))).unwrap();
    assert_eq!(told(&mut discover), ["-1"]);
}

#[tokio::test]
async fn when_all_are_dead_all_are_tried() {
    let monitor = LiveMonitor::start();
    let feed = monitor.feed();
    let (found, mut discover) = discovery(feed.clone());
    let (mut first, mut second) = (feed.watch(peer(1)), feed.watch(peer(2)));
    for n in 1..=2 {
        found.send(Ok(Change::Insert(peer(n), "a"))).unwrap();
    }
    assert_eq!(told(&mut discover), ["+1a", "+2a"]);
    tell(&monitor, &mut first, WireVerdict::Dead, Verdict::Dead).await;
    assert_eq!(told(&mut discover), ["-1"]);
    tell(&monitor, &mut second, WireVerdict::Dead, Verdict::Dead).await;
    assert_eq!(told(&mut discover), ["+1a"]);
}

#[tokio::test]
async fn a_discovery_that_ended_is_still_followed_by_the_feed() {
    let monitor = LiveMonitor::start();
    let feed = monitor.feed();
    let mut watch = feed.watch(peer(1));
    let (found, mut discover) = discovery(feed);
    for n in 1..=2 {
        found.send(Ok(Change::Insert(peer(n), "a"))).unwrap();
    }
    drop(found);
    assert_eq!(told(&mut discover), ["+1a", "+2a"]);
    assert_pending!(discover.poll_next());
    tell(&monitor, &mut watch, WireVerdict::Dead, Verdict::Dead).await;
    assert_eq!(told(&mut discover), ["-1"]);
}

#[tokio::test]
async fn an_empty_discovery_that_ended_ends() {
    let (found, mut discover) = discovery(Feed::offline());
    drop(found);
    assert_ready_eq!(discover.poll_next().map(|change| change.is_none()), true);
}

#[tokio::test]
async fn changes_are_handed_to_a_channel_that_takes_them() {
    let monitor = LiveMonitor::start();
    let feed = monitor.feed();
    let mut watch = feed.watch(peer(1));
    let endpoints = [1, 2].map(|n| Ok::<_, Infallible>(Change::Insert(peer(n), ())));
    let discover = EvictDiscover::new(futures_util::stream::iter(endpoints), feed);
    let (sender, mut changes) = mpsc::channel(1);
    let forwarding = tokio::spawn(obit::evict::forward(discover, move |change| {
        let sender = sender.clone();
        async move { sender.send(change).await }
    }));
    for n in 1..=2 {
        assert!(matches!(changes.recv().await, Some(Change::Insert(key, ())) if key == peer(n)));
    }
    tell(&monitor, &mut watch, WireVerdict::Dead, Verdict::Dead).await;
    assert!(matches!(changes.recv().await, Some(Change::Remove(key)) if key == peer(1)));
    drop(changes);
    tell(&monitor, &mut watch, WireVerdict::Alive, Verdict::Alive).await;
    assert!(matches!(
        forwarding.await.unwrap(),
        Err(obit::evict::ForwardError::Send(_))
    ));
}
