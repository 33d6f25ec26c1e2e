//! `resolve::Dns` against name servers on loopback: what it publishes, what it keeps, and how long it takes.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod dns_support;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dns_support::{Reply, Scripted, Zone, address, name, srv};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use obit::resolve::{Dns, DnsError, Endpoint, IpFamily, Running, Update};

const PODS: &str = "pods.obit.test.";
const SERVICE: &str = "_grpc._tcp.pods.obit.test.";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// No test here waits for anything that takes longer.
async fn next(running: &mut Running) -> Update {
    let next = tokio::time::timeout(Duration::from_secs(60), running.next());
    next.await.expect("something within a minute").expect("DNS never ends")
}

async fn endpoints(running: &mut Running) -> Vec<Endpoint> {
    match next(running).await {
        Update::Endpoints(endpoints) => endpoints,
        other => panic!("endpoints were expected, not {other:?}"),
    }
}

async fn failure(running: &mut Running) -> DnsError {
    match next(running).await {
        Update::Failed(error) => error.downcast_ref::<DnsError>().expect("a DnsError").clone(),
        other => panic!("a failure was expected, not {other:?}"),
    }
}

/// Address and weight of each, in order of the addresses.
async fn weighted(running: &mut Running) -> Vec<(String, u32)> {
    let mut found: Vec<_> = endpoints(running)
        .await
        .iter()
        .map(|endpoint| (endpoint.address().to_string(), endpoint.weight()))
        .collect();
    found.sort();
    found
}

async fn addresses(running: &mut Running) -> Vec<String> {
    weighted(running)
        .await
        .into_iter()
        .map(|(address, _)| address)
        .collect()
}

/// One that never waits longer than it must.
fn quick(dns: Dns) -> Dns {
    dns.ttl_bounds(Duration::from_millis(10), Duration::from_millis(20))
}

#[tokio::test]
async fn srv_records_give_ports_and_weights_and_their_targets_the_addresses() {
    let zone = Zone::of("obit.test.").await;
    let records = [
        srv(SERVICE, 60, (10, 1, 50051), "one.obit.test."),
        srv(SERVICE, 60, (10, 3, 50052), "two.obit.test."),
        srv(SERVICE, 60, (20, 9, 50053), "standby.obit.test."),
    ];
    zone.set(SERVICE, RecordType::SRV, &records).await;
    for (host, owner) in (1..).zip(["one.obit.test.", "two.obit.test.", "standby.obit.test."]) {
        zone.name(owner, &[Ipv4Addr::new(127, 88, 0, host)], 60).await;
    }
    let mut running = Running::new(Dns::srv(SERVICE).name_server(zone.address));
    let expected = [("127.88.0.1:50051".to_owned(), 1), ("127.88.0.2:50052".to_owned(), 3)];
    assert_eq!(weighted(&mut running).await, expected);
}

#[tokio::test]
async fn the_next_priority_serves_when_no_target_of_the_first_has_an_address() {
    let zone = Zone::of("obit.test.").await;
    let records = [
        srv(SERVICE, 60, (10, 1, 50051), "gone.obit.test."),
        srv(SERVICE, 60, (20, 1, 50053), "standby.obit.test."),
    ];
    zone.set(SERVICE, RecordType::SRV, &records).await;
    zone.name("standby.obit.test.", &[Ipv4Addr::new(127, 88, 0, 3)], 60)
        .await;
    let mut running = Running::new(quick(Dns::srv(SERVICE).name_server(zone.address)));
    assert_eq!(addresses(&mut running).await, ["127.88.0.3:50053"]);
    zone.name("gone.obit.test.", &[Ipv4Addr::new(127, 88, 0, 1)], 60).await;
    while addresses(&mut running).await != ["127.88.0.1:50051"] {}
}

#[tokio::test]
async fn a_service_decidedly_not_available_has_no_endpoints_and_that_is_an_answer() {
    let zone = Zone::of("obit.test.").await;
    zone.set(SERVICE, RecordType::SRV, &[srv(SERVICE, 60, (0, 0, 0), ".")])
        .await;
    let mut running = Running::new(Dns::srv(SERVICE).name_server(zone.address));
    assert_eq!(endpoints(&mut running).await, []);
}

