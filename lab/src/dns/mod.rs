//! The lab's DNS server: names the pods, and goes on naming the dead for a while, as a cluster's does.

mod zone;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use hickory_server::Server;
use hickory_server::zone_handler::Catalog;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UdpSocket};

use crate::order::Orders;

pub use zone::Zone;

/// The headless name of the pods.
pub const NAME: &str = "demo.lab.obit.test.";

/// How long an answer may be cached, seconds; and how long a dead pod is still named. CoreDNS: `ttl 30`, cache 30 s.
pub const TTL_SECONDS: u32 = 30;

/// How long a TCP client may be silent.
const TCP_PATIENCE: Duration = Duration::from_secs(5);

/// Answers that may wait for a TCP client.
const TCP_BACKLOG: usize = 16;

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

/// What the server can be told while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Name a pod from now on.
    Name(Ipv4Addr),
    /// Name it no longer.
    Forget(Ipv4Addr),
}

/// Serves until its standard input ends; it is told [`Order`]s there. Prints `ready` once it listens.
///
/// # Errors
/// When it cannot listen, or is told something else.
pub fn run(args: &DnsArgs) -> anyhow::Result<()> {
    crate::child::die_with_parent(args.parent)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let zone = Zone::new(&args.pods).await.context("the zone")?;
        let udp = UdpSocket::bind(args.listen).await.context("bind UDP")?;
        let tcp = TcpListener::bind(args.listen).await.context("bind TCP")?;
        let mut server = serve(&zone, udp, tcp);
        println!("ready");
        let mut orders = Orders::of_stdin();
        while let Some(order) = orders.next().await? {
            match order {
                Order::Name(pod) => zone.name(pod).await,
                Order::Forget(pod) => zone.forget(pod).await,
            }
        }
        server.shutdown_gracefully().await.context("shut down")
    })
}

/// Answers from `zone` on both sockets.
fn serve(zone: &Zone, udp: UdpSocket, tcp: TcpListener) -> Server<Catalog> {
    let mut server = Server::new(zone.catalog());
    server.register_socket(udp);
    server.register_listener(tcp, TCP_PATIENCE, TCP_BACKLOG);
    server
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use hickory_proto::op::{Message, Query, ResponseCode};
    use hickory_proto::rr::{Name, RData, RecordType};
    use hickory_proto::serialize::binary::{BinDecodable as _, BinEncodable as _};

    use super::*;

    async fn ask(server: SocketAddr, name: &str) -> Message {
        let mut question = Message::query();
        question.add_query(Query::query(Name::from_str(name).unwrap(), RecordType::A));
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&question.to_bytes().unwrap(), server).await.unwrap();
        let mut answer = [0; 1_024];
        let (length, _) = socket.recv_from(&mut answer).await.unwrap();
        Message::from_bytes(&answer[..length]).unwrap()
    }

    #[tokio::test]
    async fn the_headless_name_has_an_address_for_each_pod_that_was_not_forgotten() {
        let pods = [Ipv4Addr::new(198, 18, 1, 1), Ipv4Addr::new(198, 18, 1, 2)];
        let zone = Zone::new(&pods).await.unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = udp.local_addr().unwrap();
        let _server = serve(&zone, udp, TcpListener::bind("127.0.0.1:0").await.unwrap());

        let mut named: Vec<_> = addresses(&ask(address, NAME).await);
        named.sort_unstable();
        assert_eq!(named, pods.map(|pod| (pod, TTL_SECONDS)));
        zone.forget(pods[0]).await;
        assert_eq!(addresses(&ask(address, NAME).await), [(pods[1], TTL_SECONDS)]);
        let other = ask(address, "other.lab.obit.test.").await;
        assert_eq!(other.metadata.response_code, ResponseCode::NXDomain);
    }

    fn addresses(answer: &Message) -> Vec<(Ipv4Addr, u32)> {
        let records = answer.answers.iter();
        records
            .filter_map(|record| match &record.data {
                RData::A(address) => Some((address.0, record.ttl)),
                _ => None,
            })
            .collect()
    }
}
