//! What does not fit into the ring buffer is counted.

use std::net::SocketAddr;

use obit_monitor::kernel::Options;

use crate::place::{HERE, Place};
use crate::watcher::{Watcher, dial};

const CLOSED: SocketAddr = SocketAddr::new(HERE, 4_040);

#[test]
fn what_a_storm_generates_is_delivered_or_counted_as_lost() {
    const DIALS: u64 = 1_000;
    let place = Place::new();
    // One page: 46 records.
    let options = Options {
        netns: Some(place.cookie()),
        ring_bytes: 1,
        ..Options::default()
    };
    let watcher = Watcher::with(&options, &[HERE]);
    let storm = || {
        place.run(|| {
            for _ in 0..DIALS {
                dial(CLOSED).unwrap_err();
            }
        });
    };
    // A reader that is quick enough, as it can be where there is one processor, would lose nothing.
    let held = watcher.hold();
    storm();
    drop(held);
    storm();
    // Each dial begins and is refused.
    let generated = 2 * 2 * DIALS;
    let lost = watcher.losses.by_reason()[obit_ebpf::Loss::RingFull as usize];
    assert!(
        lost >= 2 * DIALS - 46,
        "{lost} lost: a page was too large for the storm"
    );
    assert_eq!(watcher.losses.total(), lost);
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

#[test]
fn the_kernel_counts_what_it_leaves_out_of_every_program() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    assert_eq!(watcher.losses.programs_counted(), 3);
}
