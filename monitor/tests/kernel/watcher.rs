//! A loaded kernel half, and what it sees.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use obit_monitor::clock::monotonic;
use obit_monitor::kernel::{KernelRecords, KernelSource, LossCounters, Options, Signal, WatchFilter, start};
use obit_monitor::reader::{DoorbellThreads, Look, Opened, Records, Source, Wait};
use obit_monitor::sighting::{Deadline, MonotonicNs, Observation, Sighting};
use socket2::{Domain, Socket, Type};
use tokio::sync::oneshot;

use crate::place::Place;

/// How long a test waits for what must come. Never waited out by a test that passes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A peer every watcher watches, to mark the end of what a test did.
const MARK: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(127, 9, 9, 9)), 9);

/// A sighting, when it was read and by which thread.
pub(crate) struct Seen {
    pub(crate) sighting: Sighting,
    pub(crate) at: MonotonicNs,
    pub(crate) by: String,
}

pub(crate) struct Watcher {
    pub(crate) filter: WatchFilter,
    pub(crate) losses: LossCounters,
    sightings: Receiver<Seen>,
    forward: Arc<Forward>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<u64>>,
}

impl Watcher {
    /// Watches these peers in this place.
    pub(crate) fn new(place: &Place, peers: &[IpAddr]) -> Self {
        Self::with(
            &Options {
                netns: Some(place.cookie()),
                ..Options::default()
            },
            peers,
        )
    }

    pub(crate) fn with(options: &Options, peers: &[IpAddr]) -> Self {
        let mut kernel = start(options).unwrap_or_else(|error| panic!("{error}: {error:?}"));
        let on: Vec<_> = Signal::ALL
            .into_iter()
            .filter(|signal| !options.disabled.contains(signal))
            .collect();
        assert_eq!(kernel.signals, on, "this kernel gives every signal");
        for peer in peers.iter().chain([&MARK.ip()]) {
            kernel.filter.insert(*peer).unwrap();
        }
        let (send, sightings) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let (opened, forward) = mpsc::channel();
        let thread = thread::spawn(move || read(kernel.source, stopped, send, &opened));
        Self {
            filter: kernel.filter,
            losses: kernel.losses,
            sightings,
            forward: forward.recv_timeout(PATIENCE).expect("a source that opens"),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Nothing is read while this is held.
    pub(crate) fn hold(&self) -> MutexGuard<'_, KernelRecords> {
        self.forward.records.lock().unwrap()
    }

    /// Waits for the next sighting; says when it was here, and who read it.
    pub(crate) fn next_seen(&self) -> Seen {
        self.sightings.recv_timeout(PATIENCE).expect("a sighting")
    }

    /// Waits for the next sighting.
    pub(crate) fn next(&self) -> Sighting {
        self.next_seen().sighting
    }

    /// Everything seen up to now in a place. Marks the end with a dial of its own, so nothing is waited out.
    pub(crate) fn all(&self, place: &Place) -> Vec<Sighting> {
        place.run(|| dial(MARK)).unwrap_err();
        let mut all = Vec::new();
        loop {
            match self.next() {
                Sighting {
                    peer,
                    what: Observation::Refused,
                    netns,
                    ..
                } if peer == MARK && netns == place.cookie() => return all,
                Sighting { peer, .. } if peer == MARK => {}
                sighting => all.push(sighting),
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.stop.take());
        let unknown = self.thread.take().map(JoinHandle::join);
        assert!(
            thread::panicking() || matches!(unknown, Some(Ok(0))),
            "records of unknown kinds: {unknown:?}"
        );
    }
}

/// What the reading threads do with sightings: send them to the test.
struct Forward {
    records: Mutex<KernelRecords>,
    send: mpsc::Sender<Seen>,
}

impl Look for Forward {
    fn look(&self) -> bool {
        let mut records = self.records.lock().unwrap();
        let mut sightings = Vec::new();
        records.take(&mut sightings);
        let at = monotonic();
        for sighting in &sightings {
            let by = thread::current().name().unwrap_or_default().to_owned();
            // Nobody listens any more once the test has failed.
            let _ = self.send.send(Seen {
                sighting: *sighting,
                at,
                by,
            });
        }
        !sightings.is_empty()
    }

    fn deadline(&self) -> Deadline {
        Deadline {
            at: MonotonicNs(u64::MAX),
            sharp: false,
        }
    }
}

/// Reads as the daemon does, until told to stop; returns the number of records of no known kind.
fn read(
    source: KernelSource,
    stop: oneshot::Receiver<()>,
    send: mpsc::Sender<Seen>,
    opened: &mpsc::Sender<Arc<Forward>>,
) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let Opened {
            records,
            mut wait,
            doorbells,
        } = source.open().unwrap();
        let forward = Arc::new(Forward {
            records: Mutex::new(records),
            send,
        });
        let threads = DoorbellThreads::spawn(doorbells, &forward).unwrap();
        opened.send(Arc::clone(&forward)).unwrap();
        tokio::select! {
            result = wait.wait(forward.as_ref()) => panic!("the wait ended: {result:?}"),
            _ = stop => {}
        }
        drop(threads);
        forward.records.lock().unwrap().losses().by_reason()[obit_ebpf::Loss::Unreadable as usize]
    })
}

/// Dials in the calling thread's namespace, and waits for the outcome.
pub(crate) fn dial(to: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.connect(&to.into())?;
    Ok(socket)
}

/// Begins to dial, and does not wait.
pub(crate) fn begin_dial(to: SocketAddr, set_up: impl FnOnce(&Socket)) -> Socket {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    set_up(&socket);
    let error = socket.connect(&to.into()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS), "{error}");
    socket
}

/// What was seen, without the rest.
pub(crate) fn what(sightings: &[Sighting]) -> Vec<Observation> {
    sightings.iter().map(|sighting| sighting.what).collect()
}
