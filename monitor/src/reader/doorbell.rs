//! The threads that answer doorbells: one on each processor, put before everything else that runs there.
//!
//! A processor on which something was just seen is awake; the one where a single reader last slept is most often at rest,
//! and to wake that costs 25 to 40 µs in a virtual machine (measured in the kernel's scheduler trace) and as much or more
//! where processors sleep deeply. So whoever is on the spot reads.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::source::{Doorbell, Look};
use crate::priority;

/// Tells every thread to stop: readable once it is told.
#[derive(Debug)]
pub struct Stop(OwnedFd);

impl Stop {
    /// Nobody is told yet.
    ///
    /// # Errors
    /// The operating system gives no descriptor.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Tells everyone.
    pub fn tell(&self) {
        // Full only after 2^64 - 2 calls, and then it is readable too.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Threads at work; dropped, it ends them and waits for them.
#[derive(Debug)]
pub struct DoorbellThreads {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl DoorbellThreads {
    /// Starts a thread for each.
    ///
    /// # Errors
    /// The operating system gives no thread or no descriptor.
    pub fn spawn(doorbells: Vec<Box<dyn Doorbell>>, look: &Arc<impl Look + 'static>) -> io::Result<Self> {
        let mut this = Self {
            stop: Arc::new(Stop::new()?),
            threads: Vec::with_capacity(doorbells.len()),
        };
        for doorbell in doorbells {
            let (look, stop) = (Arc::clone(look), Arc::clone(&this.stop));
            let name = format!("obit-bell-{}", doorbell.processor());
            let work = move || attend(doorbell, look.as_ref(), &stop);
            this.threads.push(std::thread::Builder::new().name(name).spawn(work)?);
        }
        Ok(this)
    }
}

impl Drop for DoorbellThreads {
    fn drop(&mut self) {
        self.stop.tell();
        for thread in self.threads.drain(..) {
            // One that panicked has said so, and there is nothing to take from it.
            let _ = thread.join();
        }
    }
}

fn attend(mut doorbell: Box<dyn Doorbell>, look: &dyn Look, stop: &Stop) {
    let processor = doorbell.processor();
    let mut here = CpuSet::new();
    // A number beyond what the set holds leaves it empty, which the kernel refuses.
    if let Ok(number) = usize::try_from(processor) {
        here.set(number);
    }
    let result = sched_setaffinity(None, &here)
        .map_err(io::Error::from)
        .and_then(|()| priority::raise())
        .and_then(|()| doorbell.answer(look, stop));
    if let Err(error) = result {
        tracing::warn!(processor, %error, "what is seen on this processor is read up to 50 ms late: nobody answers its doorbell");
    }
}
