//! Listeners that come and go in a pod of this node, and what the pod's namespace is believed to be.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use obit_monitor::kernel::{Options, Signal};
use obit_monitor::sighting::{Observation, Sighting};
use socket2::{Domain, Socket, Type};

use crate::place::{Place, join};
use crate::watcher::{Watcher, dial};

const PORT: u16 = 8_080;
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);

/// A client's namespace and a pod's, on one network of their own; every test has another one.
struct Node {
    client: Place,
    pod: Place,
    peer: SocketAddr,
}

impl Node {
    fn new(network: u8) -> Self {
        let (client, pod) = (Place::new(), Place::new());
        let address = |host| Ipv4Addr::new(198, 18, network, host);
        join(&client, address(1), &pod, address(2));
        Self {
            client,
            pod,
            peer: SocketAddr::new(address(2).into(), PORT),
        }
    }

    fn watcher(&self) -> Watcher {
        Watcher::with(&Options::default(), &[self.peer.ip()])
    }

    /// The client dials, the pod's listener accepts; both close.
    fn reach(&self, listener: TcpListener) -> TcpListener {
        let peer = self.peer;
        let mut client = self.client.run(move || dial(peer)).unwrap();
        let listener = self.pod.run(move || {
            drop(listener.accept().unwrap());
            listener
        });
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        listener
    }

    /// What has been seen of the pod itself.
    fn of_pod(&self, watcher: &Watcher) -> Vec<(Observation, SocketAddr)> {
        let of_pod = |sighting: &Sighting| sighting.netns == self.pod.cookie();
        let seen = watcher.all(&self.client).into_iter().filter(of_pod);
        let seen = seen.filter(|sighting| {
            matches!(
                sighting.what,
                Observation::Home | Observation::ListenerClosed | Observation::ListenerOpened
            )
        });
        seen.map(|sighting| (sighting.what, sighting.peer)).collect()
    }
}

fn listen(at: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&at.into()).unwrap();
    socket.listen(16).unwrap();
    socket.into()
}

#[test]
fn the_last_listener_of_a_port_that_was_reached_is_missed_and_its_successor_welcomed() {
    let node = Node::new(1);
    let watcher = node.watcher();
    let listener = node.pod.run(|| listen(ANY));
    assert_eq!(node.of_pod(&watcher), []);
    let listener = node.reach(listener);
    assert_eq!(node.of_pod(&watcher), [(Observation::Home, node.peer)]);
    let listener = node.reach(listener);
    assert_eq!(node.of_pod(&watcher), [], "told once");
    node.pod.run(|| drop(listener));
    assert_eq!(node.of_pod(&watcher), [(Observation::ListenerClosed, ANY)]);
    let own = node.peer;
    let listener = node.pod.run(move || listen(own));
    assert_eq!(node.of_pod(&watcher), [(Observation::ListenerOpened, own)]);
    node.pod.run(|| drop(listener));
    assert_eq!(node.of_pod(&watcher), [(Observation::ListenerClosed, own)]);
}

#[test]
fn a_listener_with_a_sibling_on_its_port_is_not_missed() {
    let node = Node::new(2);
    let watcher = node.watcher();
    let first = node.pod.run(|| listen(ANY));
    let first = node.reach(first);
    let second = node.pod.run(|| listen(ANY));
    let elsewhere = node
        .pod
        .run(|| listen(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)));
    node.of_pod(&watcher);
    node.pod.run(|| drop(first));
    node.pod.run(|| drop(elsewhere));
    assert_eq!(node.of_pod(&watcher), []);
    node.pod.run(|| drop(second));
    assert_eq!(node.of_pod(&watcher), [(Observation::ListenerClosed, ANY)]);
}

#[test]
fn where_a_listener_is_older_than_the_monitor_none_is_missed() {
    let node = Node::new(3);
    let old = node.pod.run(|| listen(ANY));
    let watcher = node.watcher();
    let old = node.reach(old);
    let young = node.pod.run(|| listen(ANY));
    node.of_pod(&watcher);
    node.pod.run(|| drop(young));
    node.pod.run(|| drop(old));
    assert_eq!(node.of_pod(&watcher), []);
}

#[test]
fn a_listener_nobody_reached_is_not_missed() {
    let node = Node::new(4);
    let watcher = node.watcher();
    // Another port of the same pod was.
    let reached = node.pod.run(|| listen(ANY));
    let _reached = node.reach(reached);
    assert_eq!(node.of_pod(&watcher), [(Observation::Home, node.peer)]);
    let held = node.pod.run(|| listen(SocketAddr::new(ANY.ip(), PORT + 1)));
    node.pod.run(|| drop(held));
    assert_eq!(node.of_pod(&watcher), []);
}

#[test]
fn a_namespace_that_calls_anothers_address_its_own_is_not_believed() {
    let node = Node::new(5);
    let watcher = node.watcher();
    let listener = node.pod.run(|| listen(ANY));
    let _listener = node.reach(listener);
    node.of_pod(&watcher);

    let peer = node.peer;
    let hostile = Place::with_address(peer.ip());
    hostile.run(move || {
        let listener = listen(peer);
        let client = dial(peer).unwrap();
        drop(listener.accept().unwrap());
        drop((client, listener));
    });
    let seen: Vec<_> = watcher
        .all(&node.client)
        .into_iter()
        .filter(|sighting| sighting.netns == hostile.cookie())
        .collect();
    assert!(!seen.is_empty(), "its own connection was seen");
    let claims: Vec<_> = seen
        .iter()
        .filter(|sighting| matches!(sighting.what, Observation::Home | Observation::ListenerClosed))
        .collect();
    assert!(claims.is_empty(), "{claims:?}");
}

#[test]
fn switched_off_listeners_are_not_looked_at() {
    let node = Node::new(6);
    let options = Options {
        disabled: vec![Signal::ListenerClosed],
        ..Options::default()
    };
    let watcher = Watcher::with(&options, &[node.peer.ip()]);
    let listener = node.pod.run(|| listen(ANY));
    let listener = node.reach(listener);
    node.pod.run(|| drop(listener));
    assert_eq!(node.of_pod(&watcher), []);
}
