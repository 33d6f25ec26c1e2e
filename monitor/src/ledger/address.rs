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

#[derive(Debug, Default)]
pub(super) struct Address {
    answered: Option<MonotonicNs>,
    unreachable: Witnesses,
    views: BTreeMap<NetnsCookie, View>,
}

/// The silence one network namespace met.
#[derive(Debug, Default)]
struct View {
    dials: Silence,
    retransmitted: Option<Evidence>,
    connections: Silence,
}

impl View {
    fn last(&self) -> MonotonicNs {
        let retransmitted = self.retransmitted.map(|evidence| evidence.last());
        self.dials
            .last()
            .max(self.connections.last())
            .max(retransmitted)
            .unwrap_or_default()
    }

    fn sweep(&mut self, now: MonotonicNs) {
        self.dials.sweep(now);
        self.connections.sweep(now);
        sweep(&mut self.retransmitted, now);
    }

    fn is_empty(&self) -> bool {
        self.dials.is_empty() && self.connections.is_empty() && self.retransmitted.is_none()
    }

    fn expires(&self) -> Option<MonotonicNs> {
        let retransmitted = self.retransmitted.map(|evidence| evidence.expires());
        [self.dials.expires(), self.connections.expires(), retransmitted]
            .into_iter()
            .flatten()
            .min()
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
        self.elsewhere(now)
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
    }
}

impl Address {
    /// The peer answered a dial: whatever was held against the address is void. Returns whether anything was.
    pub(super) fn answered(&mut self, at: MonotonicNs) -> bool {
        self.answered = self.answered.max(Some(at));
        let held = !self.views.is_empty() || self.unreachable.len() > 0;
        self.views.clear();
        self.unreachable = Witnesses::default();
        held
    }

    pub(super) fn unreachable(&mut self, netns: NetnsCookie, at: MonotonicNs) {
        self.unreachable.note(netns, at);
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
        self.view(netns).dials.note(silent, at);
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

    pub(super) fn connection_stalled(&mut self, netns: NetnsCookie, silent: Silent, at: MonotonicNs) -> Order {
        self.view(netns).connections.note(silent, at)
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
    }

    pub(super) fn sweep(&mut self, now: MonotonicNs) {
        self.answered = self.answered.filter(|at| now.since(*at) < LIFETIME);
        self.unreachable.sweep(now);
        self.views.retain(|_, view| {
            view.sweep(now);
            !view.is_empty()
        });
    }

    pub(super) fn expires(&self) -> Option<MonotonicNs> {
        let views = self.views.values().filter_map(View::expires);
        let answered = self.answered.map(|at| at + LIFETIME);
        views.chain(self.unreachable.expires()).chain(answered).min()
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.expires().is_none()
    }

    /// How many facts are remembered: the measure of its memory.
    pub(super) fn len(&self) -> usize {
        self.views.len() + self.unreachable.len()
    }

    fn answered_since(&self, sent: MonotonicNs) -> bool {
        self.answered.is_some_and(|answered| answered >= sent)
    }

    fn view(&mut self, netns: NetnsCookie) -> &mut View {
        make_room(&mut self.views, netns, View::last);
        self.views.entry(netns).or_default()
    }
}
