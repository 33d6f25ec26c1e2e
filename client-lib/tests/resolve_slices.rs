//! `resolve::EndpointSlices` against an API on loopback that speaks the watch protocol.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod api_support;

use std::time::Duration;

use api_support::Api;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use obit::resolve::{EndpointSlices, Running, SlicesError, Update};

fn slice(name: &str, addresses: &[&str]) -> EndpointSlice {
    let endpoint = |address: &&str| Endpoint {
        addresses: vec![(*address).to_owned()],
        zone: Some("a".to_owned()),
        ..Endpoint::default()
    };
    let port = EndpointPort {
        name: Some("grpc".to_owned()),
        port: Some(50051),
        ..EndpointPort::default()
    };
    let mut slice = EndpointSlice {
        address_type: "IPv4".to_owned(),
        endpoints: addresses.iter().map(endpoint).collect(),
        ports: Some(vec![port]),
        ..EndpointSlice::default()
    };
    slice.metadata.name = Some(name.to_owned());
    slice.metadata.namespace = Some("shop".to_owned());
    slice.metadata.labels = Some([("kubernetes.io/service-name".to_owned(), "demo".to_owned())].into());
    slice
}

fn watching(api: &Api) -> Running {
    Running::new(EndpointSlices::new("demo", "shop", "grpc").client(api.client()))
}

/// No test here waits for anything that takes longer.
async fn next(running: &mut Running) -> Update {
    let next = tokio::time::timeout(Duration::from_secs(60), running.next());
    next.await
        .expect("something within a minute")
        .expect("a watch never ends")
}

async fn endpoints(running: &mut Running) -> Vec<String> {
    match next(running).await {
        Update::Endpoints(endpoints) => endpoints.iter().map(|it| it.address().to_string()).collect(),
        other => panic!("endpoints were expected, not {other:?}"),
    }
}

async fn failure(running: &mut Running) -> String {
    match next(running).await {
        Update::Failed(error) => error.downcast_ref::<SlicesError>().unwrap().to_string(),
        other => panic!("a failure was expected, not {other:?}"),
    }
}

/// Waits for these endpoints; no others are said before them but in `meanwhile`.
async fn until(running: &mut Running, meanwhile: &[&str], wanted: &[&str]) {
    loop {
        match next(running).await {
            Update::Endpoints(endpoints) => {
                let found: Vec<_> = endpoints.iter().map(|it| it.address().to_string()).collect();
                if found == wanted {
                    return;
                }
                assert_eq!(found, meanwhile);
            }
            Update::Failed(_) => {}
        }
    }
}

#[tokio::test]
async fn the_slices_of_the_service_are_listed_and_then_watched() {
    let api = Api::start().await;
    api.apply(&slice("demo-1", &["10.0.0.1", "10.0.0.2"]));
    api.apply(&slice("demo-2", &["10.0.0.3"]));
    let mut running = watching(&api);
    let Update::Endpoints(first) = next(&mut running).await else {
        panic!("a list was expected")
    };
    assert_eq!(first.len(), 3, "the whole list at once");
    assert_eq!(first[0].zone().map(|zone| &**zone), Some("a"));
    assert!(api.queries()[0].starts_with("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?"));
    assert!(
        api.queries()[0].contains("labelSelector=kubernetes.io%2Fservice-name%3Ddemo"),
        "{:?}",
        api.queries()
    );
    // Nothing is told to a watch that has not begun.
    tokio::select! {
        () = api.watches(1) => {}
        update = next(&mut running) => panic!("{update:?}"),
    }
    api.apply(&slice("demo-2", &["10.0.0.4"]));
    assert_eq!(
        endpoints(&mut running).await,
        ["10.0.0.1:50051", "10.0.0.2:50051", "10.0.0.4:50051"]
    );
    api.delete("demo-1");
    assert_eq!(endpoints(&mut running).await, ["10.0.0.4:50051"]);
    api.apply(&slice("demo-3", &["10.0.0.5"]));
    assert_eq!(endpoints(&mut running).await, ["10.0.0.4:50051", "10.0.0.5:50051"]);
}

#[tokio::test]
async fn a_pod_that_terminates_leaves_the_moment_another_is_ready() {
    let api = Api::start().await;
    let mut leaving = slice("demo-1", &["10.0.0.1"]);
    leaving.endpoints[0].conditions = Some(EndpointConditions {
        ready: Some(false),
        serving: Some(true),
        terminating: Some(true),
    });
    api.apply(&leaving);
    let mut running = watching(&api);
    assert_eq!(endpoints(&mut running).await, ["10.0.0.1:50051"]);
    tokio::select! {
        () = api.watches(1) => {}
        update = next(&mut running) => panic!("{update:?}"),
    }
    api.apply(&slice("demo-2", &["10.0.0.2"]));
    assert_eq!(endpoints(&mut running).await, ["10.0.0.2:50051"]);
}

/// A watch of one slice with one address, begun.
async fn begun(api: &Api) -> Running {
    api.apply(&slice("demo-1", &["10.0.0.1"]));
    let mut running = watching(api);
    assert_eq!(endpoints(&mut running).await, ["10.0.0.1:50051"]);
    tokio::select! {
        () = api.watches(1) => {}
        update = next(&mut running) => panic!("{update:?}"),
    }
    running
}

