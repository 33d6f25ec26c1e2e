//! What befalls a network, as nft rule sets: of a pod's, for its own namespace; of the client's node, for its port on the bridge,
//! where no process of the node is told that a packet was dropped. Each is one transaction: there is no moment at which half of
//! it holds.

use std::net::Ipv4Addr;

/// A complete nft input, applied as one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset(pub String);

/// What each rule set begins with: the one before it is gone with it.
const FRESH: &str = "table ip obit_lab\ndelete table ip obit_lab\n";

/// The node is gone: nothing goes in, nothing comes out, nobody is told. ARP goes on being answered, as it is by the
/// gateway that stands between nodes.
#[must_use]
pub fn silence() -> Ruleset {
    in_place(
        "chain in { type filter hook input priority -300; policy drop; }\n\
         chain out { type filter hook output priority -300; policy drop; }\n",
    )
}

/// The address is withdrawn: whoever dials is told that there is no such host (subject to the kernel's ICMP rate
/// limits, which keep their defaults).
#[must_use]
pub fn host_unreachable() -> Ruleset {
    in_place("chain in { type filter hook input priority 0; policy accept; reject with icmp type host-unreachable; }\n")
}

/// Dials of `neighbour` are dropped, as a network policy drops them; everybody else is served.
#[must_use]
pub fn drop_dials_of(neighbour: Ipv4Addr) -> Ruleset {
    in_place(&format!(
        "chain in {{ type filter hook input priority -300; policy accept; ip saddr {neighbour} tcp flags syn / syn,ack drop; }}\n"
    ))
}

/// SYNs from source ports 20000 to 29999 (outside the ephemeral range, so only dials that ask for them) are never
/// answered; all others are. One address can so be alive for one dial and silent for the next, without a race.
#[must_use]
pub fn stall_marked_dials() -> Ruleset {
    in_place("chain in { type filter hook input priority -300; policy accept; tcp sport 20000-29999 drop; }\n")
}

/// Dials from source ports 20000 to 29999 are told that there is no way; everything else goes on.
#[must_use]
pub fn refuse_way_to_marked_dials() -> Ruleset {
    in_place(
        "chain in { type filter hook input priority 0; policy accept; tcp sport 20000-29999 reject with icmp type host-unreachable; }\n",
    )
}

/// The rule set with these chains.
fn in_place(chains: &str) -> Ruleset {
    Ruleset(format!("{FRESH}table ip obit_lab {{\n{chains}}}\n"))
}

/// Nothing goes through a port of the bridge any more, for the bridge's namespace: the node behind the port has lost its network.
#[must_use]
pub fn silence_port(port: &str) -> Ruleset {
    let chain = |name: &str, hook: &str| {
        format!("chain {name} {{ type filter hook {hook} device \"{port}\" priority 0; policy drop; }}\n")
    };
    at_port(&(chain("from", "ingress") + &chain("to", "egress")))
}

/// Of what goes through a port of the bridge `percent` packets in a hundred vanish, 1 to 99, in each direction by itself; for the
/// bridge's namespace.
#[must_use]
pub fn lose_at_port(port: &str, percent: u8) -> Ruleset {
    let chain = |name: &str, hook: &str| {
        format!(
            "chain {name} {{ type filter hook {hook} device \"{port}\" priority 0; policy accept; numgen random mod 100 < {percent} \
             drop; }}\n"
        )
    };
    at_port(&(chain("from", "ingress") + &chain("to", "egress")))
}

/// Nothing befalls what goes through the ports of the bridge any more.
#[must_use]
pub fn undisturbed_ports() -> Ruleset {
    at_port("")
}

fn at_port(chains: &str) -> Ruleset {
    let fresh = "table netdev obit_lab\ndelete table netdev obit_lab\n";
    Ruleset(format!("{fresh}table netdev obit_lab {{\n{chains}}}\n"))
}

/// Nothing befalls it any more.
#[must_use]
pub fn undisturbed() -> Ruleset {
    in_place("")
}

/// The type of service that marks traffic for [`silence_marked_traffic`]: DSCP 46.
pub const MARKED_TOS: u32 = 46 << 2;

/// Packets with [`MARKED_TOS`] vanish on arrival. A client that marks its own connection lets the peer vanish for that
/// connection, at a moment it knows to the microsecond.
#[must_use]
pub fn silence_marked_traffic() -> Ruleset {
    in_place("chain in { type filter hook input priority -300; policy accept; ip dscp 46 drop; }\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_set_replaces_the_one_before_in_the_same_transaction() {
        for (rules, family) in [
            (silence(), "ip"),
            (host_unreachable(), "ip"),
            (drop_dials_of(Ipv4Addr::new(198, 18, 0, 2)), "ip"),
            (stall_marked_dials(), "ip"),
            (silence_marked_traffic(), "ip"),
            (refuse_way_to_marked_dials(), "ip"),
            (undisturbed(), "ip"),
            (silence_port("client"), "netdev"),
            (lose_at_port("client", 3), "netdev"),
            (undisturbed_ports(), "netdev"),
        ] {
            let begin =
                format!("table {family} obit_lab\ndelete table {family} obit_lab\ntable {family} obit_lab {{\n");
            assert!(rules.0.starts_with(&begin), "{rules:?}");
            assert!(rules.0.ends_with("}\n"), "{rules:?}");
        }
    }

    #[test]
    fn silence_and_loss_hold_in_both_directions() {
        let Ruleset(text) = silence();
        assert!(text.contains("hook input priority -300; policy drop"));
        assert!(text.contains("hook output priority -300; policy drop"));
        let Ruleset(text) = lose_at_port("client", 3);
        for hook in ["ingress", "egress"] {
            assert!(text.contains(&format!("hook {hook} device \"client\"")), "{text}");
        }
        assert_eq!(text.matches("mod 100 < 3 drop").count(), 2);
    }
}
