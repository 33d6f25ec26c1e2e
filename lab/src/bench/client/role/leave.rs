//! Servers whose connections shut down gracefully all the time, each at a random moment of its life, and the journal of the calls
//! they processed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

use super::farewell::Farewell;
use crate::bench::talk::READY;

/// The header that names a call.
pub(super) const CALL_ID: HeaderName = HeaderName::from_static("call-id");

/// The word that has the journal printed.
pub(in crate::bench::client) const JOURNAL: &str = "journal";

/// What the servers are told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct LeaveArgs {
    /// Where one listens; repeat it for several. They take the ways of leaving by turns.
    #[arg(long = "listen", required = true)]
    listen: Vec<SocketAddr>,
    /// How long a connection lives at most, milliseconds.
    #[arg(long)]
    life_ms: u64,
    /// What the moments are drawn from.
    #[arg(long)]
    seed: u64,
}

/// What the servers saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::client) struct Left {
    /// Connections that were shut down.
    pub(in crate::bench::client) shutdowns: u64,
    /// Calls that were processed, each counted once.
    pub(in crate::bench::client) processed: u64,
    /// Those among them that were processed more than once and may not be.
    pub(in crate::bench::client) twice: u64,
}

#[derive(Debug, Default)]
struct Journal {
    receipts: HashMap<u64, u32>,
    shutdowns: u64,
}

impl Journal {
    fn left(&self) -> Left {
        let twice = |receipt: &(&u64, &u32)| !may_be_repeated(*receipt.0) && *receipt.1 > 1;
        Left {
            shutdowns: self.shutdowns,
            processed: self.receipts.len() as u64,
            twice: self.receipts.iter().filter(twice).count() as u64,
        }
    }
}

/// Whether the call with this number is marked as one that may be repeated: every second one is.
pub(super) fn may_be_repeated(id: u64) -> bool {
    id.is_multiple_of(2)
}

/// A journal that all connections write.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Journal>>);

impl Shared {
    fn write<T>(&self, write: impl FnOnce(&mut Journal) -> T) -> T {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn received(&self, head: &HeaderMap) {
        let id = head.get(CALL_ID).and_then(|id| id.to_str().ok()?.parse().ok());
        if let Some(id) = id {
            self.write(|journal| *journal.receipts.entry(id).or_default() += 1);
        }
    }

    fn shut_down(&self) {
        self.write(|journal| journal.shutdowns += 1);
    }
}

/// Ready once all listen. `journal` has it printed.
pub(super) fn run(args: &LeaveArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let journal = Shared::default();
        let mut random = fastrand::Rng::with_seed(args.seed);
        let farewells = [Farewell::Twice, Farewell::TwiceAndReset, Farewell::Once];
        for (address, farewell) in args.listen.iter().zip(farewells.into_iter().cycle()) {
            let listener = TcpListener::bind(address).await;
            let listener = listener.with_context(|| format!("listen on {address}"))?;
            let life = Duration::from_millis(args.life_ms);
            tokio::spawn(accept(listener, farewell, life, random.fork(), journal.clone()));
        }
        println!("{READY}");
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            match line.as_str() {
                JOURNAL => println!("{}", serde_json::to_string(&journal.write(|journal| journal.left()))?),
                other => bail!("told {other:?}"),
            }
        }
        Ok(())
    })
}

async fn accept(listener: TcpListener, farewell: Farewell, life: Duration, mut random: fastrand::Rng, journal: Shared) {
    // A listener that fails is noticed by whoever dials.
    while let Ok((stream, _)) = listener.accept().await {
        let (life, journal) = (life.mul_f64(random.f64()), journal.clone());
        tokio::spawn(async move {
            // A connection that ends badly is the client's business: it is the one that is measured.
            let _ = stream.set_nodelay(true);
            let served = farewell.serve(stream, life, |head| journal.received(head));
            if let Ok(true) = served.await {
                journal.shut_down();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_not_be_repeated_is_counted_when_it_is_processed_twice() {
        let receipts = HashMap::from([(0, 2), (1, 1), (2, 1), (3, 3), (5, 2)]);
        let left = Journal { receipts, shutdowns: 4 }.left();
        assert_eq!(
            left,
            Left {
                shutdowns: 4,
                processed: 5,
                twice: 2,
            }
        );
    }
}
