//! Name servers for tests, on loopback: a real one whose records change, and one that answers as it is told.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    missing_docs,
    reason = "each test binary uses its part"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA, SRV};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordSet, RecordType, RrKey};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

pub fn name(name: &str) -> Name {
    Name::from_str(name).unwrap()
}

/// A record of `owner` with this address.
pub fn address(owner: &str, ttl: u32, ip: IpAddr) -> Record {
    let data = match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    };
    Record::from_rdata(name(owner), ttl, data)
}

/// An SRV record of `owner`.
pub fn srv(owner: &str, ttl: u32, (priority, weight, port): (u16, u16, u16), target: &str) -> Record {
    let data = RData::SRV(SRV::new(priority, weight, port, name(target)));
    Record::from_rdata(name(owner), ttl, data)
}

/// The largest answer by UDP, bytes.
const DATAGRAM_MAX: usize = 1232;

/// One port, free for UDP and TCP.
async fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
            return (socket, listener);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

/// A real name server, of one zone.
pub struct Zone {
    records: Arc<InMemoryZoneHandler>,
    pub server: hickory_server::Server<Catalog>,
    pub address: SocketAddr,
}

impl Zone {
    pub async fn of(origin: &str) -> Self {
        Self::serving(origin, sockets().await).await
    }

    /// One that serves at this address.
    pub async fn at(origin: &str, address: SocketAddr) -> Self {
        let sockets = (
            UdpSocket::bind(address).await.unwrap(),
            TcpListener::bind(address).await.unwrap(),
        );
        Self::serving(origin, sockets).await
    }

    async fn serving(origin: &str, (socket, listener): (UdpSocket, TcpListener)) -> Self {
        let origin = name(origin);
        let records: Arc<InMemoryZoneHandler> = Arc::new(InMemoryZoneHandler::empty(
            origin.clone(),
            ZoneType::Primary,
            AxfrPolicy::Deny,
        ));
        let soa = SOA::new(origin.clone(), origin.clone(), 1, 3600, 600, 86_400, 1);
        records
            .upsert(Record::from_rdata(origin.clone(), 1, RData::SOA(soa)), 1)
            .await;
        let mut catalog = Catalog::new();
        catalog.upsert(LowerName::new(&origin), vec![records.clone()]);
        let address = socket.local_addr().unwrap();
        let mut server = hickory_server::Server::new(catalog);
        server.register_socket(socket);
        server.register_listener(listener, Duration::from_secs(5), 64);
        Self {
            records,
            server,
            address,
        }
    }

    /// A zone `obit.test.` in which `owner` has these addresses.
    pub async fn naming(owner: &str, pods: &[Ipv4Addr], ttl: u32) -> Self {
        let zone = Self::of("obit.test.").await;
        zone.name(owner, pods, ttl).await;
        zone
    }

    /// `owner` has these addresses from now on.
    pub async fn name(&self, owner: &str, pods: &[Ipv4Addr], ttl: u32) {
        let records: Vec<_> = pods.iter().map(|pod| address(owner, ttl, IpAddr::V4(*pod))).collect();
        self.set(owner, RecordType::A, &records).await;
    }

    /// `owner` has these records of this kind from now on.
    pub async fn set(&self, owner: &str, kind: RecordType, records: &[Record]) {
        let owner = name(owner);
        let mut set = RecordSet::new(owner.clone(), kind, 1);
        for record in records {
            set.insert(record.clone(), 1);
        }
        let key = RrKey::new(LowerName::new(&owner), kind);
        self.records.records_mut().await.insert(key, Arc::new(set));
    }
}

/// What a scripted name server does with a question.
pub enum Reply {
    /// These are the answers, and these come along.
    Records(Vec<Record>, Vec<Record>),
    /// There is nothing, or an error.
    Code(ResponseCode),
    /// "Ask over TCP."
    Truncated,
    /// These bytes after the question's id.
    Garbage(Vec<u8>),
    Silence,
}

type Script = dyn FnMut(&Name, RecordType) -> Reply + Send;

/// A name server that answers as it is told, and counts the questions.
pub struct Scripted {
    pub address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    pub async fn start(script: impl FnMut(&Name, RecordType) -> Reply + Send + 'static) -> Self {
        let (socket, listener) = sockets().await;
        let address = socket.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(script)));
        let mut tasks = JoinSet::new();
        tasks.spawn(udp(socket, script.clone(), asked.clone()));
        tasks.spawn(tcp(listener, script, asked.clone()));
        Self {
            address,
            asked,
            _tasks: tasks,
        }
    }

    /// How many questions have come, over UDP and TCP.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn udp(socket: UdpSocket, script: Arc<Mutex<Box<Script>>>, asked: Arc<AtomicUsize>) {
    let mut question = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut question).await.unwrap();
        asked.fetch_add(1, Ordering::SeqCst);
        if let Some(mut answer) = answer(&question[..length], &script) {
            if answer.len() > DATAGRAM_MAX {
                // The header alone, with the bit that says so, and no record counted.
                answer.truncate(12);
                answer[2] |= 2;
                answer[4..12].fill(0);
                answer[5] = 1;
                answer.extend(&question[12..question_end(&question[..length])]);
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    }
}

/// Where the one question of this message ends.
fn question_end(message: &[u8]) -> usize {
    let name = message[12..].iter().position(|byte| *byte == 0).unwrap();
    12 + name + 1 + 4
}

async fn tcp(listener: TcpListener, script: Arc<Mutex<Box<Script>>>, asked: Arc<AtomicUsize>) {
    let mut serving = JoinSet::new();
    loop {
        let mut stream = listener.accept().await.unwrap().0;
        let (script, asked) = (script.clone(), asked.clone());
        serving.spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut question = vec![0; length.into()];
                stream.read_exact(&mut question).await.unwrap();
                asked.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer(&question, &script) {
                    let mut framed = u16::try_from(answer.len()).unwrap().to_be_bytes().to_vec();
                    framed.extend(answer);
                    if stream.write_all(&framed).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

fn answer(question: &[u8], script: &Mutex<Box<Script>>) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let mut answer = Message::response(question.id, question.op_code);
    answer.add_query(query.clone());
    match script.lock().unwrap()(query.name(), query.query_type()) {
        Reply::Records(answers, along) => {
            answer.add_answers(answers);
            answer.add_additionals(along);
        }
        Reply::Code(code) => answer.metadata.response_code = code,
        Reply::Truncated => answer.metadata.truncation = true,
        Reply::Garbage(bytes) => return Some([question.id.to_be_bytes().to_vec(), bytes].concat()),
        Reply::Silence => return None,
    }
    Some(answer.to_vec().unwrap())
}