#[tokio::test]
async fn addresses_that_came_along_are_not_asked_for() {
    let server = Scripted::start(|_, kind| {
        assert_eq!(kind, RecordType::SRV, "only SRV is asked for");
        let along = [
            address("one.obit.test.", 60, ip("127.88.0.1")),
            address("one.obit.test.", 60, ip("2001:db8::1")),
            address("other.obit.test.", 60, ip("127.88.0.9")),
        ];
        Reply::Records(vec![srv(SERVICE, 60, (0, 0, 50051), "one.obit.test.")], along.to_vec())
    })
    .await;
    let mut running = Running::new(Dns::srv(SERVICE).name_server(server.address));
    assert_eq!(weighted(&mut running).await, [("127.88.0.1:50051".to_owned(), 1)]);
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn addresses_that_did_not_come_along_are_asked_for() {
    let server = Scripted::start(|asked, kind| match kind {
        RecordType::SRV => Reply::Records(
            (1..=40)
                .map(|n| srv(SERVICE, 60, (0, 0, 50051), &format!("pod-{n}.obit.test.")))
                .collect(),
            vec![],
        ),
        RecordType::A => {
            let label = String::from_utf8(asked.iter().next().unwrap().to_vec()).unwrap();
            let host: u8 = label["pod-".len()..].parse().unwrap();
            Reply::Records(
                vec![address(&asked.to_string(), 60, IpAddr::from([127, 88, 0, host]))],
                vec![],
            )
        }
        other => panic!("nobody needs {other}"),
    })
    .await;
    let mut running = Running::new(Dns::srv(SERVICE).name_server(server.address));
    assert_eq!(endpoints(&mut running).await.len(), 40);
}

#[tokio::test]
async fn a_target_that_cannot_be_looked_up_keeps_the_address_it_had() {
    let failing = Arc::new(AtomicBool::new(false));
    let script = failing.clone();
    let server = Scripted::start(move |asked, kind| match kind {
        RecordType::SRV => Reply::Records(
            vec![
                srv(SERVICE, 0, (0, 0, 50051), "one.obit.test."),
                srv(SERVICE, 0, (0, 0, 50051), "two.obit.test."),
            ],
            vec![],
        ),
        _ if *asked == name("one.obit.test.") => {
            Reply::Records(vec![address("one.obit.test.", 0, ip("127.88.0.1"))], vec![])
        }
        _ if script.load(Ordering::SeqCst) => Reply::Code(ResponseCode::ServFail),
        _ => Reply::Records(vec![address("two.obit.test.", 0, ip("127.88.0.2"))], vec![]),
    })
    .await;
    let mut running = Running::new(quick(Dns::srv(SERVICE).name_server(server.address)));
    assert_eq!(addresses(&mut running).await.len(), 2);
    failing.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        assert_eq!(addresses(&mut running).await.len(), 2);
    }
}

#[tokio::test]
async fn the_least_ttl_of_all_records_counts() {
    let zone = Zone::of("obit.test.").await;
    zone.set(
        SERVICE,
        RecordType::SRV,
        &[srv(SERVICE, 3600, (0, 0, 50051), "one.obit.test.")],
    )
    .await;
    zone.name("one.obit.test.", &[Ipv4Addr::new(127, 88, 0, 1)], 1).await;
    let dns = Dns::srv(SERVICE)
        .name_server(zone.address)
        .ttl_bounds(Duration::ZERO, Duration::from_secs(3600));
    let mut running = Running::new(dns);
    assert_eq!(addresses(&mut running).await, ["127.88.0.1:50051"]);
    zone.name("one.obit.test.", &[Ipv4Addr::new(127, 88, 0, 2)], 3600).await;
    // Within the minute `next` waits for.
    assert_eq!(addresses(&mut running).await, ["127.88.0.2:50051"]);
}

const CLUSTER: [&str; 3] = ["default.svc.cluster.test", "svc.cluster.test", "cluster.test"];

