//! What does not fit into the ring buffer is counted.

use std::net::SocketAddr;

use obit_monitor::kernel::Options;

use crate::place::{HERE, Place};
use crate::watcher::{Watcher, dial};

const CLOSED: SocketAddr = SocketAddr::new(HERE, 4_040);

#[test]
fn what_a_storm_generates_is_delivered_or_counted_as_lost() {
    const DIALS: u64 = 50_000;
    let place = Place::new();
    // One page: 46 records.
    let options = Options {
        netns: Some(place.cookie()),
        ring_bytes: 1,
        ..Options::default()
    };
    let watcher = Watcher::with(&options, &[HERE]);
    place.run(|| {
        for _ in 0..DIALS {
            dial(CLOSED).unwrap_err();
        }
    });
    // Each dial begins and is refused.
    let generated = 2 * DIALS;
    let lost = watcher.losses.total();
    assert!(lost > 0, "a page was too large for the storm");
    assert_eq!(lost, watcher.losses.by_reason()[obit_ebpf::Loss::RingFull as usize]);
    for _ in 0..generated - lost {
        watcher.next();
    }
    assert_eq!(watcher.all(&place), [], "more was delivered than generated");
}

#[test]
fn in_a_ring_of_the_default_size_a_storm_loses_nothing() {
    const DIALS: u64 = 20_000;
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    place.run(|| {
        for _ in 0..DIALS {
            dial(CLOSED).unwrap_err();
        }
    });
    assert_eq!(watcher.all(&place).len() as u64, 2 * DIALS);
    assert_eq!(watcher.losses.total(), 0);
}
