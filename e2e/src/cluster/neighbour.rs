//! How soon the kernel notices that an address on its own link answers no more. By default an entry is believed for half a minute and
//! asked for another nine seconds; here one that is gone is given up about two seconds after it was last heard.

/// Settings of `net.ipv4.neigh`, of one link.
pub(super) const FAST: [(&str, &str); 5] = [
    ("base_reachable_time_ms", "1000"),
    ("delay_first_probe_time", "1"),
    ("ucast_solicit", "1"),
    ("mcast_solicit", "1"),
    ("retrans_time_ms", "300"),
];
