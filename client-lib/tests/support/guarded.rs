//! Plain blocking sockets, and a guard over all of the process's.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use obit::{Feed, ProcessGuard};

use super::LiveMonitor;

pub const OFTEN: Duration = Duration::from_millis(2);
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn guard(monitor: &LiveMonitor, every: Duration) -> ProcessGuard {
    let builder = ProcessGuard::builder().feed(Feed::builder().path(monitor.path()));
    builder.scan_interval(every).start().unwrap()
}

pub fn listen(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A connection to a listener, both ends.
pub fn connect(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // A test fails rather than hang.
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    (near, listener.accept().unwrap().0)
}

/// A thread that waits for a byte.
pub fn reading(stream: &TcpStream) -> JoinHandle<io::Result<usize>> {
    let mut stream = stream.try_clone().unwrap();
    std::thread::spawn(move || stream.read(&mut [0]))
}

pub fn is_ended(result: io::Result<usize>) -> bool {
    let error = result.unwrap_err();
    // What a thread that waited is told.
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Whether a byte still goes through.
pub fn is_alive(mut near: &TcpStream, mut far: &TcpStream) -> bool {
    far.write_all(b"x").is_ok() && near.read(&mut [0]).is_ok_and(|read| read == 1)
}

pub async fn eventually(what: &str, mut reached: impl FnMut() -> bool) {
    let waiting = tokio::time::timeout(PATIENCE, async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waiting.await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

pub async fn joined<T: Send + 'static>(thread: JoinHandle<T>) -> T {
    tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap()
}
