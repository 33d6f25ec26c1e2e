use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use obit_protocol::{FrameCodec, MonitorMessage, Notice, Reason, Verdict, monitor_message::Message};
use tokio_util::codec::Decoder;

use super::{CONNECTIONS_MAX, Flush, Full, Limits, Registry, SubscriberId, Wire};
use crate::ledger::{ConnectionNews, Standing};
use crate::sighting::{MonotonicNs, NetnsCookie, SocketCookie};

const HERE: Option<NetnsCookie> = Some(NetnsCookie(1));
const THERE: Option<NetnsCookie> = Some(NetnsCookie(2));

/// A socket with room for so many bytes.
#[derive(Default)]
struct Pipe {
    room: AtomicUsize,
    written: Mutex<BytesMut>,
    woken: AtomicUsize,
}

impl Pipe {
    fn with_room(room: usize) -> Arc<Self> {
        Arc::new(Self {
            room: room.into(),
            ..Self::default()
        })
    }

    fn read(&self) -> Vec<Message> {
        let (mut codec, mut bytes) = (
            FrameCodec::<MonitorMessage, MonitorMessage>::default(),
            self.written.lock().unwrap(),
        );
        std::iter::from_fn(|| codec.decode(&mut bytes).unwrap()?.message).collect()
    }

    fn notices(&self) -> Vec<Notice> {
        let notice = |message| match message {
            Message::Notice(notice) => notice,
            other => panic!("{other:?}"),
        };
        self.read().into_iter().map(notice).collect()
    }
}

impl Wire for Pipe {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room.load(Ordering::Relaxed));
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room.fetch_sub(taken, Ordering::Relaxed);
        self.written.lock().unwrap().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn wake(&self) {
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}

fn peer(n: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::from((0xc612_0000 + n).to_be_bytes()), 8080)
}

fn standing(verdict: Verdict, reason: Reason) -> Standing {
    Standing {
        verdict,
        reason,
        evidence: 1,
        at: MonotonicNs(7),
    }
}

/// A time at which a fall waits for no other, if there is one a second.
fn seconds(n: u64) -> MonotonicNs {
    MonotonicNs(0) + Duration::from_secs(n)
}

fn dead() -> Standing {
    standing(Verdict::Dead, Reason::Refused)
}

fn alive() -> Standing {
    standing(Verdict::Alive, Reason::Handshake)
}

fn join(registry: &mut Registry, netns: Option<NetnsCookie>, wire: &Arc<Pipe>, peers: &[SocketAddr]) -> SubscriberId {
    let id = registry.join(netns, Arc::clone(wire) as Arc<dyn Wire>).unwrap();
    for peer in peers {
        registry.watch(id, *peer, |_| Standing::UNKNOWN).unwrap();
    }
    id
}

fn connection(socket: u64, netns: Option<NetnsCookie>) -> ConnectionNews {
    ConnectionNews {
        peer: peer(1),
        socket: SocketCookie(socket),
        netns: netns.unwrap(),
        standing: standing(Verdict::Dead, Reason::Reset),
    }
}

#[test]
fn each_namespace_is_told_its_own_verdict_and_only_its_changes() {
    let mut registry = Registry::new(Limits::default());
    let (here, there) = (Pipe::with_room(10_000), Pipe::with_room(10_000));
    join(&mut registry, HERE, &here, &[peer(1)]);
    join(&mut registry, THERE, &there, &[peer(1), peer(2)]);
    let verdict = |netns| {
        if netns == HERE {
            dead()
        } else {
            standing(Verdict::Suspect, Reason::Refused)
        }
    };
    for _ in 0..3 {
        registry.review(peer(1), seconds(1), verdict);
        registry.flush_touched(MonotonicNs(1));
    }
    let verdicts = |pipe: &Pipe| pipe.notices().iter().map(Notice::verdict).collect::<Vec<_>>();
    assert_eq!(
        (verdicts(&here), verdicts(&there)),
        (vec![Verdict::Dead], vec![Verdict::Suspect])
    );
    assert_eq!(registry.seq(), 2);
}

#[test]
fn a_reader_that_is_behind_gets_the_newest_state_and_nothing_in_between() {
    let mut registry = Registry::new(Limits::default());
    let pipe = Pipe::with_room(0);
    let id = join(&mut registry, HERE, &pipe, &[peer(1)]);
    for round in 0..1_000 {
        registry.review(
            peer(1),
            seconds(round),
            |_| if round % 2 == 0 { dead() } else { alive() },
        );
        registry.flush_touched(MonotonicNs(1));
    }
    assert!(
        pipe.woken.load(Ordering::Relaxed) > 0,
        "its session was not told to go on"
    );
    pipe.room.store(100_000, Ordering::Relaxed);
    assert_eq!(registry.flush(id, MonotonicNs(2)), Flush::Empty);
    let told = pipe.notices();
    assert!(told.len() < 1_000, "{} notices", told.len());
    assert_eq!(
        told.last().map(|notice| (notice.verdict(), notice.seq)),
        Some((Verdict::Alive, 1_000))
    );
}

