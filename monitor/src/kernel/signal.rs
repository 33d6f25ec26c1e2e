//! The signals the kernel half can give, by name: what an operator switches off and a subscriber is told of.

use std::fmt;
use std::str::FromStr;

use obit_ebpf::RecordKind;

/// One thing the kernel half can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Dials that are refused.
    Refused,
    /// Dials that find no way.
    Unreachable,
    /// Dials that begin: what the stall timer runs on.
    Syn,
    /// SYNs sent again.
    SynRetransmit,
    /// Dials that are answered.
    Handshake,
    /// Connections reset by the peer.
    Reset,
    /// Connections closed by the peer.
    PeerClosed,
    /// Connections retransmitted without progress.
    Stalled,
    /// Connections and dials the kernel gave up on.
    TimedOut,
    /// Dials the application gave up on after silence.
    Abandoned,
    /// Established connections to which an ICMP error says that there is no way.
    SoftError,
    /// Listeners of this node's pods that are gone.
    ListenerClosed,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 12] = [
        Self::Refused,
        Self::Unreachable,
        Self::Syn,
        Self::SynRetransmit,
        Self::Handshake,
        Self::Reset,
        Self::PeerClosed,
        Self::Stalled,
        Self::TimedOut,
        Self::Abandoned,
        Self::SoftError,
        Self::ListenerClosed,
    ];

    /// Its name in options, logs and the protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Syn => "syn",
            Self::SynRetransmit => "syn-retransmit",
            Self::Handshake => "handshake",
            Self::Reset => "reset",
            Self::PeerClosed => "peer-closed",
            Self::Stalled => "stalled",
            Self::TimedOut => "timed-out",
            Self::Abandoned => "abandoned",
            Self::SoftError => "soft-error",
            Self::ListenerClosed => "listener-closed",
        }
    }

    /// The kinds of record it is made of.
    pub(super) const fn kinds(self) -> &'static [RecordKind] {
        match self {
            Self::Refused => &[RecordKind::Refused],
            Self::Unreachable => &[RecordKind::Unreachable],
            Self::Syn => &[RecordKind::SynStart],
            Self::SynRetransmit => &[RecordKind::SynRetransmit],
            Self::Handshake => &[RecordKind::Handshake],
            Self::Reset => &[RecordKind::Reset],
            Self::PeerClosed => &[RecordKind::PeerClosed],
            Self::Stalled => &[RecordKind::Stalled],
            Self::TimedOut => &[RecordKind::TimedOut, RecordKind::SynTimeout],
            Self::Abandoned => &[RecordKind::Abandoned],
            Self::SoftError => &[RecordKind::SoftError],
            Self::ListenerClosed => &[RecordKind::ListenerClosed, RecordKind::ListenerOpened, RecordKind::Home],
        }
    }
}

/// The signals that are on, from those the kernel can give and those somebody switched off.
///
/// A dial whose answer goes unseen would look stalled: without `handshake` there is no `syn`.
pub(super) fn signals(possible: impl Fn(Signal) -> bool, disabled: &[Signal]) -> Vec<Signal> {
    let on = |signal: Signal| possible(signal) && !disabled.contains(&signal);
    let on = |signal: Signal| on(signal) && (signal != Signal::Syn || on(Signal::Handshake));
    Signal::ALL.into_iter().filter(|signal| on(*signal)).collect()
}

/// The programs' bit mask for these signals. The end of a socket is always told: it stops timers.
pub(super) fn kinds_wanted(signals: &[Signal]) -> u32 {
    let kinds = signals
        .iter()
        .flat_map(|signal| signal.kinds())
        .chain([&RecordKind::Ended]);
    kinds.fold(0, |mask, kind| mask | 1 << (*kind as u32))
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no signal's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no signal is called {name:?}; there are {}", Signal::ALL.map(Signal::name).join(", "))]
pub struct UnknownSignal {
    /// The name.
    pub name: String,
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|signal| signal.name() == name);
        named.ok_or_else(|| UnknownSignal { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_found_by_its_name() {
        for signal in Signal::ALL {
            assert_eq!(signal.name().parse(), Ok(signal));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "reused".parse::<Signal>().unwrap_err().to_string();
        assert!(
            error.contains("\"reused\"") && error.contains("refused") && error.contains("listener-closed"),
            "{error}"
        );
    }

    #[test]
    fn every_kind_but_the_end_belongs_to_exactly_one_signal() {
        for kind in RecordKind::ALL {
            let owners = Signal::ALL
                .iter()
                .filter(|signal| signal.kinds().contains(&kind))
                .count();
            assert_eq!(owners, usize::from(kind != RecordKind::Ended), "{kind:?}");
        }
    }

    #[test]
    fn no_dial_is_timed_whose_answer_would_go_unseen() {
        assert_eq!(signals(|_| true, &[]), Signal::ALL);
        let without = signals(|_| true, &[Signal::Handshake]);
        assert!(!without.contains(&Signal::Syn) && !without.contains(&Signal::Handshake));
        assert!(!signals(|signal| signal != Signal::Handshake, &[]).contains(&Signal::Syn));
    }

    #[test]
    fn ends_are_wanted_even_when_nothing_else_is() {
        assert_eq!(kinds_wanted(&[]), 1 << 10);
        assert_eq!(kinds_wanted(&Signal::ALL), 0b1_1111_1111_1111_1110);
    }
}
