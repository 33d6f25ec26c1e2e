//! The guard gives back every descriptor. A process of its own: in others, tests that run beside open and close theirs.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use obit_protocol::{Reason, Verdict};
use support::LiveMonitor;
use support::guarded::{OFTEN, connect, eventually, guard, is_alive, is_ended, joined, listen, reading};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn no_descriptor_is_lost_and_nothing_is_ended_once_the_guard_is_dropped() {
    let monitor = LiveMonitor::start();
    let (listener, peer) = listen("127.0.0.1:0");
    monitor.feed().status_changed().await;
    let before = open_descriptors();
    {
        let guard = guard(&monitor, OFTEN);
        for round in 1..=50 {
            let (near, _far) = connect(&listener);
            let read = reading(&near);
            monitor.watching(peer).await;
            eventually("an end", || {
                monitor.say(peer, Verdict::Dead, Reason::Unreachable);
                guard.ended() == round
            })
            .await;
            assert!(is_ended(joined(read).await));
            monitor.say(peer, Verdict::Alive, Reason::Handshake);
        }
    }
    eventually("as many descriptors as before", || open_descriptors() <= before).await;
    let feed = monitor.feed();
    let mut watch = feed.watch(peer);
    let (near, far) = connect(&listener);
    monitor.say(peer, Verdict::Dead, Reason::Unreachable);
    while watch.changed().await.verdict != obit::Verdict::Dead {}
    assert!(is_alive(&near, &far));
}
