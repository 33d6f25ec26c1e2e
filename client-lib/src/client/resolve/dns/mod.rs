//! Endpoints from DNS: every address of a headless name, or what its SRV records lead to; looked up again when the TTL runs
//! out and when trouble says so.

mod asker;
mod error;
mod names;
mod pace;
mod srv;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::Name;
use tokio::time::Instant;

use super::{Endpoint, IpFamily, Resolve, Resolving, Sets};
use crate::clock;
use asker::{Answer, Asker, Miss};
pub use error::DnsError;
use pace::Pace;

/// Looks up A and AAAA records, or SRV records.
///
/// ```
/// use std::time::Duration;
/// use obit::resolve::Dns;
///
/// let resolver = Dns::new("demo-api-headless.default.svc.cluster.local.", 50051)
///     .name_server("198.18.0.53:53".parse().unwrap())
///     .ttl_bounds(Duration::from_secs(1), Duration::from_secs(30));
///
/// // The port named `grpc` of every pod, whatever its number.
/// let resolver = Dns::srv("_grpc._tcp.demo-api-headless.default.svc.cluster.local.");
/// ```
///
/// # What becomes of the endpoints known
///
/// | a look-up ends with | the set |
/// |---|---|
/// | addresses | is these |
/// | SRV records whose only target is "." ("decidedly not available") | is empty |
/// | "no such name", or no such record | stays; with [`empty_after`](Self::empty_after) it is emptied when that goes on |
/// | an error of the name server, no answer in time, garbage | stays |
///
/// An old address may still serve, no address never does, and who is dead is found out without DNS.
#[derive(Debug, Clone)]
pub struct Dns {
    name: String,
    records: Records,
    name_server: Option<SocketAddr>,
    search: Option<Vec<String>>,
    ndots: Option<usize>,
    family: IpFamily,
    timeout: Duration,
    empty_after: Option<Duration>,
    pace: Pace,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
enum Records {
    Addresses { port: u16 },
    Services,
}

impl Dns {
    /// The addresses of `name`, each serving on `port`. An IP address is taken as it is and never looked up.
    ///
    /// A name with a trailing dot is looked up as it is. Any other is completed by the search list as resolv.conf(5) has it:
    /// with fewer dots than `ndots` the search list comes first.
    #[must_use]
    pub fn new(name: impl Into<String>, port: u16) -> Self {
        Self::of(name.into(), Records::Addresses { port })
    }

    /// The targets of the SRV records of `name`, each with its own port.
    ///
    /// Of the records only those of the lowest priority any of whose targets has an address are used; the others stand by.
    /// A record's weight is its target's [`Endpoint::with_weight`], divided among the target's addresses. Weight 0 is an
    /// endpoint of weight 0, one that takes nothing unless nobody else is in rotation; where all of them weigh 0, all are
    /// alike. A target's addresses are those that came with the answer, or are looked up.
    #[must_use]
    pub fn srv(name: impl Into<String>) -> Self {
        Self::of(name.into(), Records::Services)
    }

    fn of(name: String, records: Records) -> Self {
        Self {
            name,
            records,
            name_server: None,
            search: None,
            ndots: None,
            family: IpFamily::default(),
            timeout: Duration::from_secs(10),
            empty_after: None,
            pace: Pace::default(),
        }
    }

    /// Asks this name server, over UDP and where needed TCP. Default: those of `/etc/resolv.conf`.
    #[must_use]
    pub fn name_server(mut self, address: SocketAddr) -> Self {
        self.name_server = Some(address);
        self
    }

    /// The domains that complete a name without a trailing dot, the first first. Default: those of `/etc/resolv.conf`; none
    /// with a [`name_server`](Self::name_server).
    ///
    /// A name server's failure to answer for one completion does not end the search, but where one has answered before, its
    /// failure is the look-up's: no other name is meant by that.
    #[must_use]
    pub fn search<D: Into<String>>(mut self, domains: impl IntoIterator<Item = D>) -> Self {
        self.search = Some(domains.into_iter().map(Into::into).collect());
        self
    }

    /// A name with so many dots is looked up as it is before the search list is. Default: as in `/etc/resolv.conf` (5 in a
    /// pod); 1 with a [`name_server`](Self::name_server).
    #[must_use]
    pub fn ndots(mut self, ndots: usize) -> Self {
        self.ndots = Some(ndots);
        self
    }

    /// Which addresses count where a name has them in both families. Default: [`IpFamily::PreferV4`].
    #[must_use]
    pub fn ip_family(mut self, family: IpFamily) -> Self {
        self.family = family;
        self
    }

    /// A look-up is repeated after the answer's TTL, but not earlier than `least` nor later than `most`. Default: 1 s and
    /// 30 s.
    #[must_use]
    pub fn ttl_bounds(mut self, least: Duration, most: Duration) -> Self {
        self.pace.least = least;
        self.pace.most = most.max(least);
        self
    }

    /// The least time between two look-ups when an endpoint went bad. Default: 1 s.
    #[must_use]
    pub fn trouble_interval(mut self, interval: Duration) -> Self {
        self.pace.trouble = interval;
        self
    }

    /// How long a look-up may take with all its questions: search list, families, targets. Default: 10 s. One question is
    /// asked once more after 2 s without an answer, and given up after 4 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Gives up the endpoints known once name servers have said for so long that there are none. Default: never.
    ///
    /// A name server that has just started says so of services that are well. But the addresses of a service that was taken
    /// away are given to others' pods in time.
    #[must_use]
    pub fn empty_after(mut self, time: Duration) -> Self {
        self.empty_after = Some(time);
        self
    }

