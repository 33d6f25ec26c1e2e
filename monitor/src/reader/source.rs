//! Where the reader gets sightings from, in the parts its threads share among them.

use std::fmt;
use std::future::Future;
use std::io;

use super::doorbell::Stop;
use crate::sighting::{Deadline, Sighting};

/// A source, opened within the runtime that shall read from it.
#[derive(Debug)]
pub struct Opened<R, W> {
    /// What was seen and not yet taken.
    pub records: R,
    /// When to look at it.
    pub wait: W,
    /// Further threads that look at it, when something urgent is seen on their processor.
    pub doorbells: Vec<Box<dyn Doorbell>>,
}

/// A source of sightings.
pub trait Source: Send + 'static {
    /// What was seen and not yet taken.
    type Records: Records;
    /// When to look at it.
    type Wait: Wait;

    /// Opens it. Called on the reader's thread, within its runtime.
    ///
    /// # Errors
    /// It cannot be registered with the runtime.
    fn open(self) -> io::Result<Opened<Self::Records, Self::Wait>>;
}

/// What was seen and not yet taken, in order.
pub trait Records: Send + 'static {
    /// Appends what is there, up to a bounded number. Returns whether that was anything.
    fn take(&mut self, into: &mut Vec<Sighting>) -> bool;

    /// How many sightings were lost since the start.
    fn lost(&self) -> u64;

    /// How often the programs did not run since the start, where that is known. Asked for once a second.
    fn left_out(&self) -> u64;
}

/// What a thread of the reader does when something may have been seen.
pub trait Look: Send + Sync {
    /// Takes what is there and acts on it. Returns whether there was anything.
    fn look(&self) -> bool;

    /// When to act although nothing comes.
    fn deadline(&self) -> Deadline;
}

/// Knows when to look.
pub trait Wait {
    /// Looks whenever there may be something, until the deadline has passed; has looked since when it returns.
    ///
    /// # Errors
    /// There will be nothing to look at any more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn wait(&mut self, look: &dyn Look) -> impl Future<Output = io::Result<()>>;
}

/// What wakes a thread of its own on one processor, when something urgent is seen there.
pub trait Doorbell: fmt::Debug + Send {
    /// The processor's number.
    fn processor(&self) -> u32;

    /// Looks whenever it is rung, until told to stop. Blocks; called on a thread of its own, on that processor.
    ///
    /// # Errors
    /// What the kernel said; nobody answers this doorbell any more then.
    fn answer(&mut self, look: &dyn Look, stop: &Stop) -> io::Result<()>;
}