#[tokio::test]
async fn a_bare_name_is_found_by_the_search_list() {
    let zone = Zone::of("cluster.test.").await;
    zone.name("demo.default.svc.cluster.test.", &[Ipv4Addr::new(127, 88, 0, 1)], 60)
        .await;
    zone.name("other.shop.svc.cluster.test.", &[Ipv4Addr::new(127, 88, 0, 2)], 60)
        .await;
    let service = "_grpc._tcp.demo.default.svc.cluster.test.";
    let record = srv(service, 60, (0, 0, 50051), "demo.default.svc.cluster.test.");
    zone.set(service, RecordType::SRV, &[record]).await;
    let found = async |dns: Dns| {
        addresses(&mut Running::new(
            dns.name_server(zone.address).search(CLUSTER).ndots(5),
        ))
        .await
    };
    assert_eq!(found(Dns::new("demo", 80)).await, ["127.88.0.1:80"]);
    assert_eq!(found(Dns::new("other.shop", 80)).await, ["127.88.0.2:80"]);
    assert_eq!(
        found(Dns::new("demo.default.svc.cluster.test", 80)).await,
        ["127.88.0.1:80"]
    );
    assert_eq!(found(Dns::srv("_grpc._tcp.demo")).await, ["127.88.0.1:50051"]);
}

#[tokio::test]
async fn a_name_with_a_trailing_dot_is_never_searched_for() {
    let zone = Zone::of("cluster.test.").await;
    zone.name("demo.default.svc.cluster.test.", &[Ipv4Addr::new(127, 88, 0, 1)], 60)
        .await;
    let dns = Dns::new("demo.cluster.test.", 80)
        .name_server(zone.address)
        .search(CLUSTER)
        .ndots(5);
    let error = failure(&mut Running::new(dns)).await;
    assert!(
        matches!(&error, DnsError::NoSuchName { tried, .. } if *tried == ["demo.cluster.test."]),
        "{error}"
    );
}

#[tokio::test]
async fn one_domain_that_fails_does_not_end_the_search_and_is_not_hidden_by_it() {
    let existing = Arc::new(AtomicBool::new(true));
    let script = existing.clone();
    let server = Scripted::start(move |asked, _| match asked.to_string().as_str() {
        "demo.corp.test." => Reply::Code(ResponseCode::ServFail),
        "demo.good.test." if script.load(Ordering::SeqCst) => {
            Reply::Records(vec![address("demo.good.test.", 0, ip("127.88.0.1"))], vec![])
        }
        _ => Reply::Code(ResponseCode::NXDomain),
    })
    .await;
    let dns = Dns::new("demo", 80)
        .name_server(server.address)
        .search(["corp.test", "good.test"]);
    let mut running = Running::new(quick(dns));
    assert_eq!(addresses(&mut running).await, ["127.88.0.1:80"]);
    existing.store(false, Ordering::SeqCst);
    loop {
        match next(&mut running).await {
            Update::Endpoints(_) => {}
            Update::Failed(error) => {
                let error = error.downcast_ref::<DnsError>().unwrap();
                assert!(!error.is_negative_answer(), "{error}");
                return;
            }
        }
    }
}

#[tokio::test]
async fn the_failure_of_the_name_that_answered_before_leads_to_no_other_name() {
    let failing = Arc::new(AtomicBool::new(false));
    let script = failing.clone();
    let server = Scripted::start(move |asked, _| match asked.to_string().as_str() {
        "demo.mine.test." if script.load(Ordering::SeqCst) => Reply::Code(ResponseCode::ServFail),
        "demo.mine.test." => Reply::Records(vec![address("demo.mine.test.", 0, ip("127.88.0.1"))], vec![]),
        other => Reply::Records(vec![address(other, 0, ip("127.88.0.66"))], vec![]),
    })
    .await;
    let dns = Dns::new("demo", 80)
        .name_server(server.address)
        .search(["mine.test", "others.test"]);
    let mut running = Running::new(quick(dns));
    assert_eq!(addresses(&mut running).await, ["127.88.0.1:80"]);
    failing.store(true, Ordering::SeqCst);
    let mut failures = 0;
    while failures < 2 {
        match next(&mut running).await {
            Update::Endpoints(endpoints) => assert_eq!(endpoints[0].address().ip(), ip("127.88.0.1")),
            Update::Failed(_) => failures += 1,
        }
    }
}

