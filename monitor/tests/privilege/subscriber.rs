//! A subscriber in a namespace of its own, where it sees peers die.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use obit_protocol::{Reason, Verdict};
use tokio::runtime::Runtime;

use crate::place::Place;
use crate::support::Client;

/// An address of the namespace that is not loopback, so that it means the same everywhere. No other test uses it.
const ADDRESS: &str = "198.18.9.1";

pub(crate) struct Subscriber {
    runtime: Runtime,
    client: Client,
    watches: u64,
}

pub(crate) fn a_place() -> Place {
    Place::with_address(ADDRESS)
}

impl Subscriber {
    /// A unix socket belongs to the namespace it was made in, and that is what the kernel tells of it.
    pub(crate) fn in_place(place: &Place, socket: &Path) -> Self {
        let socket = socket.to_owned();
        place.run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let client = runtime.block_on(async { Client::welcomed(&socket).await.0 });
            Self {
                runtime,
                client,
                watches: 0,
            }
        })
    }

    /// Watches a peer nobody else watches, dials it in vain, and must be told that it is dead.
    pub(crate) fn sees_a_death(&mut self, place: &Place) {
        let peer: SocketAddr = place.run(|| TcpListener::bind((ADDRESS, 0)).unwrap().local_addr().unwrap());
        self.watches += 1;
        self.runtime.block_on(async {
            self.client.watch(self.watches, &[peer]).await;
            self.client.snapshot().await;
        });
        place.run(move || TcpStream::connect(peer).unwrap_err());
        let death = self.runtime.block_on(self.client.notice());
        assert_eq!((death.verdict(), death.reason()), (Verdict::Dead, Reason::Refused));
        assert_eq!(death.peer, Some(peer.into()));
    }
}
