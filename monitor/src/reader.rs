//! The reader: one thread of its own that carries sightings from their source through the waiting room to the hub, and
//! so to subscribers, without handing them to another thread.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock;
use crate::hub::Hub;
use crate::kernel;
use crate::priority;
use crate::sighting::{Deadline, MonotonicNs, Sighting};
use crate::stall::{Bounds, WaitingRoom};

/// How often losses are looked at when nothing else makes it necessary.
const LOSS_CHECK: Duration = Duration::from_secs(1);

/// Where sightings come from.
pub trait Source {
    /// Waits until at least one sighting was appended, or `deadline` has passed. What was seen before the deadline is
    /// appended before it returns.
    ///
    /// # Errors
    /// The source is of no use any more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn read(&mut self, into: &mut Vec<Sighting>, deadline: Deadline) -> impl Future<Output = io::Result<()>>;

    /// How many sightings were lost since the start.
    fn lost(&self) -> u64;
}

/// Makes a [`Source`] within the runtime that shall read from it.
pub trait IntoSource: Send + 'static {
    /// The source made.
    type Source: Source;

    /// Makes it. Called on the reader's thread, within its runtime.
    ///
    /// # Errors
    /// It cannot be registered with the runtime.
    fn into_source(self) -> io::Result<Self::Source>;
}

/// The kernel half as a source.
#[derive(Debug)]
pub struct KernelSource {
    /// Reads its ring buffer.
    pub reader: kernel::ReaderSource,
    /// Its counters of losses.
    pub losses: kernel::LossCounters,
}

/// The kernel half, read from.
#[derive(Debug)]
pub struct KernelReader {
    reader: kernel::Reader,
    losses: kernel::LossCounters,
}

impl IntoSource for KernelSource {
    type Source = KernelReader;

    fn into_source(self) -> io::Result<KernelReader> {
        let reader = self.reader.into_reader()?;
        Ok(KernelReader {
            reader,
            losses: self.losses,
        })
    }
}

impl Source for KernelReader {
    async fn read(&mut self, into: &mut Vec<Sighting>, deadline: Deadline) -> io::Result<()> {
        self.reader.read(into, deadline).await
    }

    fn lost(&self) -> u64 {
        self.losses.total()
    }
}

/// A reader at work; ends when dropped.
#[derive(Debug)]
pub struct ReaderThread {
    _stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl ReaderThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn spawn(source: impl IntoSource, hub: Arc<Hub>, bounds: Bounds) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let work = move || {
            // Nobody waits for the result of a reader that was told to stop.
            let _ = end.send(run(source, &hub, bounds, stopped));
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

fn run(source: impl IntoSource, hub: &Hub, bounds: Bounds, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    priority::raise();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let source = source.into_source()?;
        tokio::select! {
            result = carry(source, hub, bounds) => result,
            _ = stopped => Ok(()),
        }
    })
}

/// The loop. Everything known before a deadline is taken in before anything is concluded from what is missing.
async fn carry(mut source: impl Source, hub: &Hub, bounds: Bounds) -> io::Result<()> {
    let mut dials = WaitingRoom::new(bounds);
    let mut sightings = Vec::with_capacity(1_024);
    let mut loss_check = clock::monotonic() + LOSS_CHECK;
    loop {
        let deadline = next_deadline(&dials, hub, loss_check);
        source.read(&mut sightings, deadline).await?;
        let now = take_in(&mut sightings, &mut dials, hub);
        if now < deadline.at {
            continue;
        }
        // A storm is read in pieces: an answer given before `now` may still lie unread.
        let at_once = Deadline { at: now, sharp: false };
        source.read(&mut sightings, at_once).await?;
        while let Some(last) = sightings.last().copied() {
            take_in(&mut sightings, &mut dials, hub);
            if last.at >= now {
                break;
            }
            source.read(&mut sightings, at_once).await?;
        }
        if hub.note_losses(now, source.lost()) {
            tracing::warn!("sightings were lost: dials in progress are not judged");
            dials.clear();
        }
        dials.expire(now, &mut sightings);
        hub.observe(now, &sightings);
        sightings.clear();
        hub.expire(now);
        loss_check = now + LOSS_CHECK;
    }
}

/// When to act next although nothing comes. A dial is judged the moment its time is up; the rest can wait a little.
fn next_deadline(dials: &WaitingRoom, hub: &Hub, loss_check: MonotonicNs) -> Deadline {
    let rest = hub.next_deadline().map_or(loss_check, |at| at.min(loss_check));
    match dials.next_deadline() {
        Some(at) if at <= rest => Deadline { at, sharp: true },
        _ => Deadline { at: rest, sharp: false },
    }
}

fn take_in(sightings: &mut Vec<Sighting>, dials: &mut WaitingRoom, hub: &Hub) -> MonotonicNs {
    let now = clock::monotonic();
    hub.observe(now, sightings);
    for sighting in sightings.drain(..) {
        dials.observe(&sighting);
    }
    now
}