/// A zone in which the name has so many addresses of either family.
async fn dual_stack(v4: u8, v6: u16) -> Zone {
    let zone = Zone::of("obit.test.").await;
    let fours: Vec<_> = (1..=v4)
        .map(|host| address(PODS, 60, IpAddr::from([127, 88, 0, host])))
        .collect();
    let sixes: Vec<_> = (1..=v6)
        .map(|host| address(PODS, 60, IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host])))
        .collect();
    zone.set(PODS, RecordType::A, &fours).await;
    zone.set(PODS, RecordType::AAAA, &sixes).await;
    zone
}

#[tokio::test]
async fn a_pod_with_two_addresses_is_one_endpoint_of_the_preferred_family() {
    let zone = dual_stack(2, 2).await;
    let found = async |family| {
        let dns = Dns::new(PODS, 80).name_server(zone.address).ip_family(family);
        addresses(&mut Running::new(dns)).await
    };
    let fours = ["127.88.0.1:80", "127.88.0.2:80"];
    let sixes = ["[2001:db8::1]:80", "[2001:db8::2]:80"];
    assert_eq!(
        addresses(&mut Running::new(Dns::new(PODS, 80).name_server(zone.address))).await,
        fours
    );
    assert_eq!(found(IpFamily::PreferV4).await, fours);
    assert_eq!(found(IpFamily::PreferV6).await, sixes);
    assert_eq!(found(IpFamily::V6Only).await, sixes);
    assert_eq!(found(IpFamily::All).await, [fours, sixes].concat());
}

#[tokio::test]
async fn the_other_family_serves_where_the_preferred_one_has_nothing() {
    let only_sixes = dual_stack(0, 1).await;
    let dns = |zone: &Zone| Dns::new(PODS, 80).name_server(zone.address);
    assert_eq!(
        addresses(&mut Running::new(dns(&only_sixes))).await,
        ["[2001:db8::1]:80"]
    );
    let only_fours = dual_stack(1, 0).await;
    let prefer_six = dns(&only_fours).ip_family(IpFamily::PreferV6);
    assert_eq!(addresses(&mut Running::new(prefer_six)).await, ["127.88.0.1:80"]);
    let error = failure(&mut Running::new(dns(&only_sixes).ip_family(IpFamily::V4Only))).await;
    assert!(matches!(error, DnsError::NoRecords { kind: "A", .. }), "{error}");
}

#[tokio::test]
async fn a_failure_is_no_reason_to_leave_one_family_for_the_other() {
    let server = Scripted::start(|_, kind| match kind {
        RecordType::A => Reply::Code(ResponseCode::ServFail),
        _ => Reply::Records(vec![address(PODS, 0, ip("2001:db8::1"))], vec![]),
    })
    .await;
    let error = failure(&mut Running::new(Dns::new(PODS, 80).name_server(server.address))).await;
    assert!(matches!(error, DnsError::LookUp { .. }), "{error}");
}

#[tokio::test]
async fn an_address_that_names_no_peer_is_no_endpoint() {
    let zone = Zone::naming(PODS, &[Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(127, 88, 0, 1)], 60).await;
    let mut running = Running::new(Dns::new(PODS, 80).name_server(zone.address));
    assert_eq!(addresses(&mut running).await, ["127.88.0.1:80"]);
}

#[tokio::test]
async fn failures_name_the_name_the_kind_and_the_next_step() {
    let code = async |code: ResponseCode| {
        let server = Scripted::start(move |_, _| Reply::Code(code)).await;
        let dns = Dns::new("demo", 80).name_server(server.address).search(["c.test"]);
        failure(&mut Running::new(dns)).await.to_string()
    };
    let no_such_name = "demo does not exist (asked for A and AAAA of demo.c.test., demo.): check spelling, namespace and \
                        search list, and whether the service has ready pods";
    assert_eq!(code(ResponseCode::NXDomain).await, no_such_name);
    let no_records = "demo has no usable A and AAAA record (asked for demo.c.test., demo.): check that the service is \
                      headless and has ready pods";
    assert_eq!(code(ResponseCode::NoError).await, no_records);
    let failed =
        "cannot look up demo (A and AAAA): the name server answered Server Failure: check the name server's log";
    assert_eq!(code(ResponseCode::ServFail).await, failed);
    let error = failure(&mut Running::new(
        Dns::new("a..b", 80).name_server("127.0.0.1:9".parse().unwrap()),
    ))
    .await;
    assert!(error.to_string().starts_with("\"a..b\" is no domain name: "), "{error}");
}

