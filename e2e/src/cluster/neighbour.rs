//! How soon the kernel notices that an address on its own link answers no more. By default an entry is believed for half a minute and
//! asked for another nine seconds; here a dial of a node whose link went down is told *no route to host* 2.4 to 3.4 s later (measured three
//! times, from another node).

/// Settings of `net.ipv4.neigh`, of one link.
pub(super) const FAST: [(&str, &str); 5] = [
    ("base_reachable_time_ms", "1000"),
    ("delay_first_probe_time", "1"),
    ("ucast_solicit", "1"),
    ("mcast_solicit", "1"),
    ("retrans_time_ms", "300"),
];
