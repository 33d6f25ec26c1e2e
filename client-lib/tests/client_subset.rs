//! A client that connects to a subset of real HTTP/2 servers.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod client_support;

use std::collections::HashSet;
use std::net::SocketAddr;

use client_support::{Server, client, get, settled};
use obit::{Client, Phase, Subset};

fn ready(client: &Client) -> HashSet<SocketAddr> {
    let statuses = client.snapshot();
    let ready = statuses.iter().filter(|status| status.phase == Phase::Ready);
    ready.map(|status| status.peer).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_connects_to_its_subset_and_others_stand_in_for_the_dead_of_it() {
    let servers = Server::several(8).await;
    let subset = Subset::of(3).drawn_by("checkout-0");
    let client = client(&servers).subset(subset).build().unwrap();
    settled(&client, 3).await;
    let own = ready(&client);
    for _ in 0..30 {
        assert_eq!(client.request(get()).await.unwrap().status(), 200);
    }
    for server in &servers {
        let share = if own.contains(&server.address()) { 10 } else { 0 };
        assert_eq!((server.processed(), server.connected()), (share, share / 10));
    }
    let again = client_support::client(&servers).subset(subset).build().unwrap();
    settled(&again, 3).await;
    assert_eq!(ready(&again), own);
    drop(again);

    let victim = servers.iter().find(|server| own.contains(&server.address())).unwrap();
    victim.die().await;
    let mut events = client.events();
    while ready(&client).len() < 3 || ready(&client).contains(&victim.address()) {
        let _ = events.recv().await;
    }
    let standing_in: Vec<_> = ready(&client).difference(&own).copied().collect();
    assert_eq!((standing_in.len(), client.snapshot().len()), (1, 4));
}
