//! What holds for any sequence of calls of the hub.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use obit_protocol::{Notice, Snapshot, monitor_message::Message};
use proptest::prelude::*;

use super::{START, header};
use crate::hub::Hub;
use crate::record::decode::decode;
use crate::record::format::{Entry, Offset, Saw, Why, encode};
use crate::record::recorder::recorder;
use crate::record::replay::{News, NoKernel, Paper, Replay};
use crate::registry::{Limits, SubscriberId, Wire};
use crate::sighting::strategy::any_observation;
use crate::sighting::{MonotonicNs, NetnsCookie, Sighting, SocketCookie};

fn any_duration() -> impl Strategy<Value = Duration> {
    (0_u64..200_000_000).prop_map(Duration::from_nanos)
}

/// Two addresses with two ports each, and one that means something only within its namespace.
fn any_peer() -> impl Strategy<Value = SocketAddr> {
    prop::sample::select(vec![
        "198.18.0.2:80",
        "198.18.0.2:81",
        "198.18.0.3:80",
        "[fd00::3]:81",
        "127.0.0.1:80",
    ])
    .prop_map(|peer| peer.parse().unwrap())
}

fn any_netns() -> impl Strategy<Value = NetnsCookie> {
    (0_u64..4).prop_map(NetnsCookie)
}

/// A sighting, and how long before the call it was made.
fn any_sighting() -> impl Strategy<Value = (Duration, Sighting)> {
    (
        any_duration(),
        any_netns(),
        any::<bool>(),
        0_u64..6,
        any_peer(),
        any_observation(any_duration(), any_duration()),
    )
        .prop_map(|(before, netns, in_user_ns, socket, peer, what)| {
            let sighting = Sighting {
                in_user_ns,
                at: START,
                netns,
                socket: SocketCookie(socket),
                peer,
                what,
            };
            (before, sighting)
        })
}

/// A call of the hub; subscribers by their place among those who are there.
#[derive(Debug, Clone)]
enum Call {
    Join(Option<NetnsCookie>),
    Watch(usize, Vec<SocketAddr>),
    Unwatch(usize, Vec<SocketAddr>),
    Leave(usize),
    Saw(Vec<(Duration, Sighting)>),
    Expire,
    Lost(u64),
    Deaf(bool),
}

fn any_call() -> impl Strategy<Value = Call> {
    let peers = || prop::collection::vec(any_peer(), 0..4);
    prop_oneof![
        1 => prop::option::of(any_netns()).prop_map(Call::Join),
        3 => (0_usize..8, peers()).prop_map(|(who, peers)| Call::Watch(who, peers)),
        1 => (0_usize..8, peers()).prop_map(|(who, peers)| Call::Unwatch(who, peers)),
        1 => (0_usize..8).prop_map(Call::Leave),
        8 => prop::collection::vec(any_sighting(), 0..6).prop_map(Call::Saw),
        3 => Just(Call::Expire),
        1 => (0_u64..3).prop_map(Call::Lost),
        1 => any::<bool>().prop_map(Call::Deaf),
    ]
}

/// Calls, and how long after the one before each comes: sometimes long enough for everything to expire.
fn script() -> impl Strategy<Value = Vec<(Duration, Call)>> {
    let gap = prop_oneof![9 => 0_u64..300, 2 => 900_u64..3_000, 1 => 50_000_u64..70_000];
    prop::collection::vec((gap.prop_map(Duration::from_millis), any_call()), 0..60)
}

/// What was told, in order: when, to whom, what, and whether it was known before. What is told to several of one namespace
/// is told once.
type Told = Vec<(Offset, Option<NetnsCookie>, Notice, bool)>;

struct Subscriber {
    id: SubscriberId,
    netns: Option<NetnsCookie>,
    paper: Arc<Paper>,
}

/// A hub with subscribers, as sessions drive it.
struct Live {
    hub: Hub,
    subscribers: Vec<Subscriber>,
    told: Told,
    lost: u64,
}

impl Live {
    fn new() -> Self {
        Self {
            hub: Hub::new(Limits::default(), Box::new(NoKernel), START),
            // So that most calls concern somebody.
            subscribers: Vec::new(),
            told: Vec::new(),
            lost: 0,
        }
    }

    fn who(&self, place: usize) -> Option<usize> {
        (!self.subscribers.is_empty()).then(|| place % self.subscribers.len())
    }

    fn call(&mut self, now: MonotonicNs, call: &Call) {
        match call {
            Call::Join(netns) => {
                let paper = Arc::new(Paper::default());
                let id = self.hub.join(*netns, Arc::clone(&paper) as Arc<dyn Wire>).unwrap();
                let netns = netns.filter(|netns| netns.is_known());
                self.subscribers.push(Subscriber { id, netns, paper });
            }
            Call::Watch(who, peers) => {
                if let Some(who) = self.who(*who) {
                    let Subscriber { id, netns, .. } = self.subscribers[who];
                    let known = self.hub.watch(id, peers, now).unwrap();
                    let offset = Offset::of(now, START);
                    self.told
                        .extend(known.into_iter().map(|notice| (offset, netns, notice, true)));
                    self.hub.reply(id, Message::Snapshot(Snapshot::default()), now);
                }
            }
            Call::Unwatch(who, peers) => {
                if let Some(who) = self.who(*who) {
                    self.hub.unwatch(self.subscribers[who].id, peers);
                }
            }
            Call::Leave(who) => {
                if let Some(who) = self.who(*who) {
                    let gone = self.subscribers.remove(who);
                    while !self.hub.leave(gone.id) {}
                }
            }
            Call::Saw(sightings) => {
                let sightings: Vec<_> = sightings
                    .iter()
                    .map(|(before, sighting)| Sighting {
                        at: now - *before,
                        ..*sighting
                    })
                    .collect();
                self.hub.observe(now, &sightings);
            }
            Call::Expire => self.hub.expire(now),
            Call::Deaf(deaf) => self.hub.note_hearing(now, deaf.then_some(now)),
            Call::Lost(more) => {
                self.lost += more;
                self.hub.note_losses(now, self.lost);
            }
        }
        self.listen(now);
    }

