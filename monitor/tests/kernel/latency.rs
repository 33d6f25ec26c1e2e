//! How long a sighting takes from the kernel to the reader's caller, and who reads it.

use std::net::SocketAddr;
use std::time::Duration;

use obit_monitor::kernel::Options;
use obit_monitor::sighting::Observation;
use rustix::thread::{CpuSet, sched_setaffinity};

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
            let seen = watcher.next_seen();
            if seen.sighting.what == Observation::Refused {
                latencies.push(seen.at.since(seen.sighting.at));
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

/// Who reads refusals of dials made on one processor, one after another.
fn readers(processor: u32, options: &Options, place: &Place, dials: usize) -> Vec<String> {
    let watcher = Watcher::with(options, &[HERE]);
    place.run(move || {
        let mut here = CpuSet::new();
        here.set(usize::try_from(processor).unwrap());
        sched_setaffinity(None, &here).unwrap();
    });
    let refusal = |_| {
        place.run(|| dial(CLOSED)).unwrap_err();
        let mut seen = std::iter::repeat_with(|| watcher.next_seen());
        let refused = seen.find(|seen| seen.sighting.what == Observation::Refused);
        refused.unwrap().by
    };
    (0..dials).map(refusal).collect()
}

#[test]
fn what_is_urgent_is_read_on_the_processor_where_it_was_seen() {
    let place = Place::new();
    let with = |doorbells| Options {
        netns: Some(place.cookie()),
        doorbells,
        ..Options::default()
    };
    for processor in aya::util::online_cpus().unwrap() {
        // The start of each dial wakes the reader's own thread too, and that one may be first now and then.
        let by = readers(processor, &with(true), &place, 50);
        let name = format!("obit-bell-{processor}");
        assert!(by.contains(&name), "nobody answered doorbell {processor}: {by:?}");
        let others = by.iter().filter(|it| it.starts_with("obit-bell-") && **it != name);
        assert_eq!(others.count(), 0, "{by:?}");
    }
    assert!(
        !readers(0, &with(false), &place, 5)
            .iter()
            .any(|by| by.starts_with("obit-bell-"))
    );
}
