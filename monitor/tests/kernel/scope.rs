//! What is *not* looked at: other peers, other namespaces, signals switched off.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use obit_monitor::kernel::{Options, Signal};
use obit_monitor::sighting::Observation;

use crate::place::{HERE, Place};
use crate::watcher::{Watcher, dial, what};

const CLOSED: SocketAddr = SocketAddr::new(HERE, 4_040);

#[test]
fn a_peer_nobody_watches_gives_nothing() {
    let place = Place::new();
    let mut watcher = Watcher::new(&place, &[IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))]);
    place.run(|| dial(CLOSED)).unwrap_err();
    assert_eq!(watcher.all(&place), []);
    watcher.filter.insert(HERE).unwrap();
    place.run(|| dial(CLOSED)).unwrap_err();
    assert_eq!(
        what(&watcher.all(&place)),
        [Observation::SynStart, Observation::Refused]
    );
    watcher.filter.remove(HERE).unwrap();
    watcher.filter.remove(HERE).expect("looking away twice is no error");
    place.run(|| dial(CLOSED)).unwrap_err();
    assert_eq!(watcher.all(&place), []);
}

#[test]
fn the_filter_says_when_it_is_full() {
    let place = Place::new();
    let mut watcher = Watcher::new(&place, &[]);
    let mut addresses = (0..=u16::MAX).map(|low| IpAddr::V4(Ipv4Addr::from(0xc612_0000 + u32::from(low))));
    let error = addresses
        .find_map(|address| watcher.filter.insert(address).err())
        .expect("a bound");
    assert_eq!(error.kind(), std::io::ErrorKind::QuotaExceeded);
}

#[test]
fn another_namespace_is_not_looked_at() {
    let (here, elsewhere) = (Place::new(), Place::new());
    assert_ne!(here.cookie(), elsewhere.cookie());
    let watcher = Watcher::new(&here, &[HERE]);
    elsewhere.run(|| dial(CLOSED)).unwrap_err();
    assert_eq!(watcher.all(&here), []);
}

#[test]
fn without_a_namespace_to_look_at_all_are_and_each_sighting_names_its_own() {
    let (here, elsewhere) = (Place::new(), Place::new());
    let peer = IpAddr::V4(Ipv4Addr::new(127, 7, 7, 7));
    let watcher = Watcher::with(&Options::default(), &[peer]);
    for place in [&here, &elsewhere] {
        place.run(move || dial(SocketAddr::new(peer, 4_040))).unwrap_err();
    }
    let mut netns: Vec<_> = (0..4)
        .map(|_| watcher.next())
        .filter(|seen| seen.peer.ip() == peer)
        .map(|seen| seen.netns)
        .collect();
    netns.dedup();
    assert_eq!(netns, [here.cookie(), elsewhere.cookie()]);
}

#[test]
fn a_signal_switched_off_stays_silent() {
    let place = Place::new();
    let options = Options {
        netns: Some(place.cookie()),
        disabled: vec![Signal::Syn, Signal::Reset],
        ..Options::default()
    };
    let watcher = Watcher::with(&options, &[HERE]);
    place.run(|| dial(CLOSED)).unwrap_err();
    assert_eq!(what(&watcher.all(&place)), [Observation::Refused]);
}