    fn listen(&mut self, now: MonotonicNs) {
        let mut news = BTreeMap::new();
        for Subscriber { netns, paper, .. } in &self.subscribers {
            for notice in paper.read() {
                let same = news.insert((*netns, notice.seq, notice.socket_cookie), notice.clone());
                assert!(same.is_none_or(|same| same == notice), "one number, two notices");
            }
        }
        let now = Offset::of(now, START);
        self.told.extend(
            news.into_iter()
                .map(|((netns, ..), notice)| (now, netns, notice, false)),
        );
    }
}

/// What a replay tells, entry by entry in the order of [`Live::listen`].
fn replayed(entries: &[Entry]) -> Told {
    let mut replay = Replay::new(&header(), None);
    let (mut told, mut news) = (Vec::new(), Vec::new());
    for entry in entries {
        replay.step(entry, &mut news);
        let begin = told.len();
        told.extend(news.drain(..).filter_map(|news| match news {
            News::Notice {
                now,
                netns,
                notice,
                known_before,
            } => Some((now, netns, notice, known_before)),
            _ => None,
        }));
        let fresh = &mut told[begin..];
        fresh.sort_by_key(|(_, netns, notice, known)| {
            (
                !known,
                if *known { None } else { *netns },
                if *known { 0 } else { notice.seq },
            )
        });
    }
    told
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let now = || any::<i64>().prop_map(Offset);
    let peers = || prop::collection::vec(any_peer(), 0..4);
    let sighting = (any::<i64>(), any_sighting()).prop_map(|(at, (_, sighting))| Saw {
        at: Offset(at),
        ..Saw::of(&sighting, START)
    });
    prop_oneof![
        (now(), 0_u64..4, prop::option::of(any_netns()), peers()).prop_map(|(now, subscriber, netns, peers)| {
            Entry::Watch {
                now,
                subscriber,
                netns,
                peers,
            }
        }),
        (now(), 0_u64..4, peers()).prop_map(|(now, subscriber, peers)| Entry::Unwatch { now, subscriber, peers }),
        (now(), prop::collection::vec(sighting, 0..4)).prop_map(|(now, sightings)| Entry::Saw { now, sightings }),
        now().prop_map(|now| Entry::Expire { now }),
        (now(), any::<u64>()).prop_map(|(now, total)| Entry::Lost { now, total }),
        (now(), any::<u64>()).prop_map(|(now, entries)| Entry::Missing { now, entries }),
        now().prop_map(|now| Entry::End { now, why: Why::Stopped }),
    ]
}

proptest! {
    #[test]
    fn a_recording_of_anything_tells_again_what_was_told(script in script()) {
        let mut live = Live::new();
        let (recorder, mut tape) = recorder(START, 10_000);
        live.hub.record(Some(recorder));
        for netns in 1..3 {
            live.call(START, &Call::Join(Some(NetnsCookie(netns))));
        }
        let mut now = START;
        for (gap, call) in &script {
            now = now + *gap;
            live.call(now, call);
        }
        live.hub.record(None);
        let entries: Vec<_> = std::iter::from_fn(|| tape.take()).collect();
        prop_assert_eq!(replayed(&entries), live.told);
    }

    #[test]
    fn any_entry_reads_back_as_it_was_written(entries in prop::collection::vec(any_entry(), 0..10)) {
        let mut file = Vec::new();
        encode(&header(), &mut file);
        let end = Entry::End { now: Offset(0), why: Why::Failed };
        let until = entries.iter().position(|entry| matches!(entry, Entry::End { .. })).unwrap_or(entries.len());
        let entries: Vec<_> = entries[..until].iter().cloned().chain([end]).collect();
        for entry in &entries {
            encode(entry, &mut file);
        }
        let recording = decode(&file).unwrap();
        prop_assert!(recording.error.is_none());
        prop_assert_eq!(recording.entries, entries);
    }

    #[test]
    fn no_entries_whatever_make_a_replay_panic_or_tell_something_else_next_time(
        entries in prop::collection::vec(any_entry(), 0..40)
    ) {
        prop_assert_eq!(replayed(&entries), replayed(&entries));
    }

    #[test]
    fn no_bytes_whatever_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes).is_err());
        let mut file = Vec::new();
        encode(&header(), &mut file);
        let offset = file.len() as u64;
        file.extend(&bytes);
        let recording = decode(&file).unwrap();
        prop_assert!(recording.error.is_some_and(|error| error.offset >= offset));
    }
}
