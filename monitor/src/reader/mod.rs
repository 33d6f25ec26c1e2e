//! The reader: threads of their own that carry sightings from their source through the waiting room to the hub, and so to
//! subscribers, without handing them to another thread.
//!
//! ```text
//!             every processor                         one
//!   urgent ──▶ doorbell thread ──┐     ┌── reader thread ◀── timer, everything else
//!                                ▼     ▼
//!                                intake ──▶ hub ──▶ subscribers
//! ```

mod doorbell;
mod intake;
mod source;

use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::hub::Hub;
use crate::priority;
use crate::stall::Bounds;
use intake::Intake;

pub use doorbell::{DoorbellThreads, Stop};
pub use source::{Doorbell, Look, Opened, Records, Source, Wait};

/// A reader at work; ends when dropped.
#[derive(Debug)]
pub struct ReaderThread {
    _stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl ReaderThread {
    /// Starts the thread, and those of the source's doorbells.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn spawn(source: impl Source, hub: Arc<Hub>, bounds: Bounds) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let work = move || {
            // Nobody waits for the result of a reader that was told to stop.
            let _ = end.send(run(source, hub, bounds, stopped));
        };
        std::thread::Builder::new().name("obit-reader".into()).spawn(work)?;
        Ok(Self { _stop: stop, ended })
    }

    /// Waits until the reader has failed: it does not end by itself.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn failed(&mut self) -> io::Error {
        match (&mut self.ended).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => io::Error::other("the reader was stopped"),
            Err(_) => io::Error::other("the reader's thread panicked"),
        }
    }
}

fn run(source: impl Source, hub: Arc<Hub>, bounds: Bounds, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    priority::raise_or_say_so();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let Opened {
            records,
            mut wait,
            doorbells,
        } = source.open()?;
        let intake = Arc::new(Intake::new(records, hub, bounds));
        let _threads = DoorbellThreads::spawn(doorbells, &intake)?;
        let carry = async {
            loop {
                wait.wait(intake.as_ref()).await?;
                intake.judge();
            }
        };
        tokio::select! {
            result = carry => result,
            _ = stopped => Ok(()),
        }
    })
}
