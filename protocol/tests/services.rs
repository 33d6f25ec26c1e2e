//! Services on the wire: names that may be asked about, and sets that survive it.

use bytes::BytesMut;
use obit_protocol::watch_service::Port;
use obit_protocol::{
    ClientMessage, Endpoint, Endpoints, EndpointsError, FrameCodec, MonitorMessage, Peer, ServiceError, WatchService,
    client_message, monitor_message,
};
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};

fn watch(namespace: &str, service: &str, port: Option<Port>) -> WatchService {
    WatchService {
        id: 1,
        namespace: namespace.to_owned(),
        service: service.to_owned(),
        port,
        end: false,
    }
}

fn named(name: &str) -> Option<Port> {
    Some(Port::Name(name.to_owned()))
}

#[test]
fn names_of_kubernetes_are_taken_and_others_named() {
    let grpc = || named("grpc");
    assert_eq!(watch("shop", "demo-api", grpc()).check(), Ok(()));
    assert_eq!(watch("shop", "demo", Some(Port::Number(50051))).check(), Ok(()));
    assert_eq!(
        watch("shop", "demo", named("")).check(),
        Ok(()),
        "a port may be without a name"
    );
    for wrong in ["", "Shop", "a/b", "a.b", "ä", "a=b,c", &"a".repeat(64)] {
        assert_eq!(
            watch(wrong, "demo", grpc()).check(),
            Err(ServiceError::Namespace(wrong.to_owned()))
        );
        assert_eq!(
            watch("shop", wrong, grpc()).check(),
            Err(ServiceError::Service(wrong.to_owned()))
        );
        if !wrong.is_empty() {
            assert_eq!(
                watch("shop", "demo", named(wrong)).check(),
                Err(ServiceError::PortName(wrong.to_owned()))
            );
        }
    }
    for wrong in [0, 65_536] {
        let port = Some(Port::Number(wrong));
        assert_eq!(
            watch("shop", "demo", port).check(),
            Err(ServiceError::PortNumber(wrong))
        );
    }
    assert_eq!(watch("shop", "demo", None).check(), Err(ServiceError::NoPort));
}

#[test]
fn the_end_of_a_watch_needs_no_name() {
    let end = WatchService {
        id: 7,
        end: true,
        ..WatchService::default()
    };
    assert_eq!(end.check(), Ok(()));
}

/// An old client or monitor: it ignores what it does not know.
#[test]
fn what_an_old_reader_does_not_know_is_a_message_without_content() {
    let mut wire = BytesMut::new();
    let message = ClientMessage {
        message: Some(client_message::Message::WatchService(watch(
            "shop",
            "demo",
            named("grpc"),
        ))),
    };
    FrameCodec::<ClientMessage, ClientMessage>::default()
        .encode(message, &mut wire)
        .unwrap();
    // Field 4 of the one is unknown to the other, whose fields end with 3.
    let mut bytes = wire[4..].to_vec();
    assert_eq!(bytes[0], 4 << 3 | 2);
    bytes[0] = 12 << 3 | 2;
    let read = <ClientMessage as prost::Message>::decode(bytes.as_slice()).unwrap();
    assert_eq!(read.message, None);
}

proptest! {
    #[test]
    fn a_set_comes_back_as_it_was_sent(
        id in any::<u64>(),
        revision in any::<u64>(),
        stale_since_ns in any::<u64>(),
        error in 0..7i32,
        conditions in prop::collection::vec((any::<[bool; 3]>(), any::<[u8; 4]>(), "[a-z0-9-]{0,10}"), 0..50),
    ) {
        let endpoints = conditions.into_iter().map(|([ready, serving, terminating], address, zone)| Endpoint {
            peer: Some(Peer { address: address.to_vec(), port: 80 }),
            for_zones: vec![zone.clone(); usize::from(ready)],
            zone,
            ready,
            serving,
            terminating,
        });
        let sent = MonitorMessage {
            message: Some(monitor_message::Message::Endpoints(Endpoints {
                id,
                revision,
                endpoints: endpoints.collect(),
                more: false,
                stale_since_ns,
                error,
                detail: "why".to_owned(),
            })),
        };
        prop_assert!(EndpointsError::try_from(error).is_ok());
        let mut wire = BytesMut::new();
        let mut codec = FrameCodec::<MonitorMessage, MonitorMessage>::default();
        codec.encode(sent.clone(), &mut wire).unwrap();
        prop_assert_eq!(codec.decode(&mut wire).unwrap(), Some(sent));
    }
}