#[tokio::test]
async fn a_bookmark_is_where_the_next_watch_goes_on() {
    let api = Api::start().await;
    let mut running = begun(&api).await;
    api.advance(5);
    api.bookmark();
    api.apply(&slice("demo-1", &["10.0.0.2"]));
    assert_eq!(endpoints(&mut running).await, ["10.0.0.2:50051"]);
    api.advance(93);
    api.bookmark();
    api.end_watches();
    tokio::select! {
        () = api.watches(2) => {}
        () = async { loop { next(&mut running).await; } } => {}
    }
    assert_eq!(api.list_count(), 1, "no new list is needed");
    assert!(
        api.queries().last().unwrap().contains("resourceVersion=100"),
        "{:?}",
        api.queries()
    );
}

#[tokio::test]
async fn a_watch_that_is_too_old_begins_anew_and_the_set_stays_until_the_new_list_is_there() {
    let api = Api::start().await;
    let mut running = begun(&api).await;
    api.apply(&slice("demo-2", &["10.0.0.2"]));
    assert_eq!(endpoints(&mut running).await.len(), 2);
    api.delete_in_secret("demo-1");
    api.gone();
    // Neither an empty set nor a failure in between.
    assert_eq!(endpoints(&mut running).await, ["10.0.0.2:50051"]);
    assert_eq!(api.list_count(), 2);
}

#[tokio::test]
async fn a_watch_refused_as_too_old_begins_anew_too() {
    let api = Api::start().await;
    let mut running = begun(&api).await;
    api.delete_in_secret("demo-1");
    api.apply(&slice("demo-2", &["10.0.0.2"]));
    until(&mut running, &[], &["10.0.0.1:50051", "10.0.0.2:50051"]).await;
    api.refuse_watch(410);
    api.hang_up();
    until(&mut running, &[], &["10.0.0.2:50051"]).await;
    assert_eq!(api.list_count(), 2);
}

#[tokio::test]
async fn the_set_stays_while_the_api_is_away_and_is_right_when_it_comes_back() {
    let mut api = Api::start().await;
    let mut running = begun(&api).await;
    api.stop();
    for _ in 0..2 {
        let error = failure(&mut running).await;
        assert!(
            error.starts_with("cannot watch the EndpointSlices of shop/demo: "),
            "{error}"
        );
        assert!(
            error.ends_with(": check that the API is reachable from here"),
            "{error}"
        );
    }
    // Its history is gone with it.
    api.delete_in_secret("demo-1");
    api.apply(&slice("demo-2", &["10.0.0.2"]));
    api.refuse_watch(410);
    api.resume().await;
    until(&mut running, &[], &["10.0.0.2:50051"]).await;
}

#[tokio::test]
async fn a_refusal_says_what_to_allow_and_is_not_asked_about_without_end() {
    let api = Api::start().await;
    api.refuse(403);
    let mut running = watching(&api);
    let error = failure(&mut running).await;
    let expected =
        ": allow `get`, `list` and `watch` of `endpointslices` in `discovery.k8s.io` to this service account";
    assert!(error.ends_with(expected), "{error}");
    failure(&mut running).await;
    api.refuse(None);
    api.apply(&slice("demo-1", &["10.0.0.1"]));
    until(&mut running, &[], &["10.0.0.1:50051"]).await;
    assert!(api.queries().len() <= 8, "{:?}", api.queries());
}

#[tokio::test]
async fn what_is_no_event_does_not_end_the_watch() {
    let api = Api::start().await;
    let mut running = begun(&api).await;
    api.babble();
    api.apply(&slice("demo-1", &["10.0.0.2"]));
    until(&mut running, &[], &["10.0.0.2:50051"]).await;
}

#[tokio::test]
async fn an_empty_service_is_empty_and_says_why() {
    let api = Api::start().await;
    let mut running = watching(&api);
    assert!(endpoints(&mut running).await.is_empty());
    let error = failure(&mut running).await;
    assert!(error.starts_with("shop/demo has no EndpointSlice: "), "{error}");
    tokio::select! {
        () = api.watches(1) => {}
        update = next(&mut running) => panic!("{update:?}"),
    }
    let mut starting = slice("demo-1", &["10.0.0.1"]);
    starting.endpoints[0].conditions = Some(EndpointConditions {
        ready: Some(false),
        serving: Some(false),
        terminating: Some(false),
    });
    api.apply(&starting);
    assert!(endpoints(&mut running).await.is_empty());
    let error = failure(&mut running).await;
    assert!(error.starts_with("none of the 1 pods of shop/demo is ready"), "{error}");
    let mut other_port = slice("demo-1", &["10.0.0.1"]);
    other_port.ports.as_mut().unwrap()[0].name = Some("http".to_owned());
    api.apply(&other_port);
    assert!(endpoints(&mut running).await.is_empty());
    let error = failure(&mut running).await;
    assert!(
        error.starts_with("shop/demo has no TCP port grpc (it has http=50051)"),
        "{error}"
    );
}