#[test]
fn a_reader_that_never_reads_costs_bounded_memory() {
    let mut registry = Registry::new(Limits::default());
    let pipe = Pipe::with_room(0);
    let peers: Vec<_> = (0..2_000).map(peer).collect();
    let id = join(&mut registry, HERE, &pipe, &peers);
    for round in 0..100 {
        for peer in &peers {
            registry.review(*peer, seconds(round), |_| if round % 2 == 0 { dead() } else { alive() });
        }
        for socket in 0..2_000 {
            registry.tell_of_connection(&connection(round * 2_000 + socket, HERE));
        }
        registry.flush_touched(MonotonicNs(round));
    }
    assert!(registry.backlog(id) < 20 * 1024, "{} bytes", registry.backlog(id));
    pipe.room.store(usize::MAX, Ordering::Relaxed);
    registry.flush(id, MonotonicNs(1));
    let told = pipe.notices();
    let connections = told.iter().filter(|notice| notice.socket_cookie != 0).count();
    // What had been encoded before the reader was known to be behind comes on top.
    assert!(connections <= CONNECTIONS_MAX + 1_000, "{connections}");
    let newest: Vec<_> = peers
        .iter()
        .map(|peer| {
            told.iter()
                .rfind(|n| n.peer == Some((*peer).into()) && n.socket_cookie == 0)
        })
        .collect();
    assert!(
        newest
            .iter()
            .all(|notice| notice.is_some_and(|n| n.verdict() == Verdict::Alive))
    );
}

#[test]
fn frames_written_in_pieces_arrive_whole() {
    let mut registry = Registry::new(Limits::default());
    let pipe = Pipe::with_room(0);
    let peers: Vec<_> = (0..50).map(peer).collect();
    let id = join(&mut registry, HERE, &pipe, &peers);
    for peer in &peers {
        registry.review(*peer, seconds(1), |_| dead());
    }
    let mut now = 0;
    loop {
        now += 1;
        pipe.room.store(7, Ordering::Relaxed);
        if registry.flush(id, MonotonicNs(now)) == Flush::Empty {
            break;
        }
    }
    assert_eq!(pipe.notices().len(), 50);
}

#[test]
fn how_long_a_reader_is_behind_counts_from_the_last_byte_it_took() {
    let mut registry = Registry::new(Limits::default());
    let pipe = Pipe::with_room(0);
    let id = join(&mut registry, HERE, &pipe, &[peer(1)]);
    assert_eq!(registry.blocked_for(id, MonotonicNs(99)), Duration::ZERO);
    registry.review(peer(1), seconds(1), |_| dead());
    for now in [100, 200] {
        assert_eq!(registry.flush(id, MonotonicNs(now)), Flush::Blocked);
    }
    assert_eq!(registry.blocked_for(id, MonotonicNs(300)), Duration::from_nanos(200));
    pipe.room.store(1, Ordering::Relaxed);
    registry.flush(id, MonotonicNs(400));
    assert_eq!(registry.blocked_for(id, MonotonicNs(450)), Duration::from_nanos(50));
}

#[test]
fn news_of_a_connection_goes_to_its_namespace_once_and_in_its_newest_form() {
    let mut registry = Registry::new(Limits::default());
    let (here, there, other) = (Pipe::with_room(0), Pipe::with_room(10_000), Pipe::with_room(10_000));
    let id = join(&mut registry, HERE, &here, &[peer(1)]);
    join(&mut registry, THERE, &there, &[peer(1)]);
    join(&mut registry, HERE, &other, &[peer(2)]);
    for _ in 0..5 {
        registry.tell_of_connection(&connection(9, HERE));
    }
    registry.flush_touched(MonotonicNs(1));
    here.room.store(10_000, Ordering::Relaxed);
    registry.flush(id, MonotonicNs(2));
    let told: Vec<_> = here.notices().iter().map(|n| (n.socket_cookie, n.seq)).collect();
    assert_eq!(told, [(9, 5)]);
    assert!(there.read().is_empty() && other.read().is_empty());
}

#[test]
fn a_socket_that_dialled_somebody_else_has_news_of_both() {
    let mut registry = Registry::new(Limits::default());
    let pipe = Pipe::with_room(0);
    let id = join(&mut registry, HERE, &pipe, &[peer(1), peer(2)]);
    for to in [peer(1), peer(2), peer(1)] {
        registry.tell_of_connection(&ConnectionNews {
            peer: to,
            ..connection(9, HERE)
        });
    }
    pipe.room.store(10_000, Ordering::Relaxed);
    registry.flush(id, MonotonicNs(1));
    let told: Vec<_> = pipe.notices().iter().map(|n| (n.peer.clone(), n.seq)).collect();
    assert_eq!(told, [(Some(peer(2).into()), 2), (Some(peer(1).into()), 3)]);
}

