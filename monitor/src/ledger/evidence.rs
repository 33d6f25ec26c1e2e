//! Evidence: observations of one kind, remembered for as long as they count. The ledger's entries are made of these.

use std::collections::BTreeMap;
use std::time::Duration;

use obit_protocol::{Reason, Verdict};

use super::Standing;
use crate::sighting::{MonotonicNs, NetnsCookie, Sighting, SocketCookie};

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

    /// Seen again, without being another observation.
    pub(super) fn renew(slot: &mut Option<Self>, at: MonotonicNs) {
        if let Some(known) = slot
            && known.holds(at)
        {
            known.last = known.last.max(at);
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
    /// What was seen before another namespace was answered: see [`Self::answered`].
    doubted: BTreeMap<NetnsCookie, Evidence>,
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

    /// The peer answered a dial from `netns`. What that namespace saw is void. What others saw says nothing to anyone else
    /// any more, and to themselves only that they should ask: the peer may be back, or be kept from them alone.
    pub(super) fn answered(&mut self, netns: NetnsCookie) {
        self.agreed = None;
        self.doubted.remove(&netns);
        self.seen.remove(&netns);
        self.seen.remove(&NetnsCookie::UNKNOWN);
        if !netns.is_known() {
            self.doubted.clear();
            self.seen.clear();
        }
        while let Some((other, evidence)) = self.seen.pop_first() {
            make_room(&mut self.doubted, other, Evidence::last);
            self.doubted.insert(other, evidence);
        }
    }

    /// What this namespace saw is void, and with it what it agreed to.
    pub(super) fn void(&mut self, netns: NetnsCookie) {
        self.seen.remove(&netns);
        self.doubted.remove(&netns);
        self.agreed = None;
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
        let doubted = netns.and_then(|netns| self.doubted.get(&netns));
        let earliest = self
            .seen
            .values()
            .chain(doubted)
            .filter(|evidence| evidence.holds(now))
            .min_by_key(|evidence| evidence.first);
        earliest.map(|evidence| evidence.standing(Verdict::Suspect, reason))
    }

    pub(super) fn sweep(&mut self, now: MonotonicNs) {
        self.seen.retain(|_, evidence| evidence.holds(now));
        self.doubted.retain(|_, evidence| evidence.holds(now));
        sweep(&mut self.agreed, now);
    }

    pub(super) fn expires(&self) -> Option<MonotonicNs> {
        let all = self.seen.values().chain(self.doubted.values()).chain(&self.agreed);
        all.map(Evidence::expires).min()
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len() + self.doubted.len()
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

impl Silent {
    /// The one a sighting is about.
    pub(super) fn of(sighting: &Sighting) -> Self {
        Self {
            socket: sighting.socket,
            port: sighting.peer.port(),
        }
    }
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

    /// Whether what fell silent at `at` did so within `together` of a silence that counts already. Compared with where each
    /// began, not with its latest: a steady stream does not make one of all.
    pub(super) fn began_beside(&self, at: MonotonicNs, together: Duration) -> bool {
        let known = self.first.map(|(_, evidence)| evidence);
        known.is_some_and(|evidence| evidence.holds(at) && evidence.first.distance(at) <= together)
    }

    /// The silence goes on.
    pub(super) fn renew(&mut self, at: MonotonicNs) {
        if let Some((_, evidence)) = &mut self.first
            && evidence.holds(at)
        {
            evidence.last = evidence.last.max(at);
        }
        Evidence::renew(&mut self.more, at);
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

    /// All that is held.
    pub(super) fn evidence(&self) -> impl Iterator<Item = Evidence> {
        self.first.map(|(_, evidence)| evidence).into_iter().chain(self.more)
    }

    pub(super) fn newest(&self) -> Option<Evidence> {
        self.evidence().max_by_key(Evidence::last)
    }
}
