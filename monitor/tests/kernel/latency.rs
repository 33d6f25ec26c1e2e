//! How long a sighting takes from the kernel to the reader's caller.

use std::net::SocketAddr;
use std::time::Duration;

use obit_monitor::sighting::Observation;

use crate::place::{HERE, Place};
use crate::watcher::{Watcher, dial};

const CLOSED: SocketAddr = SocketAddr::new(HERE, 4_040);

/// Prints the distribution (`--nocapture`), and fails only where a wake-up was lost: then the reader's own look, a tick or
/// the watchdog, is what finds the record.
#[test]
fn an_isolated_refusal_wakes_the_reader_by_itself() {
    const DIALS: usize = 300;
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let mut latencies: Vec<Duration> = Vec::with_capacity(DIALS);
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    for _ in 0..DIALS {
        place.run(|| dial(CLOSED)).unwrap_err();
        loop {
            let (seen, here) = watcher.next_timed();
            if seen.what == Observation::Refused {
                latencies.push(here.since(seen.at));
                break;
            }
        }
        // Isolated: until the reader sleeps again.
        never.recv_timeout(Duration::from_millis(14)).unwrap_err();
    }
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(DIALS * percent / 100).min(DIALS - 1)];
    println!(
        "kernel to reader, {DIALS} isolated refusals: p50 {:?} p99 {:?} max {:?}",
        at(50),
        at(99),
        at(100)
    );
    assert!(
        at(50) < Duration::from_millis(1),
        "the median {:?} is a tick's, not a wake-up's",
        at(50)
    );
}