    async fn once(&self, asker: &mut Option<Asker>) -> Result<Answer, DnsError> {
        let asker = match asker {
            Some(asker) => asker,
            None => asker.insert(Asker::new(self.name_server, self.family).map_err(DnsError::SystemConfiguration)?),
        };
        let answer = self.look_up(asker).await;
        if answer.is_err() {
            asker.renew(self.name_server);
        }
        answer
    }

    async fn look_up(&self, asker: &mut Asker) -> Result<Answer, DnsError> {
        let limit = self.timeout;
        tokio::time::timeout(limit, self.search_for(asker))
            .await
            .unwrap_or_else(|_| {
                Err(DnsError::Timeout {
                    name: self.name.clone(),
                    kind: self.kind(),
                    waited: limit,
                })
            })
    }

    async fn search_for(&self, asker: &mut Asker) -> Result<Answer, DnsError> {
        let search = match &self.search {
            Some(domains) => domains.iter().map(|domain| parsed(domain)).collect::<Result<_, _>>()?,
            None => asker.search().to_vec(),
        };
        let ndots = self.ndots.unwrap_or(asker.ndots());
        let names = names::candidates(&parsed(&self.name)?, &search, ndots);
        let mut worst = Miss::NoSuchName;
        for name in &names {
            let answer = match self.records {
                Records::Addresses { port } => asker.hosts(name, port).await,
                Records::Services => asker.services(name).await,
            };
            match answer {
                Ok(answer) => {
                    asker.answered = Some(name.clone());
                    return Ok(answer);
                }
                Err(Miss::Failed(error)) if asker.answered.as_ref() == Some(name) => {
                    return Err(self.explained(Miss::Failed(error), &names));
                }
                Err(miss) => worst = worse(worst, miss),
            }
        }
        Err(self.explained(worst, &names))
    }

    fn explained(&self, miss: Miss, tried: &[Name]) -> DnsError {
        let (name, kind) = (self.name.clone(), self.kind());
        let tried = || tried.iter().map(ToString::to_string).collect();
        match miss {
            Miss::NoSuchName => DnsError::NoSuchName {
                name,
                kind,
                tried: tried(),
            },
            Miss::NoRecords => DnsError::NoRecords {
                name,
                kind,
                tried: tried(),
            },
            Miss::Failed(NetError::Truncated) => DnsError::TooLarge { name, kind },
            Miss::Failed(NetError::Timeout) => DnsError::Timeout {
                name,
                kind,
                waited: asker::QUESTION_TIMEOUT,
            },
            Miss::Failed(error) => DnsError::LookUp {
                name,
                kind,
                source: Box::new(error),
            },
        }
    }

    fn kind(&self) -> &'static str {
        match (self.records, self.family) {
            (Records::Services, _) => "SRV",
            (_, IpFamily::V4Only) => "A",
            (_, IpFamily::V6Only) => "AAAA",
            _ => "A and AAAA",
        }
    }

    /// An address needs nobody to look it up.
    fn literal(&self) -> Option<Endpoint> {
        let Records::Addresses { port } = self.records else {
            return None;
        };
        let ip = self.name.trim_matches(['[', ']']).parse::<IpAddr>().ok()?;
        Some(Endpoint::new(SocketAddr::new(ip, port)))
    }
}

fn parsed(name: &str) -> Result<Name, DnsError> {
    Name::from_str_relaxed(name).map_err(|error| DnsError::InvalidName {
        name: name.to_owned(),
        source: Box::new(error.into()),
    })
}

/// Which of two tells more: the failure of one completion may hide the name that is meant, and a name without such a record
/// at least exists.
fn worse(one: Miss, other: Miss) -> Miss {
    match (&one, &other) {
        (Miss::Failed(_), _) | (Miss::NoRecords, Miss::NoSuchName) => one,
        _ => other,
    }
}

/// Since when name servers have said that there is nothing.
#[derive(Debug, Default)]
struct Emptiness(Option<Instant>);

impl Emptiness {
    /// Whether it has lasted.
    fn lasts(&mut self, negative: bool, now: Instant, limit: Option<Duration>) -> bool {
        if !negative {
            // A failure says nothing for either.
            return false;
        }
        let since = *self.0.get_or_insert(now);
        limit.is_some_and(|limit| now.saturating_duration_since(since) >= limit)
    }
}

impl Resolve for Dns {
    fn run(self: Box<Self>, mut sets: Sets) -> Resolving {
        Box::pin(async move {
            if let Some(endpoint) = self.literal() {
                sets.publish(vec![endpoint]).await;
                return;
            }
            let mut asker = None;
            let mut backoff = self.pace.backoff();
            let mut emptiness = Emptiness::default();
            loop {
                let begun = clock::now();
                let pause = match self.once(&mut asker).await {
                    Ok(Answer { endpoints, ttl }) => {
                        backoff.reset();
                        emptiness = Emptiness::default();
                        sets.publish(endpoints).await;
                        self.pace.after_answer(ttl)
                    }
                    Err(error) => {
                        if emptiness.lasts(error.is_negative_answer(), clock::now(), self.empty_after) {
                            sets.publish(Vec::new()).await;
                        }
                        sets.failed(error).await;
                        backoff.pause(0.0)
                    }
                };
                let trouble = async {
                    sets.trouble().await;
                    tokio::time::sleep_until(begun + self.pace.trouble).await;
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = trouble => {}
                }
            }
        })
    }
}
