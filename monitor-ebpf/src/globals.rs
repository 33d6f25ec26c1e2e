//! Constants the loader sets before the kernel sees the programs.
//!
//! The section is frozen, so the verifier takes each for a known constant: it accepts an offset like one a compiler wrote,
//! and drops what a switch turns off. Offsets come from the running kernel's own type information; one it does not have
//! stays [`MISSING`].

use aya_ebpf::Global;

/// The kernel has no such member.
pub(crate) const MISSING: u32 = u32::MAX;

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])* #[unsafe(no_mangle)] pub(crate) static $name: Global<u32> = Global::new(MISSING);)+
    };
}

offsets! {
    /// `sock.__sk_common.skc_family`
    OFF_FAMILY,
    /// `sock.__sk_common.skc_state`
    OFF_STATE,
    /// `sock.__sk_common.skc_dport`
    OFF_DPORT,
    /// `sock.__sk_common.skc_daddr`
    OFF_DADDR,
    /// `sock.__sk_common.skc_rcv_saddr`
    OFF_SADDR,
    /// `sock.__sk_common.skc_v6_daddr`
    OFF_V6_DADDR,
    /// `sock.__sk_common.skc_v6_rcv_saddr`
    OFF_V6_SADDR,
    /// `sock.__sk_common.skc_net.net`
    OFF_NET,
    /// `net.net_cookie`
    OFF_NET_COOKIE,
    /// `net.user_ns`
    OFF_NET_USER_NS,
    /// `user_namespace.level`
    OFF_USER_NS_LEVEL,
    /// `sock.sk_err`
    OFF_ERR,
    /// `sock.sk_err_soft`
    OFF_ERR_SOFT,
    /// `sock.sk_lock.owned`
    OFF_OWNED,
    /// `sock.sk_error_queue.prev`
    OFF_ERROR_QUEUE_LAST,
    /// `sk_buff.cb`, plus `sock_exterr_skb.ee.ee_errno` in it
    OFF_QUEUED_ERRNO,
    /// `sock.sk_cgrp_data.cgroup`
    OFF_CGROUP,
    /// `cgroup.kn`
    OFF_CGROUP_NODE,
    /// `kernfs_node.id`
    OFF_NODE_ID,
    /// `inet_sock.inet_sport`, counted from the `tcp_sock` around it
    OFF_SPORT,
    /// `inet_connection_sock.icsk_retransmits`, counted from the `tcp_sock` around it
    OFF_RETRANSMITS,
    /// `tcp_sock.srtt_us`
    OFF_SRTT,
    /// `tcp_sock.snd_una`
    OFF_SND_UNA,
    /// `tcp_sock.rcv_nxt`
    OFF_RCV_NXT,
    /// `tcp_sock.is_mptcp`
    OFF_MPTCP,
    /// `task_struct.files`
    OFF_TASK_FILES,
    /// `files_struct.fdt`
    OFF_FILES_TABLE,
    /// `fdtable.max_fds`
    OFF_TABLE_SIZE,
    /// `fdtable.fd`
    OFF_TABLE_START,
    /// `file.private_data`
    OFF_FILE_DATA,
    /// `socket.sk`
    OFF_SOCKET_SOCK,
    /// `kernfs_node.name`
    OFF_NODE_NAME,
    /// `kernfs_node.__parent`, `parent` before 6.15
    OFF_NODE_PARENT,
}

/// Cookie of the only network namespace to look at; 0 for all.
#[unsafe(no_mangle)]
pub(crate) static NETNS_ONLY: Global<u64> = Global::new(0);

/// Bit `n` is set if records of the kind with number `n` are wanted.
#[unsafe(no_mangle)]
pub(crate) static KINDS_WANTED: Global<u32> = Global::new(u32::MAX);

/// Not 0 if a thread answers the doorbell of every processor.
#[unsafe(no_mangle)]
pub(crate) static HAVE_DOORBELLS: Global<u32> = Global::new(0);
