//! What befalls a pod's network, as nft rule sets for the pod's own namespace. Each is one transaction: there is no
//! moment at which half of it holds.

/// A complete nft input, applied as one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruleset(pub &'static str);

/// The node is gone: nothing goes in, nothing comes out, nobody is told. ARP goes on being answered, as it is by the
/// gateway that stands between nodes.
#[must_use]
pub fn silence() -> Ruleset {
    Ruleset(
        "table ip obit_lab\n\
         delete table ip obit_lab\n\
         table ip obit_lab {\n\
         chain in { type filter hook input priority -300; policy drop; }\n\
         chain out { type filter hook output priority -300; policy drop; }\n\
         }\n",
    )
}

/// The address is withdrawn: whoever dials is told that there is no such host (subject to the kernel's ICMP rate
/// limits, which keep their defaults).
#[must_use]
pub fn host_unreachable() -> Ruleset {
    Ruleset(
        "table ip obit_lab\n\
         delete table ip obit_lab\n\
         table ip obit_lab {\n\
         chain in { type filter hook input priority 0; policy accept; reject with icmp type host-unreachable; }\n\
         }\n",
    )
}

/// SYNs from source ports 20000 to 29999 (outside the ephemeral range, so only dials that ask for them) are never
/// answered; all others are. One address can so be alive for one dial and silent for the next, without a race.
#[must_use]
pub fn stall_marked_dials() -> Ruleset {
    Ruleset(
        "table ip obit_lab\n\
         delete table ip obit_lab\n\
         table ip obit_lab {\n\
         chain in { type filter hook input priority -300; policy accept; tcp sport 20000-29999 drop; }\n\
         }\n",
    )
}

/// Dials from source ports 20000 to 29999 are told that there is no way; everything else goes on.
#[must_use]
pub fn refuse_way_to_marked_dials() -> Ruleset {
    Ruleset(
        "table ip obit_lab\n\
         delete table ip obit_lab\n\
         table ip obit_lab {\n\
         chain in { type filter hook input priority 0; policy accept; tcp sport 20000-29999 reject with icmp type \
         host-unreachable; }\n\
         }\n",
    )
}

/// Nothing befalls it any more.
#[must_use]
pub fn undisturbed() -> Ruleset {
    Ruleset("table ip obit_lab\ndelete table ip obit_lab\ntable ip obit_lab { }\n")
}

/// The type of service that marks traffic for [`silence_marked_traffic`]: DSCP 46.
pub const MARKED_TOS: u32 = 46 << 2;

/// Packets with [`MARKED_TOS`] vanish on arrival. A client that marks its own connection lets the peer vanish for that
/// connection, at a moment it knows to the microsecond.
#[must_use]
pub fn silence_marked_traffic() -> Ruleset {
    Ruleset(
        "table ip obit_lab\n\
         delete table ip obit_lab\n\
         table ip obit_lab {\n\
         chain in { type filter hook input priority -300; policy accept; ip dscp 46 drop; }\n\
         }\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_set_replaces_the_one_before_in_the_same_transaction() {
        for Ruleset(text) in [
            silence(),
            host_unreachable(),
            stall_marked_dials(),
            silence_marked_traffic(),
            refuse_way_to_marked_dials(),
            undisturbed(),
        ] {
            assert!(
                text.starts_with("table ip obit_lab\ndelete table ip obit_lab\ntable ip obit_lab {"),
                "{text}"
            );
        }
    }

    #[test]
    fn silence_holds_in_both_directions() {
        let Ruleset(text) = silence();
        assert!(text.contains("hook input priority -300; policy drop"));
        assert!(text.contains("hook output priority -300; policy drop"));
    }
}
