//! What the kernel tells of a socket by its number. Everything here only reads: where the number has meanwhile become
//! another file's, the answer is about that one, and no harm is done.

use std::io;
use std::mem::{offset_of, size_of};
use std::net::SocketAddr;
use std::os::fd::RawFd;

use socket2::SockAddr;

/// A socket's name for as long as the machine is up (`SO_COOKIE`); an error for whatever is no socket.
pub(crate) fn cookie(socket: RawFd) -> io::Result<u64> {
    get(socket, libc::SOL_SOCKET, libc::SO_COOKIE)
}

/// The address family and the protocol, as given to `socket(2)`.
pub(crate) fn kind(socket: RawFd) -> io::Result<(libc::c_int, libc::c_int)> {
    Ok((
        get(socket, libc::SOL_SOCKET, libc::SO_DOMAIN)?,
        get(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL)?,
    ))
}

/// The other end of an internet socket (`SO_PEERNAME`); unlike `getpeername`, it is told while the dial is in progress.
pub(crate) fn peer(socket: RawFd, domain: libc::c_int) -> io::Result<SocketAddr> {
    // The kernel refuses to give less than it is asked for.
    let length = match domain {
        libc::AF_INET => size_of::<libc::sockaddr_in>(),
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    let length = libc::socklen_t::try_from(length).map_err(io::Error::other)?;
    address(|storage, room| {
        // SAFETY: `address` gives a place for any address, of which `length`, less than it holds, is asked for.
        #[expect(unsafe_code, reason = "no library offers SO_PEERNAME")]
        unsafe {
            *room = length;
            libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_PEERNAME, storage, room)
        }
    })
}

/// This end of an internet socket.
pub(crate) fn local(socket: RawFd) -> io::Result<SocketAddr> {
    address(|storage, room| {
        // SAFETY: `address` gives a place for any address, and its size.
        #[expect(unsafe_code, reason = "the libraries ask for a descriptor that is known to be open")]
        unsafe {
            libc::getsockname(socket, storage.cast(), room)
        }
    })
}

fn address(ask: impl FnOnce(*mut libc::c_void, *mut libc::socklen_t) -> libc::c_int) -> io::Result<SocketAddr> {
    #[expect(unsafe_code, reason = "the kernel writes the address")]
    // SAFETY: `ask` hands both pointers to the kernel, which writes an address and its length, or fails.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| match ask(storage.cast(), length) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        })
    }?;
    address.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// The beginning of the kernel's `struct tcp_info` (include/uapi/linux/tcp.h), up to the last member used here; later
/// kernels only append. All of it is there since Linux 4.9.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TcpInfo {
    pub(crate) tcpi_state: u8,
    pub(crate) tcpi_ca_state: u8,
    pub(crate) tcpi_retransmits: u8,
    pub(crate) tcpi_probes: u8,
    pub(crate) tcpi_backoff: u8,
    pub(crate) tcpi_options: u8,
    pub(crate) tcpi_wscale: u8,
    pub(crate) tcpi_flags: u8,
    pub(crate) tcpi_rto: u32,
    pub(crate) tcpi_ato: u32,
    pub(crate) tcpi_snd_mss: u32,
    pub(crate) tcpi_rcv_mss: u32,
    pub(crate) tcpi_unacked: u32,
    pub(crate) tcpi_sacked: u32,
    pub(crate) tcpi_lost: u32,
    pub(crate) tcpi_retrans: u32,
    pub(crate) tcpi_fackets: u32,
    pub(crate) tcpi_last_data_sent: u32,
    pub(crate) tcpi_last_ack_sent: u32,
    pub(crate) tcpi_last_data_recv: u32,
    pub(crate) tcpi_last_ack_recv: u32,
    pub(crate) tcpi_pmtu: u32,
    pub(crate) tcpi_rcv_ssthresh: u32,
    pub(crate) tcpi_rtt: u32,
    pub(crate) tcpi_rttvar: u32,
    pub(crate) tcpi_snd_ssthresh: u32,
    pub(crate) tcpi_snd_cwnd: u32,
    pub(crate) tcpi_advmss: u32,
    pub(crate) tcpi_reordering: u32,
    pub(crate) tcpi_rcv_rtt: u32,
    pub(crate) tcpi_rcv_space: u32,
    pub(crate) tcpi_total_retrans: u32,
    pub(crate) tcpi_pacing_rate: u64,
    pub(crate) tcpi_max_pacing_rate: u64,
    pub(crate) tcpi_bytes_acked: u64,
    pub(crate) tcpi_bytes_received: u64,
    pub(crate) tcpi_segs_out: u32,
    pub(crate) tcpi_segs_in: u32,
    pub(crate) tcpi_notsent_bytes: u32,
    pub(crate) tcpi_min_rtt: u32,
}

const _: () = {
    assert!(offset_of!(TcpInfo, tcpi_unacked) == 24);
    assert!(offset_of!(TcpInfo, tcpi_last_data_recv) == 52);
    assert!(offset_of!(TcpInfo, tcpi_rtt) == 68);
    assert!(offset_of!(TcpInfo, tcpi_total_retrans) == 100);
    assert!(offset_of!(TcpInfo, tcpi_bytes_acked) == 120);
    assert!(offset_of!(TcpInfo, tcpi_min_rtt) == 148);
};

/// What the kernel knows of a TCP connection.
pub(crate) fn tcp_info(socket: RawFd) -> io::Result<TcpInfo> {
    get(socket, libc::IPPROTO_TCP, libc::TCP_INFO)
}

/// Of these every bit pattern is a value.
trait Plain: Default {}

impl Plain for libc::c_int {}
impl Plain for u64 {}
impl Plain for TcpInfo {}

fn get<T: Plain>(socket: RawFd, level: libc::c_int, option: libc::c_int) -> io::Result<T> {
    let mut value = T::default();
    let wanted = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    let mut length = wanted;
    #[expect(
        unsafe_code,
        reason = "no library offers these options, or these members of tcp_info"
    )]
    // SAFETY: `value` and `length` are valid and writable for the call; the kernel writes at most `length` bytes, which is
    // the size of `value`, and every bit pattern is one.
    let result = unsafe { libc::getsockopt(socket, level, option, (&raw mut value).cast(), &raw mut length) };
    match result {
        0 if length == wanted => Ok(value),
        0 => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this kernel tells less of a socket than is asked for",
        )),
        _ => Err(io::Error::last_os_error()),
    }
}
