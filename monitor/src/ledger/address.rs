//! What is known of one address, whatever the port: whether there is a way to it, and who got no answer from it. The
//! ledger keeps one of these per watched address with evidence.

use std::collections::BTreeMap;
use std::time::Duration;

use obit_protocol::{Reason, Verdict};

use super::Standing;
use super::evidence::{Evidence, LIFETIME, Order, Silence, Silent, Witnesses, holding, make_room, sweep};
use crate::sighting::{MonotonicNs, NetnsCookie};

/// How long the kernel waits before it sends a SYN again (RFC 6298, `TCP_TIMEOUT_INIT`): a retransmitted SYN says that
/// one sent this long ago was not answered.
const SYN_RETRANSMIT_AFTER: Duration = Duration::from_secs(1);

/// How recent an answer must be to outweigh the end of a connection: half of what answers are remembered for, so that
/// it does not matter when they are forgotten.
const GIVING_UP: Duration = Duration::from_secs(LIFETIME.as_secs() / 2);

/// Dials begun within this time of one another are one question: what loses one SYN (a burst of loss, an accept queue that
/// was full for a moment) loses those beside it. The library asks a suspect by three dials within 6 ms.
const TOGETHER: Duration = Duration::from_millis(10);

/// How long at least the kernel waits before it sends a connection's data again (`TCP_RTO_MIN`).
const RETRANSMIT_AFTER: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(super) struct Address {
    answered: Option<MonotonicNs>,
    unreachable: Witnesses,
    /// A dial given up by the kernel: silence to the end weighs what "no way there" weighs.
    timed_out: Witnesses,
    views: BTreeMap<NetnsCookie, View>,
}

/// The silence one network namespace met.
#[derive(Debug, Default)]
struct View {
    dials: Silence,
    retransmitted: Option<Evidence>,
    connections: Silence,
    /// Established connections that were told there is no way.
    soft_errors: Option<Evidence>,
    /// What was known before another namespace was answered: a reason to ask, no more.
    doubted: Option<(Evidence, Reason)>,
}

impl View {
    fn evidence(&self) -> impl Iterator<Item = Evidence> {
        let doubted = self.doubted.map(|(evidence, _)| evidence);
        let silences = self.dials.evidence().chain(self.connections.evidence());
        silences
            .chain(self.retransmitted)
            .chain(self.soft_errors)
            .chain(doubted)
    }

    fn last(&self) -> MonotonicNs {
        self.evidence().map(|it| it.last()).max().unwrap_or_default()
    }

    fn sweep(&mut self, now: MonotonicNs) {
        self.dials.sweep(now);
        self.connections.sweep(now);
        sweep(&mut self.retransmitted, now);
        sweep(&mut self.soft_errors, now);
        self.doubted = self.doubted.filter(|(evidence, _)| evidence.holds(now));
    }

    fn is_empty(&self) -> bool {
        self.evidence().next().is_none()
    }

    fn expires(&self) -> Option<MonotonicNs> {
        self.evidence().map(|it| it.expires()).min()
    }

    /// Another namespace was answered: the peer may be back, or be kept from this namespace alone.
    fn doubt(&mut self) {
        let newest = [
            (self.dials.newest(), Reason::SynStalled),
            (self.retransmitted, Reason::SynRetransmit),
            (self.connections.newest(), Reason::Stalled),
            (self.soft_errors, Reason::Unreachable),
        ];
        let newest = newest
            .into_iter()
            .filter_map(|(evidence, reason)| Some((evidence?, reason)));
        let doubted = newest.chain(self.doubted).max_by_key(|(evidence, _)| evidence.last());
        *self = Self {
            doubted,
            ..Self::default()
        };
    }

    /// What this silence means to a subscriber that met it itself.
    fn own(&self, now: MonotonicNs) -> Standing {
        let dead = |evidence: Option<Evidence>, reason| evidence.map(|it| it.standing(Verdict::Dead, reason));
        // A connection and a dial, both without an answer: whichever fell silent last decided.
        let both = self
            .dials
            .once(now)
            .zip(self.connections.once(now))
            .map(|(dial, connection)| {
                if dial.first() > connection.first() {
                    dial.standing(Verdict::Dead, Reason::SynStalled)
                } else {
                    connection.standing(Verdict::Dead, Reason::Stalled)
                }
            });
        let doubted = self.doubted.filter(|(evidence, _)| evidence.holds(now));
        let doubted = doubted.map(|(evidence, reason)| evidence.standing(Verdict::Suspect, reason));
        self.elsewhere(now)
            .or_graver(doubted)
            .or_graver(dead(self.dials.twice(now), Reason::SynStalled))
            .or_graver(dead(holding(self.retransmitted, now), Reason::SynRetransmit))
            .or_graver(both)
    }

    /// What it means to everyone else: one namespace's silence may be its own fault.
    fn elsewhere(&self, now: MonotonicNs) -> Standing {
        let suspect = |evidence: Option<Evidence>, reason| evidence.map(|it| it.standing(Verdict::Suspect, reason));
        Standing::UNKNOWN
            .or_graver(suspect(self.dials.once(now), Reason::SynStalled))
            .or_graver(suspect(holding(self.retransmitted, now), Reason::SynRetransmit))
            .or_graver(suspect(self.connections.once(now), Reason::Stalled))
            .or_graver(suspect(holding(self.soft_errors, now), Reason::Unreachable))
    }
}

impl Address {
    /// The peer answered a dial from `netns`: what that namespace held against the address is void, and what others did is
    /// doubtful. Returns whether anything was held.
    pub(super) fn answered(&mut self, netns: NetnsCookie, at: MonotonicNs) -> bool {
        self.answered = self.answered.max(Some(at));
        let held = !self.views.is_empty() || self.unreachable.len() + self.timed_out.len() > 0;
        self.views
            .retain(|other, _| netns.is_known() && other.is_known() && *other != netns);
        self.views.values_mut().for_each(View::doubt);
        self.unreachable.answered(netns);
        self.timed_out.answered(netns);
        held
    }

