//! What an operator reads of a feed: one line when its monitor is lost, one when it is back, however often it tries.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use obit::Feed;
use support::FakeMonitor;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Keeps what obit says at INFO and above.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("obit::") && *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push((*event.metadata().level(), line.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Log {
    fn levels(&self) -> Vec<Level> {
        self.0.lock().unwrap().iter().map(|(level, _)| *level).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_tries_for_an_hour_in_vain_says_so_once() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let directory = tempfile::tempdir().unwrap();
    let _feed = Feed::connect(directory.path().join("obit.sock"));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(log.levels(), [Level::WARN]);
    assert!(log.0.lock().unwrap()[0].1.contains("blind"));
}

#[tokio::test]
async fn a_loss_and_a_return_are_one_line_each() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let monitor = FakeMonitor::start();
    let mut feed = monitor.feed();
    let first = monitor.subscriber(1).await;
    while !feed.status_changed().await.is_connected() {}
    drop(first);
    while feed.status_changed().await.is_connected() {}
    let _second = monitor.subscriber(2).await;
    while !feed.status_changed().await.is_connected() {}
    assert_eq!(log.levels(), [Level::INFO, Level::WARN, Level::INFO]);
}
