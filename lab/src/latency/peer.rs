//! A peer that dies on request: listens on many ports and does with each connection what its first byte asks for.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::FIRST_PORT;

/// Close the listener, then say so.
pub(super) const STOP_LISTENING: u8 = b'L';
/// Reset this connection.
pub(super) const RESET: u8 = b'R';
/// Close this connection.
pub(super) const CLOSE: u8 = b'F';
/// The answer to [`STOP_LISTENING`].
pub(super) const STOPPED: u8 = b'k';

/// What a peer is told.
#[derive(Debug, Clone, clap::Args)]
pub struct PeerArgs {
    /// The process that must outlive this one.
    #[arg(long)]
    pub parent: u32,
    /// Where it listens.
    #[arg(long)]
    pub address: Ipv4Addr,
    /// On how many ports.
    #[arg(long)]
    pub ports: u16,
}

/// Runs a peer until it is killed. Prints `ready` once it listens on every port.
///
/// # Errors
/// When it cannot listen.
pub fn run(args: &PeerArgs) -> anyhow::Result<()> {
    crate::child::die_with_parent(args.parent)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for port in FIRST_PORT..FIRST_PORT + args.ports {
            let address = SocketAddr::from((args.address, port));
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("listen on {address}"))?;
            tokio::spawn(listen(listener));
        }
        println!("ready");
        std::future::pending().await
    })
}

/// Serves one port until a connection asks for its end.
async fn listen(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        // A client that leaves without a word leaves in peace.
        let Ok(wish) = stream.read_u8().await else { continue };
        if wish == STOP_LISTENING {
            drop(listener);
            let _ = stream.write_all(&[STOPPED]).await;
            linger(stream).await;
            return;
        }
        die(stream, wish);
    }
}

/// Ends the connection as asked.
fn die(stream: TcpStream, wish: u8) {
    if wish == RESET {
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
    drop(stream);
}

/// Waits for the client to leave first.
async fn linger(mut stream: TcpStream) {
    let _ = stream.read_u8().await;
}