    /// Another pod has the address now: what was held against the one before is void.
    pub(super) fn handed_over(&mut self) {
        *self = Self {
            answered: self.answered,
            ..Self::default()
        };
    }

    /// There is no way to the address. Returns whether that counts: not if a dial was answered later.
    pub(super) fn unreachable(&mut self, netns: NetnsCookie, at: MonotonicNs) -> bool {
        let counts = !self.answered_since(at);
        if counts {
            self.unreachable.note(netns, at);
        }
        counts
    }

    /// The kernel gave up on a dial. Returns whether that counts, as above.
    pub(super) fn dial_timed_out(&mut self, netns: NetnsCookie, at: MonotonicNs) -> bool {
        let counts = !self.answered_since(at);
        if counts {
            self.timed_out.note(netns, at);
        }
        counts
    }

    /// A dial that had met silence was given up: the silence lasted until then.
    pub(super) fn dial_abandoned(&mut self, netns: NetnsCookie, at: MonotonicNs) {
        if let Some(view) = self.views.get_mut(&netns) {
            view.dials.renew(at);
            Evidence::renew(&mut view.retransmitted, at);
        }
    }

    /// An established connection was told that there is no way. Returns whether it is the first.
    pub(super) fn soft_error(&mut self, netns: NetnsCookie, at: MonotonicNs) -> bool {
        let slot = &mut self.view(netns).soft_errors;
        sweep(slot, at);
        let first = slot.is_none();
        Evidence::note(slot, at);
        first
    }

    /// A dial got no answer in `waited`. Returns whether that counts: not if another was answered since it began, for
    /// then the address lives and dropped one SYN (a full accept queue does).
    pub(super) fn dial_stalled(
        &mut self,
        netns: NetnsCookie,
        silent: Silent,
        at: MonotonicNs,
        waited: Duration,
    ) -> bool {
        if self.answered_since(at - waited) {
            return false;
        }
        let dials = &mut self.view(netns).dials;
        if dials.began_beside(at, TOGETHER) {
            dials.renew(at);
        } else {
            dials.note(silent, at);
        }
        true
    }

    /// A SYN was sent again. Returns whether that counts, as above.
    pub(super) fn dial_retransmitted(&mut self, netns: NetnsCookie, at: MonotonicNs) -> bool {
        if self.answered_since(at - SYN_RETRANSMIT_AFTER) {
            return false;
        }
        Evidence::note(&mut self.view(netns).retransmitted, at);
        true
    }

    /// What silence said to this namespace is void.
    pub(super) fn void_silence(&mut self, netns: NetnsCookie) {
        self.views.remove(&netns);
        self.unreachable.void(netns);
        self.timed_out.void(netns);
    }

    /// A connection's data got no answer. `None` if that does not count: another dial was answered since that data was
    /// sent.
    pub(super) fn connection_stalled(&mut self, netns: NetnsCookie, silent: Silent, at: MonotonicNs) -> Option<Order> {
        if self.answered_since(at - RETRANSMIT_AFTER) {
            return None;
        }
        Some(self.view(netns).connections.note(silent, at))
    }

    /// The kernel gave up on a connection: the end of a silence that began long before. Returns whether it counts: not if
    /// a dial was answered lately, for then whoever has the address now lives, unless silence was met since.
    pub(super) fn connection_timed_out(&mut self, netns: NetnsCookie, silent: Silent, at: MonotonicNs) -> bool {
        let silence = self.views.get(&netns).and_then(|view| view.connections.once(at));
        let counts = silence.is_some() || !self.answered_since(at - GIVING_UP);
        if counts {
            self.view(netns).connections.note(silent, at);
        }
        counts
    }

    pub(super) fn standing(&self, netns: Option<NetnsCookie>, now: MonotonicNs) -> Standing {
        let own = netns.filter(|netns| netns.is_known());
        let views = self.views.iter().map(|(seen_in, view)| {
            if Some(*seen_in) == own {
                view.own(now)
            } else {
                view.elsewhere(now)
            }
        });
        views
            .fold(Standing::UNKNOWN, |worst, view| worst.or_graver(Some(view)))
            .or_graver(self.unreachable.standing(own, now, Reason::Unreachable))
            .or_graver(self.timed_out.standing(own, now, Reason::SynTimeout))
    }

    pub(super) fn sweep(&mut self, now: MonotonicNs) {
        self.answered = self.answered.filter(|at| now.since(*at) < LIFETIME);
        self.unreachable.sweep(now);
        self.timed_out.sweep(now);
        self.views.retain(|_, view| {
            view.sweep(now);
            !view.is_empty()
        });
    }

    pub(super) fn expires(&self) -> Option<MonotonicNs> {
        let views = self.views.values().filter_map(View::expires);
        let answered = self.answered.map(|at| at + LIFETIME);
        let hard = self.unreachable.expires().into_iter().chain(self.timed_out.expires());
        views.chain(hard).chain(answered).min()
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.expires().is_none()
    }

    /// How many facts are remembered: the measure of its memory.
    pub(super) fn len(&self) -> usize {
        self.views.len() + self.unreachable.len() + self.timed_out.len()
    }

    fn answered_since(&self, sent: MonotonicNs) -> bool {
        self.answered.is_some_and(|answered| answered >= sent)
    }

    fn view(&mut self, netns: NetnsCookie) -> &mut View {
        make_room(&mut self.views, netns, View::last);
        self.views.entry(netns).or_default()
    }
}
