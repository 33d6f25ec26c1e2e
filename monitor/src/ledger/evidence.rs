//! Evidence: observations of one kind, remembered for as long as they count. The ledger's entries are made of these.

use std::collections::BTreeMap;
use std::time::Duration;

use obit_protocol::{Reason, Verdict};

use super::Standing;
use crate::sighting::{MonotonicNs, NetnsCookie, SocketCookie};

/// How long evidence counts after it was last seen.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// Two namespaces agree if they saw the same within this time.
pub const AGREEMENT: Duration = Duration::from_secs(1);

/// How many namespaces are remembered per fact; a node runs a few hundred pods.
pub const WITNESSES_MAX: usize = 1_024;

/// Observations of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Evidence {
    first: MonotonicNs,
    last: MonotonicNs,
    count: u32,
}

impl Evidence {
    /// Adds an observation; what had expired by then no longer counts.
    pub(super) fn note(slot: &mut Option<Self>, at: MonotonicNs) {
        match slot {
            Some(known) if known.holds(at) => {
                known.last = known.last.max(at);
                known.count = known.count.saturating_add(1);
            }
            _ => {
                *slot = Some(Self {
                    first: at,
                    last: at,
                    count: 1,
                });
            }
        }
    }

    /// Whether it still counts.
    pub(super) fn holds(&self, now: MonotonicNs) -> bool {
        now < self.expires()
    }

    /// From when on it does not count.
    pub(super) fn expires(&self) -> MonotonicNs {
        self.last + LIFETIME
    }

    pub(super) fn last(&self) -> MonotonicNs {
        self.last
    }

    pub(super) fn first(&self) -> MonotonicNs {
        self.first
    }

    pub(super) fn standing(&self, verdict: Verdict, reason: Reason) -> Standing {
        Standing {
            verdict,
            reason,
            evidence: self.count,
            at: self.first,
        }
    }
}

/// The evidence in the slot, if it still counts.
pub(super) fn holding(slot: Option<Evidence>, now: MonotonicNs) -> Option<Evidence> {
    slot.filter(|evidence| evidence.holds(now))
}

/// Empties the slot if what it holds no longer counts.
pub(super) fn sweep(slot: &mut Option<Evidence>, now: MonotonicNs) {
    *slot = holding(*slot, now);
}

/// Who saw one hard fact (a refusal, no way there), and whether two agreed.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    seen: BTreeMap<NetnsCookie, Evidence>,
    agreed: Option<Evidence>,
}

impl Witnesses {
    pub(super) fn note(&mut self, netns: NetnsCookie, at: MonotonicNs) {
        let another = |(who, evidence): (&NetnsCookie, &Evidence)| {
            *who != netns && who.is_known() && evidence.last.distance(at) <= AGREEMENT
        };
        if netns.is_known() && self.seen.iter().any(another) {
            Evidence::note(&mut self.agreed, at);
        }
        make_room(&mut self.seen, netns, |evidence| evidence.last);
        let mut slot = self.seen.remove(&netns);
        Evidence::note(&mut slot, at);
        self.seen.extend(slot.map(|evidence| (netns, evidence)));
    }

    /// The standing this gives a peer for a subscriber in `netns`.
    pub(super) fn standing(&self, netns: Option<NetnsCookie>, now: MonotonicNs, reason: Reason) -> Option<Standing> {
        let own = netns.and_then(|netns| self.seen.get(&netns)).copied();
        if let Some(evidence) = holding(own, now)
            .into_iter()
            .chain(holding(self.agreed, now))
            .min_by_key(Evidence::first)
        {
            return Some(evidence.standing(Verdict::Dead, reason));
        }
        let earliest = self
            .seen
            .values()
            .filter(|evidence| evidence.holds(now))
            .min_by_key(|evidence| evidence.first);
        earliest.map(|evidence| evidence.standing(Verdict::Suspect, reason))
    }

    pub(super) fn sweep(&mut self, now: MonotonicNs) {
        self.seen.retain(|_, evidence| evidence.holds(now));
        sweep(&mut self.agreed, now);
    }

    pub(super) fn expires(&self) -> Option<MonotonicNs> {
        self.seen.values().chain(&self.agreed).map(Evidence::expires).min()
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }
}

/// Keeps the map bounded: before a newcomer enters a full one, the entry that was stalest leaves.
pub(super) fn make_room<T>(
    map: &mut BTreeMap<NetnsCookie, T>,
    newcomer: NetnsCookie,
    last: impl Fn(&T) -> MonotonicNs,
) {
    if map.len() >= WITNESSES_MAX && !map.contains_key(&newcomer) {
        let stalest = map.iter().min_by_key(|(_, entry)| last(entry)).map(|(netns, _)| *netns);
        stalest.map(|netns| map.remove(&netns));
    }
}

/// Silence of an address: sockets that got no answer. The first is remembered by name, so that a second one is known to
/// be another; beyond that only the number counts.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Silence {
    first: Option<(Silent, Evidence)>,
    more: Option<Evidence>,
}

/// A socket that got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Silent {
    pub(super) socket: SocketCookie,
    pub(super) port: u16,
}

/// Which socket of a silence an observation was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The first one, for the first time.
    First,
    /// The first one again.
    FirstAgain,
    /// The second; the first is given.
    Second(Silent),
    /// Another one after two or more.
    Further,
}

impl Silence {
    pub(super) fn note(&mut self, silent: Silent, at: MonotonicNs) -> Order {
        self.sweep(at);
        match &mut self.first {
            Some((first, evidence)) if first.socket == silent.socket => {
                evidence.last = evidence.last.max(at);
                Order::FirstAgain
            }
            Some((first, _)) => {
                let order = if self.more.is_some() {
                    Order::Further
                } else {
                    Order::Second(*first)
                };
                Evidence::note(&mut self.more, at);
                order
            }
            None => {
                let mut evidence = None;
                Evidence::note(&mut evidence, at);
                self.first = evidence.map(|evidence| (silent, evidence));
                if self.more.is_none() {
                    return Order::First;
                }
                Evidence::note(&mut self.more, at);
                Order::Further
            }
        }
    }

    /// One socket's silence.
    pub(super) fn once(&self, now: MonotonicNs) -> Option<Evidence> {
        holding(self.first.map(|(_, evidence)| evidence), now).or(self.twice(now))
    }

    /// The silence of two or more sockets, from when the second fell silent.
    pub(super) fn twice(&self, now: MonotonicNs) -> Option<Evidence> {
        let more = holding(self.more, now)?;
        Some(Evidence {
            count: more.count.saturating_add(1),
            ..more
        })
    }

    pub(super) fn sweep(&mut self, now: MonotonicNs) {
        self.first = self.first.filter(|(_, evidence)| evidence.holds(now));
        sweep(&mut self.more, now);
    }

    pub(super) fn expires(&self) -> Option<MonotonicNs> {
        let first = self.first.map(|(_, evidence)| evidence.expires());
        first.into_iter().chain(self.more.map(|more| more.expires())).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_none()
    }

    pub(super) fn last(&self) -> Option<MonotonicNs> {
        let first = self.first.map(|(_, evidence)| evidence.last);
        first.max(self.more.map(|more| more.last))
    }
}
