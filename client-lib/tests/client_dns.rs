//! `obit::Client` and the names of its endpoints: a DNS server on loopback whose records change.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod client_support;
mod dns_support;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use client_support::{Server, get, settled};
use dns_support::Zone;
use obit::resolve::Dns;
use obit::{Client, Feed, Phase};

const NAME: &str = "pods.obit.test.";

/// Servers on one port and different loopback addresses, as pods are.
async fn pods(count: u8) -> (Vec<Server>, Vec<Ipv4Addr>, u16) {
    // One test after the other would be enough of a reason; different networks keep them apart.
    static NETWORK: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(1);
    let network = NETWORK.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let addresses: Vec<_> = (1..=count).map(|host| Ipv4Addr::new(127, 77, network, host)).collect();
    let first = Server::at(SocketAddr::from((addresses[0], 0))).await;
    let port = first.address().port();
    let mut servers = vec![first];
    for address in &addresses[1..] {
        servers.push(Server::at(SocketAddr::from((*address, port))).await);
    }
    (servers, addresses, port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_addresses_of_a_name_serve_and_follow_its_changes() {
    let (servers, addresses, port) = pods(3).await;
    let zone = Zone::naming(NAME, &addresses[..2], 1).await;
    let dns = Dns::new(NAME, port)
        .name_server(zone.address)
        .ttl_bounds(Duration::from_millis(20), Duration::from_millis(50));
    let client = Client::builder("http://pods.obit.test")
        .feed(Feed::offline())
        .resolver(dns)
        .build()
        .unwrap();
    settled(&client, 2).await;
    let mut events = client.events();
    zone.name(NAME, &addresses[1..], 1).await;
    let (mut joined, mut left) = (false, false);
    while !(joined && left) {
        let event = events.recv().await.unwrap();
        joined |= event.peer == servers[2].address() && event.to == Phase::Ready;
        left |= event.peer == servers[0].address() && event.to == Phase::Removed;
    }
    for _ in 0..10 {
        assert_eq!(client.request(get()).await.unwrap().status(), 200);
    }
    let shares: Vec<_> = servers.iter().map(Server::processed).collect();
    assert_eq!(shares, [0, 5, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_has_the_name_looked_up_again_before_its_ttl() {
    let (servers, addresses, port) = pods(3).await;
    let zone = Zone::naming(NAME, &addresses[..2], 3600).await;
    let dns = Dns::new(NAME, port)
        .name_server(zone.address)
        .ttl_bounds(Duration::from_secs(3600), Duration::from_secs(3600))
        .trouble_interval(Duration::from_millis(10));
    let client = Client::builder("http://pods.obit.test")
        .feed(Feed::offline())
        .resolver(dns)
        .build()
        .unwrap();
    settled(&client, 2).await;
    let mut events = client.events();
    zone.name(NAME, &addresses[1..], 3600).await;
    servers[0].die().await;
    loop {
        let event = events.recv().await.unwrap();
        if event.peer == servers[2].address() && event.to == Phase::Ready {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_endpoints_known_stay_when_the_name_server_fails() {
    let (_servers, addresses, port) = pods(2).await;
    let mut zone = Zone::naming(NAME, &addresses, 1).await;
    let dns = Dns::new(NAME, port)
        .name_server(zone.address)
        .ttl_bounds(Duration::from_millis(10), Duration::from_millis(20));
    let client = Client::builder("http://pods.obit.test")
        .feed(Feed::offline())
        .resolver(dns)
        .build()
        .unwrap();
    settled(&client, 2).await;
    zone.name(NAME, &[], 1).await;
    // An answer without an address is no answer. Two look-ups at least happen meanwhile.
    for _ in 0..20 {
        assert_eq!(client.request(get()).await.unwrap().status(), 200);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    zone.server.shutdown_gracefully().await.unwrap();
    assert_eq!(client.request(get()).await.unwrap().status(), 200);
    assert_eq!(client.snapshot().len(), 2);
}

#[tokio::test]
async fn an_origin_with_an_address_needs_no_name_server() {
    let server = Server::several(1).await.pop().unwrap();
    let client = Client::builder(format!("http://{}", server.address()))
        .feed(Feed::offline())
        .build()
        .unwrap();
    assert_eq!(client.request(get()).await.unwrap().status(), 200);
}