#[test]
fn after_the_last_words_nothing_is_said() {
    let mut registry = Registry::new(Limits::default());
    let pipe = Pipe::with_room(10_000);
    let id = join(&mut registry, HERE, &pipe, &[peer(1)]);
    registry.review(peer(1), seconds(1), |_| dead());
    registry.close(id, Message::Goodbye(obit_protocol::Goodbye::default()));
    registry.review(peer(1), seconds(1), |_| alive());
    registry.tell_of_connection(&connection(9, HERE));
    registry.beat(id, obit_protocol::Heartbeat::default());
    registry.flush(id, MonotonicNs(1));
    assert!(matches!(pipe.read().as_slice(), [Message::Goodbye(_)]));
}

#[test]
fn watching_and_leaving_are_counted_and_bounded() {
    let mut registry = Registry::new(Limits {
        subscribers: 2,
        peers: 2,
        watches: 3,
    });
    let pipe = Pipe::with_room(0);
    let wire = || Arc::clone(&pipe) as Arc<dyn Wire>;
    let unknown = |_| Standing::UNKNOWN;
    let first = registry.join(HERE, wire()).unwrap();
    let second = registry.join(THERE, wire()).unwrap();
    assert_eq!(registry.join(HERE, wire()), Err(Full::Subscribers(2)));
    assert_eq!(registry.watch(first, peer(1), unknown), Ok(true));
    assert_eq!(registry.watch(first, peer(1), unknown), Ok(false), "twice is once");
    assert_eq!(registry.watch(first, peer(2), unknown), Ok(true));
    assert_eq!(registry.watch(first, peer(3), unknown), Err(Full::Peers(2)));
    assert_eq!(
        registry.watch(second, peer(1), unknown),
        Ok(false),
        "somebody else does"
    );
    assert_eq!(registry.watch(second, peer(3), unknown), Err(Full::Watches(3)));
    assert!(!registry.unwatch(first, peer(1)), "somebody else still does");
    assert!(!registry.unwatch(first, peer(1)), "it had been done");
    assert!(registry.unwatch(second, peer(1)));
    assert!(registry.unwatch(first, peer(2)));
    registry.leave(first);
    assert_eq!((registry.subscribers(), registry.peers(), registry.watches), (1, 0, 0));
    assert!(registry.join(HERE, wire()).is_ok_and(|id| id != first));
}

#[test]
fn a_fall_that_comes_too_soon_is_looked_at_again_later_and_told_if_it_still_holds() {
    let mut registry = Registry::new(Limits::default());
    let pipe = Pipe::with_room(10_000);
    join(&mut registry, HERE, &pipe, &[peer(1)]);
    let told = |registry: &mut Registry, at_ms: u64, standing: Standing| {
        let at = seconds(10) + Duration::from_millis(at_ms);
        registry.review(peer(1), at, |_| standing);
        registry.flush_touched(at);
        pipe.notices().iter().map(Notice::verdict).collect::<Vec<_>>()
    };
    let suspect = standing(Verdict::Suspect, Reason::AllClosed);
    assert_eq!(told(&mut registry, 0, suspect), [Verdict::Suspect]);
    assert_eq!(
        told(&mut registry, 1, alive()),
        [Verdict::Alive],
        "good news is never late"
    );
    assert_eq!(registry.next_deadline(), None);
    assert_eq!(told(&mut registry, 2, suspect), []);
    let due = seconds(11);
    assert_eq!(registry.next_deadline(), Some(due));
    assert_eq!(registry.pop_due(MonotonicNs(due.0 - 1)), None);
    assert_eq!(registry.pop_due(due), Some(peer(1)));
    assert_eq!((registry.pop_due(due), registry.next_deadline()), (None, None));
    assert_eq!(told(&mut registry, 1_000, suspect), [Verdict::Suspect]);
}

#[test]
fn the_addresses_a_namespace_watches_are_counted_once_each() {
    let mut registry = Registry::new(Limits::default());
    let pipe = Pipe::with_room(0);
    let another_port = SocketAddr::new(peer(1).ip(), 9_090);
    let first = join(&mut registry, HERE, &pipe, &[peer(1), another_port, peer(2)]);
    let second = join(&mut registry, HERE, &pipe, &[peer(1)]);
    join(&mut registry, THERE, &pipe, &[peer(3)]);
    let here = NetnsCookie(1);
    assert_eq!(registry.addresses(here, peer(1).ip()), (2, true));
    assert_eq!(registry.addresses(here, peer(3).ip()), (2, false));
    registry.unwatch(first, peer(1));
    registry.unwatch(second, peer(1));
    assert_eq!(
        registry.addresses(here, peer(1).ip()),
        (2, true),
        "its other port is watched"
    );
    registry.unwatch(first, another_port);
    assert_eq!(registry.addresses_of(here).collect::<Vec<_>>(), [peer(2).ip()]);
    registry.unwatch(first, peer(2));
    assert_eq!(registry.addresses(here, peer(2).ip()), (0, false));
}
