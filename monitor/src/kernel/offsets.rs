//! Where the running kernel keeps the members the programs read, from its own type information (BTF).
//!
//! Rust programs carry no relocations the loader could apply, and offsets differ between kernels (`sk_err` lies at 284
//! on 6.18, at 544 on 6.1). So each is resolved by name here and set as a constant in the programs before they load.

use std::fmt;
use std::fs;
use std::path::Path;

use super::btf::{Btf, BtfError};
use super::error::{Lack, StartError};
use super::preflight::VMLINUX_BTF;
use super::signal::Signal;

/// What the programs take for "there is no such member".
const MISSING: u32 = u32::MAX;

/// A member the programs read.
struct Member {
    /// The constant in the programs.
    global: &'static str,
    /// The structure it is counted from.
    root: &'static str,
    /// The path to it, through named members; anonymous ones are looked through.
    path: &'static str,
    /// What does not work without it.
    needed_for: Need,
}

/// What a missing member costs.
#[derive(Clone, Copy)]
pub(super) enum Need {
    /// Everything.
    Everything,
    /// These signals.
    Signals(&'static [Signal]),
    /// Knowing which network namespace saw something.
    Netns,
    /// Knowing which pod a subscriber is in.
    Pods,
    /// A detail of a record.
    Detail,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Signals(signals) => f.write_str(&signals.iter().map(|it| it.name()).collect::<Vec<_>>().join(", ")),
            Self::Netns => f.write_str("telling network namespaces apart"),
            Self::Pods => f.write_str("telling which pod a subscriber is in"),
            Self::Detail => f.write_str("a detail"),
        }
    }
}

const MEMBERS: [Member; 33] = [
    member("OFF_FAMILY", "sock", "__sk_common.skc_family", Need::Everything),
    member("OFF_STATE", "sock", "__sk_common.skc_state", Need::Everything),
    member("OFF_DPORT", "sock", "__sk_common.skc_dport", Need::Everything),
    member("OFF_DADDR", "sock", "__sk_common.skc_daddr", Need::Everything),
    member("OFF_SADDR", "sock", "__sk_common.skc_rcv_saddr", Need::Detail),
    // Absent from a kernel built without IPv6, which has no sockets to read it from.
    member("OFF_V6_DADDR", "sock", "__sk_common.skc_v6_daddr", Need::Detail),
    member("OFF_V6_SADDR", "sock", "__sk_common.skc_v6_rcv_saddr", Need::Detail),
    member("OFF_NET", "sock", "__sk_common.skc_net.net", Need::Netns),
    member("OFF_NET_COOKIE", "net", "net_cookie", Need::Netns),
    // Absent from a kernel built without user namespaces, where none owns anything.
    member("OFF_NET_USER_NS", "net", "user_ns", Need::Detail),
    member("OFF_USER_NS_LEVEL", "user_namespace", "level", Need::Detail),
    member("OFF_ERR", "sock", "sk_err", Need::Everything),
    member("OFF_ERR_SOFT", "sock", "sk_err_soft", Need::Detail),
    member("OFF_OWNED", "sock", "sk_lock.owned", Need::Detail),
    member("OFF_ERROR_QUEUE_LAST", "sock", "sk_error_queue.prev", Need::Detail),
    member("OFF_QUEUED_ERRNO", "sk_buff", "cb", Need::Detail),
    member("OFF_CGROUP", "sock", "sk_cgrp_data.cgroup", Need::Pods),
    member("OFF_CGROUP_NODE", "cgroup", "kn", Need::Pods),
    member("OFF_NODE_ID", "kernfs_node", "id", Need::Detail),
    member(
        "OFF_SPORT",
        "tcp_sock",
        "inet_conn.icsk_inet.inet_sport",
        Need::Signals(&[Signal::ListenerClosed]),
    ),
    member(
        "OFF_RETRANSMITS",
        "tcp_sock",
        "inet_conn.icsk_retransmits",
        Need::Signals(&[Signal::Stalled]),
    ),
    member("OFF_SRTT", "tcp_sock", "srtt_us", Need::Signals(&[Signal::Handshake])),
    member(
        "OFF_SND_UNA",
        "tcp_sock",
        "snd_una",
        Need::Signals(&[Signal::Stalled, Signal::ListenerClosed]),
    ),
    member(
        "OFF_RCV_NXT",
        "tcp_sock",
        "rcv_nxt",
        Need::Signals(&[Signal::ListenerClosed]),
    ),
    // Absent from a kernel built without MPTCP, which has no such sockets.
    member("OFF_MPTCP", "tcp_sock", "is_mptcp", Need::Detail),
    member("OFF_TASK_FILES", "task_struct", "files", Need::Pods),
    member("OFF_FILES_TABLE", "files_struct", "fdt", Need::Pods),
    member("OFF_TABLE_SIZE", "fdtable", "max_fds", Need::Pods),
    member("OFF_TABLE_START", "fdtable", "fd", Need::Pods),
    member("OFF_FILE_DATA", "file", "private_data", Need::Pods),
    member("OFF_SOCKET_SOCK", "socket", "sk", Need::Pods),
    member("OFF_NODE_NAME", "kernfs_node", "name", Need::Pods),
    member("OFF_NODE_PARENT", "kernfs_node", "__parent", Need::Pods),
];

const fn member(global: &'static str, root: &'static str, path: &'static str, needed_for: Need) -> Member {
    Member {
        global,
        root,
        path,
        needed_for,
    }
}

/// Every constant of the programs, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offsets(Vec<u32>);

