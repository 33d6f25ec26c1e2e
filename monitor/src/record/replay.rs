//! Replays a recording: gives ledger and registry, in a hub of their own, what they were given then, and tells what
//! subscribers were told. Time comes from the recording; the same entries give the same news, in the same order.
//!
//! In the place of the recording's subscribers stands one observer for each of their namespaces, which watches what any of
//! them watched for as long as any of them did: to the ledger and to the registry that is the same, and each thing is told
//! once. Or one observer in a namespace of the reader's choice watches what anybody watched.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use obit_protocol::{FrameCodec, MonitorMessage, Notice, monitor_message::Message};
use tokio_util::codec::Decoder as _;

use super::format::{Entry, Header, Offset, Why};
use crate::hub::{Filter, Hub};
use crate::registry::{Limits, SubscriberId, Wire};
use crate::sighting::{MonotonicNs, NetnsCookie};

/// What a replay has to tell.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// Subscribers in a namespace were told something.
    Notice {
        /// When.
        now: Offset,
        /// The namespace; `None` if it is not known.
        netns: Option<NetnsCookie>,
        /// What. Its sequence number means something only if nothing was cut out of the recording.
        notice: Notice,
        /// Whether it was known before it was asked for.
        known_before: bool,
    },
    /// The kernel half had lost sightings: what is told from here on may be told too late, or be missing.
    Lost {
        /// When that was noticed.
        now: Offset,
        /// How many by then.
        total: u64,
    },
    /// The kernel half was not heard any more, or was again.
    Hearing {
        /// When that was noticed.
        now: Offset,
        /// Since when it was not; `None` if it was again.
        deaf_since: Option<Offset>,
    },
    /// The recording has a gap: what is told from here on may not be what was told then.
    Missing {
        /// When it goes on.
        now: Offset,
        /// How many entries are missing.
        entries: u64,
    },
    /// The recording ended as it should.
    End {
        /// When.
        now: Offset,
        /// Why.
        why: Why,
    },
}

/// A replay under way.
#[derive(Debug)]
pub struct Replay {
    hub: Hub,
    start: MonotonicNs,
    only: Option<NetnsCookie>,
    observers: BTreeMap<Option<NetnsCookie>, Observer>,
}

#[derive(Debug)]
struct Observer {
    id: SubscriberId,
    paper: Arc<Paper>,
    /// Which subscribers watch each peer.
    watching: BTreeMap<SocketAddr, BTreeSet<u64>>,
}

impl Replay {
    /// Nothing has happened yet. With `only`, an observer in that namespace is told of everything anybody watched
    /// ([`NetnsCookie::UNKNOWN`]: one whose namespace is not known).
    #[must_use]
    pub fn new(header: &Header, only: Option<NetnsCookie>) -> Self {
        // What was more than the daemon's limits did not get into the recording.
        let limits = Limits {
            subscribers: usize::MAX,
            peers: usize::MAX,
            watches: usize::MAX,
        };
        Self {
            hub: Hub::new(limits, Box::new(NoKernel), header.start())
                .with_virtual_addresses(header.virtual_addresses.clone()),
            start: header.start(),
            only,
            observers: BTreeMap::new(),
        }
    }

    /// Goes on by one entry; appends what was told because of it.
    pub fn step(&mut self, entry: &Entry, news: &mut Vec<News>) {
        let now = entry.now();
        let at = now.from(self.start);
        match entry {
            Entry::Watch {
                subscriber,
                netns,
                peers,
                ..
            } => self.watch(now, *subscriber, *netns, peers, news),
            Entry::Unwatch { subscriber, peers, .. } => self.unwatch(*subscriber, peers),
            Entry::Saw { sightings, .. } => {
                let sightings: Vec<_> = sightings.iter().map(|saw| saw.sighting(self.start)).collect();
                self.hub.observe(at, &sightings);
            }
            Entry::Heard { peers, .. } => self.hub.hear(at, peers),
            Entry::Expire { .. } => self.hub.expire(at),
            Entry::Lost { total, .. } => {
                self.hub.note_losses(at, *total);
                news.push(News::Lost { now, total: *total });
            }
            Entry::Hearing { deaf_since, .. } => {
                let since = deaf_since.map(|since| since.from(self.start));
                self.hub.note_hearing(at, since);
                news.push(News::Hearing {
                    now,
                    deaf_since: *deaf_since,
                });
            }
            Entry::Missing { entries, .. } => news.push(News::Missing { now, entries: *entries }),
            Entry::End { why, .. } => news.push(News::End { now, why: *why }),
        }
        self.listen(now, news);
    }

    fn watch(
        &mut self,
        now: Offset,
        subscriber: u64,
        netns: Option<NetnsCookie>,
        peers: &[SocketAddr],
        news: &mut Vec<News>,
    ) {
        let at = now.from(self.start);
        let netns = self.only.or(netns).filter(|netns| netns.is_known());
        let observer = self.observers.entry(netns).or_insert_with(|| {
            let paper = Arc::new(Paper::default());
            let id = self.hub.join(netns, Arc::clone(&paper) as Arc<dyn Wire>);
            Observer {
                id: id.expect("nothing is limited here"),
                paper,
                watching: BTreeMap::new(),
            }
        });
        for peer in peers {
            observer.watching.entry(*peer).or_default().insert(subscriber);
        }
        let known = self.hub.watch(observer.id, peers, at).expect("nothing is limited here");
        news.extend(known.into_iter().map(|notice| News::Notice {
            now,
            netns,
            notice,
            known_before: true,
        }));
        self.hub.flush(observer.id, at);
    }

    /// Whoever no subscriber watches any more, their observer does not either.
    fn unwatch(&mut self, subscriber: u64, peers: &[SocketAddr]) {
        for observer in self.observers.values_mut() {
            for peer in peers {
                let Some(watchers) = observer.watching.get_mut(peer) else {
                    continue;
                };
                if watchers.remove(&subscriber) && watchers.is_empty() {
                    observer.watching.remove(peer);
                    self.hub.unwatch(observer.id, &[*peer]);
                }
            }
        }
    }

    /// Appends what the observers were told.
    fn listen(&self, now: Offset, news: &mut Vec<News>) {
        for (netns, observer) in &self.observers {
            news.extend(observer.paper.read().into_iter().map(|notice| News::Notice {
                now,
                netns: *netns,
                notice,
                known_before: false,
            }));
        }
    }
}

/// A wire that takes everything and keeps it.
#[derive(Debug, Default)]
pub(super) struct Paper(Mutex<BytesMut>);

impl Paper {
    pub(super) fn read(&self) -> Vec<Notice> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut codec = FrameCodec::<MonitorMessage, MonitorMessage>::default();
        let mut notices = Vec::new();
        // The registry's own frames: they are whole, and only notices were asked for.
        while let Ok(Some(message)) = codec.decode(&mut bytes) {
            if let Some(Message::Notice(notice)) = message.message {
                notices.push(notice);
            }
        }
        notices
    }
}

impl Wire for Paper {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn wake(&self) {}
}

/// There is nobody to look at anything.
pub(super) struct NoKernel;

impl Filter for NoKernel {
    fn insert(&mut self, _: IpAddr) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: IpAddr) -> io::Result<()> {
        Ok(())
    }
}
