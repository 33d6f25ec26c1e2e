//! The lab's DNS server: names the pods, and goes on naming the dead for a while, as a cluster's does.

mod zone;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use hickory_server::Server;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, UdpSocket};

pub use zone::Zone;

/// The headless name of the pods.
pub const NAME: &str = "demo.lab.obit.test.";

/// How long an answer may be cached, seconds; and how long a dead pod is still named. CoreDNS: `ttl 30`, cache 30 s.
pub const TTL_SECONDS: u32 = 30;

/// What the DNS server is told.
#[derive(Debug, Clone, clap::Args)]
pub struct DnsArgs {
    /// The process that must outlive this one.
    #[arg(long)]
    pub parent: u32,
    /// Where it listens, UDP and TCP.
    #[arg(long)]
    pub listen: SocketAddr,
    /// A pod that is ready.
    #[arg(long = "pod", required = true)]
    pub pods: Vec<Ipv4Addr>,
}

/// Serves until its standard input ends; a line there is the address of a pod to forget. Prints `ready` once it
/// listens.
///
/// # Errors
/// When it cannot listen.
pub fn run(args: &DnsArgs) -> anyhow::Result<()> {
    crate::child::die_with_parent(args.parent)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let zone = Zone::new(&args.pods).await.context("the zone")?;
        let mut server = Server::new(zone.catalog());
        server.register_socket(UdpSocket::bind(args.listen).await.context("bind UDP")?);
        server.register_listener(
            TcpListener::bind(args.listen).await.context("bind TCP")?,
            Duration::from_secs(5),
            16,
        );
        println!("ready");
        let mut commands = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = commands.next_line().await? {
            zone.forget(line.parse().with_context(|| format!("{line:?} is no address"))?)
                .await;
        }
        server.shutdown_gracefully().await.context("shut down")
    })
}
