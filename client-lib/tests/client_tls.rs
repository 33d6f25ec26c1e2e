//! `https` origins: certificates, names and ALPN, with real rustls servers.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod client_support;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client_support::{BoxedIo, Server, Speaks, get, post, settled};
use http::Version;
use obit::{Cause, Client, ClientBuilder, Error, Feed, Idempotent, Phase, Protocol};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Whoever signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A server for `name` that knows these ALPN names.
    async fn server(&self, name: &str, alpn: &[&str]) -> Server {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Server::speaking(Speaks::inside(Arc::new(move |stream| {
            let acceptor = acceptor.clone();
            Box::pin(async move { Some(Box::pin(acceptor.accept(stream).await.ok()?) as BoxedIo) })
        })))
        .await
    }

    /// What a client that trusts nobody else needs.
    fn trusted(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    fn client(&self, servers: &[Server]) -> ClientBuilder {
        Client::builder("https://shop.test")
            .feed(Feed::offline())
            .tls(self.trusted())
            .endpoints(servers.iter().map(Server::address))
            .queue(100, Duration::from_secs(2))
    }
}

/// Why the only endpoint of a client cannot be reached.
async fn refusal(client: &Client) -> (Cause, String) {
    let mut events = client.events();
    let error = client.request(get()).await.unwrap_err();
    assert!(matches!(error, Error::NoEndpoint { .. }), "{error:?}");
    loop {
        let event = events.recv().await.unwrap();
        if event.to == Phase::Evicted {
            return (event.cause, format!("{error}: {}", error.source().unwrap()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_chooses_is_spoken() {
    let authority = Authority::named("ours");
    for (alpn, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let servers = [authority.server("shop.test", alpn).await];
        let client = authority.client(&servers).build().unwrap();
        for _ in 0..3 {
            assert_eq!(client.request(get()).await.unwrap().version(), version, "{alpn:?}");
        }
        assert_eq!((servers[0].connected(), servers[0].processed()), (1, 3));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_behind_tls_costs_no_idempotent_call() {
    let authority = Authority::named("ours");
    for alpn in ["h2", "http/1.1"] {
        let mut servers = Vec::new();
        for _ in 0..2 {
            servers.push(authority.server("shop.test", &[alpn]).await);
        }
        let client = authority.client(&servers).build().unwrap();
        settled(&client, 2).await;
        servers[0].hold();
        let calls: Vec<_> = (0..20)
            .map(|id| {
                let client = client.clone();
                tokio::spawn(async move {
                    let mut request = post(id, Bytes::from_static(b"again"));
                    request.extensions_mut().insert(Idempotent(true));
                    client.request(request).await.map(|response| response.status())
                })
            })
            .collect();
        servers[0].holds(3).await;
        servers[0].die().await;
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_name_is_told_by_both_names() {
    let authority = Authority::named("ours");
    let servers = [authority.server("other.test", &["h2"]).await];
    let client = authority.client(&servers).build().unwrap();
    let (cause, text) = refusal(&client).await;
    assert_eq!(cause, Cause::Tls);
    assert!(text.contains("shop.test") && text.contains("other.test"), "{text}");
    assert_eq!(servers[0].processed(), 0);

    let named = authority.client(&servers).tls_name("other.test").build().unwrap();
    assert_eq!(named.request(get()).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_trusted_signed_is_refused() {
    let servers = [Authority::named("theirs").server("shop.test", &["h2"]).await];
    let client = Authority::named("ours").client(&servers).build().unwrap();
    let (cause, text) = refusal(&client).await;
    assert_eq!(cause, Cause::Tls);
    assert!(text.contains("UnknownIssuer"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_no_protocol_in_common_or_no_tls_at_all_is_named_as_such() {
    let authority = Authority::named("ours");
    let servers = [authority.server("shop.test", &[]).await];
    let client = authority.client(&servers).protocol(Protocol::Http2).build().unwrap();
    let (cause, text) = refusal(&client).await;
    assert_eq!(cause, Cause::Tls);
    assert!(text.contains("nothing (ALPN); this client speaks h2"), "{text}");

    let plain = [Server::speaking(Speaks::http1()).await];
    let client = authority.client(&plain).build().unwrap();
    let (cause, text) = refusal(&client).await;
    assert_eq!(cause, Cause::Tls);
    assert!(text.contains("InvalidContentType"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_the_handshake_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::builder("https://shop.test")
        .feed(Feed::offline())
        .tls(Authority::named("ours").trusted())
        .endpoints([listener.local_addr().unwrap()])
        .connect_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let mut events = client.events();
    loop {
        let event = events.recv().await.unwrap();
        if event.to == Phase::Evicted {
            assert_eq!(event.cause, Cause::Mute);
            break;
        }
    }
}
