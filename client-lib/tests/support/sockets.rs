//! Addresses that behave as dead peers do, on loopback and without privilege.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;

/// An address whose SYNs nobody answers: a listener whose backlog is full.
pub struct Blackhole {
    listener: Socket,
    filling: Vec<TcpStream>,
}

impl Blackhole {
    pub async fn open() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let mut filling = Vec::new();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        // A dial that is not answered on loopback within 200 ms is not going to be.
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            filling.push(stream.unwrap());
            assert!(filling.len() < 64, "the backlog never fills");
        }
        Self { listener, filling }
    }

    /// Takes a connection: the next SYN is answered, which the kernel sends a second after the last.
    pub fn relent(&self) -> Socket {
        self.listener.accept().unwrap().0
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }
}

/// `CLOCK_MONOTONIC` in nanoseconds, as the kernel stamps its observations.
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(
        unsafe_code,
        reason = "the standard library does not show the value of CLOCK_MONOTONIC"
    )]
    // SAFETY: `time` is a valid, writable timespec for the whole call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(result, 0);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

/// Sockets to `peer` that wait for an answer to their SYN.
pub fn dials_in_progress(peer: SocketAddr) -> usize {
    let remote = format!(":{:04X}", peer.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let columns = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    columns
        .filter(|columns| columns[2].ends_with(&remote) && columns[3] == "02")
        .count()
}
