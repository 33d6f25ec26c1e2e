//! Servers whose connections shut down gracefully all the time, each at a random moment of its life, and a journal of
//! the calls they processed.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    missing_docs,
    reason = "helpers of tests fail as tests do"
)]

mod farewell;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) use farewell::Farewell;
use http::HeaderMap;
use tokio::net::TcpListener;

/// The header that names a call.
pub const CALL_ID: &str = "call-id";

/// What became of everything, for all servers of a test.
#[derive(Debug, Default)]
pub struct Journal {
    receipts: Mutex<HashMap<u64, u32>>,
    shutdowns: AtomicUsize,
}

impl Journal {
    /// How often each call was processed.
    pub fn receipts(&self) -> HashMap<u64, u32> {
        self.receipts.lock().unwrap().clone()
    }

    /// How many connections were shut down.
    pub fn shutdowns(&self) -> usize {
        self.shutdowns.load(Ordering::SeqCst)
    }

    fn processed(&self, head: &HeaderMap) {
        let id = head[CALL_ID].to_str().unwrap().parse().unwrap();
        *self.receipts.lock().unwrap().entry(id).or_default() += 1;
    }
}

/// A server each connection of which is shut down within `life` of its beginning, at a moment drawn from `seed`.
pub(crate) async fn leaving(farewell: Farewell, life: Duration, seed: u64, journal: Arc<Journal>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let life = life.mul_f64(random.f64());
            let journal = journal.clone();
            tokio::spawn(async move {
                let served = farewell.serve(stream, life, |head| journal.processed(head)).await;
                if served.unwrap() {
                    journal.shutdowns.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    address
}
