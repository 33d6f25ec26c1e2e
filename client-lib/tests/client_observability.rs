//! What a client lets be seen of itself: metrics, JSON, a page, spans.

#![cfg(all(feature = "metrics", feature = "debug-page"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod client_support;

use std::collections::BTreeMap;
use std::time::Duration;

use client_support::{Server, client, get, post, settled};
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use obit::{Cause, EndpointStatus, Idempotent};
use serde_json::Value;

/// Every counter and gauge as `name{label,…}`; of a histogram, how many values it got.
fn seen(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let metrics = snapshotter.snapshot().into_vec();
    let of = |(key, _, _, value): (metrics_util::CompositeKey, _, _, DebugValue)| {
        let key = key.key();
        let labels: Vec<_> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(level) => level.into_inner(),
            DebugValue::Histogram(values) => values.len() as f64,
        };
        (format!("{}{{{}}}", key.name(), labels.join(",")), value)
    };
    metrics.into_iter().map(of).collect()
}

/// The recorder is the thread's own, and the runtime has only this thread.
#[tokio::test]
async fn calls_and_endpoints_are_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    obit::describe_metrics();
    let servers = Server::several(2).await;
    let client = client(&servers).build().unwrap();
    settled(&client, 2).await;
    for _ in 0..4 {
        client.request(get()).await.unwrap();
    }
    servers[0].hold();
    let moved = tokio::spawn({
        let client = client.clone();
        async move {
            for id in 0..2 {
                let mut request = post(id, "again".into());
                request.extensions_mut().insert(Idempotent(true));
                client.request(request).await.unwrap();
            }
        }
    });
    servers[0].holds(1).await;
    servers[0].die().await;
    moved.await.unwrap();
    settled(&client, 1).await;
    let counted = seen(&snapshotter);
    let of = |name: &str| {
        counted
            .get(name)
            .copied()
            .unwrap_or_else(|| panic!("no {name} in {counted:#?}"))
    };
    assert_eq!(of("obit_client_calls_total{service=pods.test,outcome=ok}"), 6.0);
    assert_eq!(of("obit_client_call_seconds{service=pods.test}"), 6.0);
    assert_eq!(of("obit_client_calls_moved_total{service=pods.test,fate=unknown}"), 1.0);
    assert_eq!(of("obit_client_endpoints{service=pods.test,phase=ready}"), 1.0);
    assert!(of("obit_client_endpoint_transitions_total{service=pods.test,to=evicted,cause=refused}") >= 1.0);
    assert!(counted.keys().all(|name| !name.contains("127.0.0.1")), "{counted:#?}");

    drop(client);
    loop {
        let gauges = seen(&snapshotter);
        let left: f64 = gauges
            .iter()
            .filter(|(name, _)| name.starts_with("obit_client_endpoints"))
            .map(|(_, level)| level)
            .sum();
        if left == 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_page_shows_each_endpoint_to_eyes_and_to_programs() {
    let servers = Server::several(2).await;
    let client = client(&servers).build().unwrap();
    settled(&client, 2).await;
    servers[1].die().await;
    let mut events = client.events();
    let refused = |status: &EndpointStatus| matches!(status.last_evidence, Some((Cause::Refused, _)));
    while !client.snapshot().iter().any(refused) {
        let _ = events.recv().await;
    }
    let ask = |request: http::request::Builder| obit::debug_page(&client, &request.body(()).unwrap().into_parts().0);

    let page = ask(Request::get("/debug/obit"));
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(
        page.body().contains("1 of 2 endpoints ready, 0 calls waiting"),
        "{}",
        page.body()
    );
    for server in &servers {
        assert!(page.body().contains(&server.address().to_string()));
    }

    for request in [
        Request::get("/debug/obit?json"),
        Request::get("/debug/obit").header(ACCEPT, "application/json"),
    ] {
        let answer = ask(request);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
        let told: Value = serde_json::from_str(answer.body()).unwrap();
        assert_eq!(told["waiting"], 0);
        let endpoints = told["endpoints"].as_array().unwrap();
        let of = |server: &Server| {
            let peer = server.address().to_string();
            endpoints.iter().find(|it| it["peer"] == peer.as_str()).unwrap()
        };
        let (good, dead) = (of(&servers[0]), of(&servers[1]));
        assert_eq!((&good["phase"], &good["connections"]), (&"ready".into(), &1.into()));
        assert!(
            good["rtt_us"].as_u64().is_some() && good["last_evidence"].is_null(),
            "{good}"
        );
        assert_eq!(dead["last_evidence"]["cause"], "connection refused", "{dead}");
        assert!(
            dead["last_evidence"]["since_ms"].as_u64().is_some() && dead["rtt_us"].is_null(),
            "{dead}"
        );
    }
}
