//! Policies of `obit::Client` at work on real HTTP/2 servers.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod client_support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client_support::{Server, client, get, settled};
use http::{HeaderName, Request};
use http_body_util::Full;
use obit::policy::{Call, Candidate, HeaderHash, PeakEwma, Picker, Policy, TwoChoices, ZoneAware};
use obit::resolve::{Endpoint, Resolve, Resolving, Sets};
use obit::{Client, ClientBuilder, Feed};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Endpoints as the test says them.
struct Told(mpsc::UnboundedReceiver<Vec<Endpoint>>);

impl Resolve for Told {
    fn run(mut self: Box<Self>, mut sets: Sets) -> Resolving {
        Box::pin(async move {
            while let Some(endpoints) = self.0.recv().await {
                sets.publish(endpoints).await;
            }
        })
    }
}

fn builder() -> ClientBuilder {
    Client::builder("http://pods.test").feed(Feed::offline())
}

fn weighing(servers: &[Server], weights: &[u32]) -> Vec<Endpoint> {
    let endpoint = |(server, weight): (&Server, &u32)| Endpoint::new(server.address()).with_weight(*weight);
    servers.iter().zip(weights).map(endpoint).collect()
}

async fn calls(client: &Client, calls: usize) {
    for _ in 0..calls {
        assert_eq!(client.request(get()).await.unwrap().status(), 200);
    }
}

fn shares(servers: &[Server]) -> Vec<usize> {
    servers.iter().map(Server::processed).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_shared_out_by_weight_and_a_new_weight_costs_no_connection() {
    let servers = Server::several(3).await;
    let (tell, told) = mpsc::unbounded_channel();
    let client = builder().resolver(Told(told)).build().unwrap();
    tell.send(weighing(&servers, &[1, 2, 7])).unwrap();
    settled(&client, 3).await;
    calls(&client, 100).await;
    assert_eq!(shares(&servers), [10, 20, 70]);

    let mut events = client.events();
    tell.send(weighing(&servers, &[1, 0, 0])).unwrap();
    // The new weights are in force once a whole cycle of the old ones would have gone elsewhere.
    loop {
        let before = servers[0].processed();
        calls(&client, 10).await;
        if servers[0].processed() == before + 10 {
            break;
        }
    }
    let idle = servers[1].processed();
    tell.send(weighing(&servers, &[8, 1, 1])).unwrap();
    while servers[1].processed() == idle {
        calls(&client, 1).await;
    }
    let before = shares(&servers);
    calls(&client, 100).await;
    let since: Vec<_> = shares(&servers)
        .iter()
        .zip(before)
        .map(|(now, before)| now - before)
        .collect();
    assert_eq!(since, [80, 10, 10]);
    assert!(events.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_of_weight_zero_serves_when_nobody_else_does() {
    let servers = Server::several(2).await;
    let client = builder().endpoints(weighing(&servers, &[0, 1])).build().unwrap();
    settled(&client, 2).await;
    calls(&client, 20).await;
    assert_eq!(shares(&servers), [0, 20]);
    servers[1].die().await;
    calls(&client, 20).await;
    assert_eq!(shares(&servers), [20, 20]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_whose_calls_were_given_up_is_left_alone_by_peak_ewma() {
    let servers = Server::several(2).await;
    let client = client(&servers).policy(PeakEwma::default()).build().unwrap();
    settled(&client, 2).await;
    // Each is asked once, for until it answers nothing is known of it.
    calls(&client, 2).await;
    assert_eq!(shares(&servers), [1, 1]);
    servers[0].hold();
    let slow = tokio::spawn({
        let client = client.clone();
        async move {
            while tokio::time::timeout(Duration::from_millis(200), client.request(get()))
                .await
                .is_ok()
            {}
        }
    });
    slow.await.unwrap();
    servers[0].release();
    let before = servers[0].processed();
    calls(&client, 50).await;
    assert_eq!(servers[0].processed(), before);
}

const USER: HeaderName = HeaderName::from_static("user-id");

fn of_user(user: u32) -> Request<Full<Bytes>> {
    let mut request = get();
    request.headers_mut().insert(USER, user.into());
    request
}

/// Which of `servers` answers a call of `user`.
async fn answers(client: &Client, servers: &[Server], user: u32) -> usize {
    let before = shares(servers);
    client.request(of_user(user)).await.unwrap();
    let answered = |(server, before): (&Server, usize)| server.processed() > before;
    servers.iter().zip(before).position(answered).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_stays_with_its_server_whichever_client_calls_and_only_a_dead_server_s_users_move() {
    let servers = Server::several(5).await;
    let one = client(&servers).policy(HeaderHash::of(USER)).build().unwrap();
    let other = client(&servers)
        .policy(HeaderHash::of(USER).bounded(1.25))
        .build()
        .unwrap();
    settled(&one, 5).await;
    settled(&other, 5).await;
    let mut homes = Vec::new();
    for user in 0..40 {
        let home = answers(&one, &servers, user).await;
        assert_eq!(answers(&other, &servers, user).await, home);
        homes.push(home);
    }
    let dead = homes[0];
    servers[dead].die().await;
    settled(&one, 4).await;
    for (user, home) in (0..).zip(homes) {
        let now = answers(&one, &servers, user).await;
        assert_eq!(now == home, home != dead);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_stay_in_their_zone_until_its_servers_no_longer_suffice() {
    let servers = Server::several(4).await;
    let zoned = |(server, zone): (&Server, &str)| Endpoint::new(server.address()).with_zone(zone);
    let client = builder()
        .endpoints(servers.iter().zip(["a", "a", "b", "b"]).map(zoned))
        .policy(ZoneAware::in_zone("a", TwoChoices))
        .build()
        .unwrap();
    settled(&client, 4).await;
    calls(&client, 40).await;
    assert_eq!(shares(&servers)[2..], [0, 0]);
    servers[0].die().await;
    settled(&client, 3).await;
    calls(&client, 60).await;
    let after = shares(&servers);
    // A third of what is left, and half would be its zone's: about a third of the calls go elsewhere.
    assert!((5..=40).contains(&(after[2] + after[3])), "{after:?}");
    servers[1].die().await;
    settled(&client, 2).await;
    calls(&client, 20).await;
    assert_eq!(shares(&servers)[2..].iter().sum::<usize>(), after[2] + after[3] + 20);
}

/// Goes stale within a millisecond, and says when it is prepared.
#[derive(Debug)]
struct Perishable(mpsc::UnboundedSender<usize>);

#[derive(Debug)]
struct First(Instant);

impl Policy for Perishable {
    fn prepare(&self, candidates: Arc<[Candidate]>, now: Instant) -> Box<dyn Picker> {
        let _ = self.0.send(candidates.len());
        Box::new(First(now + Duration::from_millis(1)))
    }
}

impl Picker for First {
    fn pick(&self, _: &Call<'_>) -> usize {
        0
    }

    fn stale_at(&self) -> Option<Instant> {
        Some(self.0)
    }
}

#[tokio::test]
async fn a_policy_that_goes_stale_with_time_is_prepared_again_and_again() {
    let servers = Server::several(2).await;
    let (prepared, mut seen) = mpsc::unbounded_channel();
    let client = client(&servers).policy(Perishable(prepared)).build().unwrap();
    settled(&client, 2).await;
    let mut times = 0;
    while times < 5 {
        times += usize::from(seen.recv().await.unwrap() == 2);
    }
    calls(&client, 10).await;
    assert_eq!(shares(&servers).iter().sum::<usize>(), 10);
}