impl Offsets {
    /// Resolves them in type information. A member that is not there is no error: see [`Offsets::missing_paths`].
    ///
    /// # Errors
    /// The bytes are no type information, or they are cut off or corrupted. Whatever they are, this ends and does not panic.
    pub fn from_btf(bytes: &[u8]) -> Result<Self, BtfError> {
        let types = Btf::parse(bytes)?;
        let offsets = MEMBERS.iter().map(|member| resolve(&types, member));
        offsets.collect::<Result<_, _>>().map(Self)
    }

    /// Resolves them in the running kernel's type information.
    pub(super) fn of_running_kernel() -> Result<Self, StartError> {
        Self::read(Path::new(VMLINUX_BTF))
    }

    fn read(path: &Path) -> Result<Self, StartError> {
        let unreadable = |reason: String| StartError::Btf {
            path: path.to_owned(),
            reason,
        };
        let bytes = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        Self::from_btf(&bytes).map_err(|error| unreadable(error.to_string()))
    }

    /// Name and value of each constant.
    pub(super) fn globals(&self) -> impl Iterator<Item = (&'static str, &u32)> {
        MEMBERS.iter().map(|member| member.global).zip(&self.0)
    }

    /// The members nothing works without and this kernel does not have.
    pub(super) fn lacks(&self) -> Vec<Lack> {
        self.missing()
            .filter(|member| matches!(member.needed_for, Need::Everything))
            .map(|m| Lack::Member(m.path))
            .collect()
    }

    /// Whether the members a signal needs are there.
    pub(super) fn allow(&self, signal: Signal) -> bool {
        self.missing().all(|member| match member.needed_for {
            Need::Signals(needy) => !needy.contains(&signal),
            // A listener is one of its namespace.
            Need::Netns => signal != Signal::ListenerClosed,
            Need::Everything | Need::Pods | Need::Detail => true,
        })
    }

    /// Whether network namespaces can be told apart.
    pub(super) fn know_netns(&self) -> bool {
        !self.missing().any(|member| matches!(member.needed_for, Need::Netns))
    }

    /// Whether the cgroup of a socket can be named.
    pub(super) fn know_pods(&self) -> bool {
        !self.missing().any(|member| matches!(member.needed_for, Need::Pods))
    }

    /// The paths of the members this kernel does not have.
    #[must_use]
    pub fn missing_paths(&self) -> Vec<&'static str> {
        self.missing().map(|member| member.path).collect()
    }

    /// The path of every member from its structure on, its offset, and what needs it.
    pub(super) fn members(&self) -> impl Iterator<Item = (String, Option<u32>, Need)> {
        MEMBERS.iter().zip(&self.0).map(|(member, offset)| {
            let path = format!("{}.{}", member.root, member.path);
            (path, Some(*offset).filter(|it| *it != MISSING), member.needed_for)
        })
    }

    fn missing(&self) -> impl Iterator<Item = &'static Member> {
        MEMBERS
            .iter()
            .zip(&self.0)
            .filter(|(_, offset)| **offset == MISSING)
            .map(|(member, _)| member)
    }
}

fn resolve(types: &Btf<'_>, member: &Member) -> Result<u32, BtfError> {
    let mut offset = types.offset_of(member.root, member.path)?;
    if offset.is_none() && member.global == "OFF_NODE_PARENT" {
        // Its name before 6.15.
        offset = types.offset_of(member.root, "parent")?;
    }
    if member.global == "OFF_QUEUED_ERRNO" {
        // A queued error lies in the buffer's scratch space, in a shape of its own.
        let errno = types.offset_of("sock_exterr_skb", "ee.ee_errno")?;
        offset = offset.zip(errno).and_then(|(cb, errno)| cb.checked_add(errno));
    }
    Ok(offset.unwrap_or(MISSING))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_but(paths: &[&str]) -> Offsets {
        Offsets(
            MEMBERS
                .iter()
                .map(|member| if paths.contains(&member.path) { MISSING } else { 8 })
                .collect(),
        )
    }

    #[test]
    fn a_missing_member_switches_off_what_needs_it_and_nothing_else() {
        let off = |offsets: &Offsets| {
            let off = Signal::ALL.into_iter().filter(|signal| !offsets.allow(*signal));
            off.collect::<Vec<_>>()
        };
        let offsets = all_but(&["snd_una"]);
        assert_eq!(offsets.lacks(), []);
        assert_eq!(off(&offsets), [Signal::Stalled, Signal::ListenerClosed]);
        assert!(offsets.know_netns());
        assert_eq!(off(&all_but(&["net_cookie"])), [Signal::ListenerClosed]);
        assert_eq!(off(&all_but(&["is_mptcp"])), []);
    }

    #[test]
    fn a_kernel_without_the_core_members_is_refused_by_name() {
        assert_eq!(all_but(&["sk_err"]).lacks(), [Lack::Member("sk_err")]);
    }

    #[test]
    fn a_kernel_that_does_not_number_its_namespaces_is_told_apart() {
        assert!(!all_but(&["net_cookie"]).know_netns());
    }

    #[test]
    fn garbage_in_place_of_type_information_is_an_error_that_names_the_file_and_what_is_wrong() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (garbage, wrong) in [
            (&b""[..], "it is empty"),
            (b"\x9f\xeb", "ends after 2 bytes"),
            (&[0xff; 4096], "begins with 0xffff"),
        ] {
            fs::write(file.path(), garbage).unwrap();
            let said = Offsets::read(file.path()).unwrap_err().to_string();
            assert!(
                said.contains(wrong) && said.contains(&*file.path().to_string_lossy()),
                "{said}"
            );
        }
        let gone = Path::new("/does/not/exist");
        assert!(Offsets::read(gone).unwrap_err().to_string().contains("/does/not/exist"));
    }
}