#[tokio::test]
async fn a_name_server_that_says_so_long_enough_empties_the_set_and_one_that_fails_never_does() {
    let code = Arc::new(std::sync::Mutex::new(ResponseCode::ServFail));
    let script = code.clone();
    let server = Scripted::start(move |_, _| Reply::Code(*script.lock().unwrap())).await;
    let dns = Dns::new(PODS, 80)
        .name_server(server.address)
        .empty_after(Duration::from_millis(1));
    let mut running = Running::new(quick(dns));
    for _ in 0..5 {
        failure(&mut running).await;
    }
    *code.lock().unwrap() = ResponseCode::NXDomain;
    loop {
        match next(&mut running).await {
            Update::Endpoints(endpoints) => return assert_eq!(endpoints, []),
            Update::Failed(_) => {}
        }
    }
}

#[tokio::test]
async fn without_a_word_to_the_contrary_no_answer_empties_the_set() {
    let server = Scripted::start(|_, _| Reply::Code(ResponseCode::NXDomain)).await;
    let mut running = Running::new(quick(Dns::new(PODS, 80).name_server(server.address)));
    for _ in 0..5 {
        failure(&mut running).await;
    }
}

/// So many different addresses.
fn many(count: u16) -> Vec<Ipv4Addr> {
    (0..count)
        .map(|n| Ipv4Addr::from_bits(0x7f58_0000 + u32::from(n) + 1))
        .collect()
}

#[tokio::test]
async fn what_a_datagram_does_not_hold_comes_over_tcp() {
    let zone = Zone::naming(PODS, &many(2_000), 60).await;
    let mut running = Running::new(Dns::new(PODS, 80).name_server(zone.address));
    let mut found: Vec<_> = endpoints(&mut running)
        .await
        .iter()
        .map(|it| it.address().ip())
        .collect();
    found.sort();
    let expected: Vec<_> = many(2_000).into_iter().map(IpAddr::V4).collect();
    assert!(found == expected, "{} of 2 000 addresses", found.len());
}

#[tokio::test]
async fn what_no_answer_holds_is_said_with_the_way_out() {
    let zone = Zone::naming(PODS, &many(3900), 60).await;
    let mut running = Running::new(Dns::new(PODS, 80).name_server(zone.address));
    let error = failure(&mut running).await;
    assert!(matches!(error, DnsError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_silent_name_server_is_given_up_and_not_asked_without_end() {
    let server = Scripted::start(|_, _| Reply::Silence).await;
    let dns = Dns::new(PODS, 80)
        .name_server(server.address)
        .timeout(Duration::from_millis(300));
    let mut running = Running::new(dns);
    for _ in 0..4 {
        let error = failure(&mut running).await;
        assert!(matches!(error, DnsError::Timeout { .. }), "{error}");
    }
    // One question each, sent again a few times.
    assert!(server.asked() <= 4 * 8, "{} questions in four look-ups", server.asked());
}

#[tokio::test]
async fn garbage_is_a_failure_and_is_not_asked_for_without_end() {
    let garbage = |length: usize| {
        (0..length)
            .map(|n| u8::try_from(n * 89 % 251).unwrap())
            .collect::<Vec<_>>()
    };
    for length in [0, 1, 9, 10, 30, 500] {
        let bytes = garbage(length);
        let mut first = true;
        let server = Scripted::start(move |_, _| {
            // Over UDP and over TCP.
            let truncated = std::mem::take(&mut first) && length % 2 == 0;
            if truncated {
                Reply::Truncated
            } else {
                Reply::Garbage(bytes.clone())
            }
        })
        .await;
        let dns = Dns::new(PODS, 80)
            .name_server(server.address)
            .timeout(Duration::from_secs(1));
        let mut running = Running::new(dns);
        for _ in 0..2 {
            let error = failure(&mut running).await;
            assert!(!error.is_negative_answer(), "{length} bytes: {error}");
        }
        assert!(server.asked() <= 2 * 12, "{} questions in two look-ups", server.asked());
    }
}

#[tokio::test]
async fn a_port_nobody_serves_dns_on_is_a_failure_and_no_answer() {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let error = failure(&mut Running::new(Dns::new(PODS, 80).name_server(address))).await;
    assert!(!error.is_negative_answer(), "{error}");
}
