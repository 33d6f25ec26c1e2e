//! Endpoints as the node's monitor pushes them.

use std::time::Duration;

use tokio::time::Instant;

use super::{IpFamily, Port, Resolve, Resolving, Running, Sets, Update, pods};
use crate::clock;
use crate::feed::{Feed, Service, ServiceError, ServiceState, ServiceWatch};

/// How long the monitor may take to answer before the other resolver is asked, while no endpoint is known.
const FIRST_PATIENCE: Duration = Duration::from_millis(250);

/// How long the monitor may be away before the other resolver is asked, once endpoints are known.
const PATIENCE: Duration = Duration::from_secs(10);

/// The endpoints of a Kubernetes service, as the node's monitor tells them: within a moment of every change, with one watch of
/// the API for all processes of the node, and no rights of their own.
///
/// Ready pods are endpoints; where there is none, those that terminate and serve yet, as with kube-proxy. What is known stays
/// when the monitor goes away. Not every monitor watches Kubernetes: [`or`](Self::or) names who is asked then.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use obit::resolve::{Dns, Monitor};
///
/// let dns = Dns::new("demo-api.shop.svc.cluster.local.", 50051);
/// let client = obit::Client::builder("http://demo-api.shop")
///     .resolver(Monitor::new("demo-api", "shop", 50051).or(dns))
///     .build()?;
/// # Ok(()) }
/// ```
#[must_use = "a resolver does nothing until a client is built with it"]
pub struct Monitor {
    service: Service,
    family: IpFamily,
    feed: Option<Feed>,
    other: Option<Box<dyn Resolve>>,
}

impl Monitor {
    /// The pods of `service` in `namespace`, each serving on `port`: the name the service gives it, or the pods' own number.
    pub fn new(service: impl AsRef<str>, namespace: impl AsRef<str>, port: impl Into<Port>) -> Self {
        Self {
            service: Service::new(service.as_ref(), namespace.as_ref(), port),
            family: IpFamily::default(),
            feed: None,
            other: None,
        }
    }

    /// The subscription to the monitor. Default: [`Feed::global`].
    pub fn feed(mut self, feed: Feed) -> Self {
        self.feed = Some(feed);
        self
    }

    /// Which addresses count where the service has them in both families. Default: [`IpFamily::PreferV4`].
    pub fn ip_family(mut self, family: IpFamily) -> Self {
        self.family = family;
        self
    }

    /// Another resolver for as long as the monitor does not answer: at once where it says that it cannot, a quarter of a second after
    /// the start, and ten seconds after the monitor was lost. As soon as the monitor answers, what it says counts, and the
    /// other one rests.
    pub fn or(mut self, other: impl Resolve) -> Self {
        self.other = Some(Box::new(other));
        self
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl Resolve for Monitor {
    fn run(self: Box<Self>, sets: Sets) -> Resolving {
        Box::pin(async move {
            let feed = self.feed.unwrap_or_else(Feed::global);
            let mut turns = Turns {
                watch: feed.watch_service(self.service),
                family: self.family,
                other: self.other.map(Running::boxed),
                silence: Silence::default(),
                sets,
                stale: false,
            };
            turns.take(feed).await;
        })
    }
}

/// The monitor and the other resolver, of whom one is heard at a time.
struct Turns {
    watch: ServiceWatch,
    family: IpFamily,
    other: Option<Running>,
    silence: Silence,
    sets: Sets,
    stale: bool,
}

impl Turns {
    async fn take(&mut self, mut feed: Feed) {
        let mut state = self.watch.state();
        self.hear(&state).await;
        loop {
            let answers = feed.status().is_connected() && is_answer(&state);
            self.silence
                .note(answers, matches!(state, ServiceState::Failed(_)), clock::now());
            let waited_for = self.silence.ends;
            let due = waited_for.is_some_and(|due| due <= clock::now());
            if due {
                self.take_over(&state).await;
            }
            let other = async {
                match &mut self.other {
                    Some(other) if due => other.next().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = self.watch.changed() => {
                    state = changed;
                    self.hear(&state).await;
                }
                _ = feed.status_changed() => {}
                () = tokio::time::sleep_until(waited_for.unwrap_or_else(clock::now)), if !due && waited_for.is_some() => {}
                update = other => match update {
                    Some(Update::Endpoints(endpoints)) => {
                        self.silence.known = true;
                        self.sets.publish(endpoints).await;
                    }
                    Some(Update::Failed(error)) => self.sets.failed(error).await,
                    // It has said its last word, which stays.
                    None => self.other = None,
                },
                () = self.sets.trouble(), if due => {
                    if let Some(other) = &self.other {
                        other.trouble();
                    }
                }
            }
        }
    }

    /// Publishes what the monitor says.
    async fn hear(&mut self, state: &ServiceState) {
        match state {
            ServiceState::Unknown => {}
            ServiceState::Known {
                endpoints,
                stale_since_ns,
            } => {
                let stale = stale_since_ns.is_some();
                let service = self.watch.service();
                match (self.stale, stale) {
                    (false, true) => {
                        tracing::warn!(%service, "the monitor has lost the Kubernetes API: the endpoints may be outdated");
                    }
                    (true, false) => tracing::info!(%service, "the monitor has the Kubernetes API again"),
                    _ => {}
                }
                self.stale = stale;
                self.silence.known = true;
                self.sets.publish(pods::endpoints(endpoints, self.family)).await;
            }
            ServiceState::Failed(error) => {
                if error.is_negative_answer() {
                    self.sets.publish(Vec::new()).await;
                }
                if error.is_negative_answer() || self.other.is_none() {
                    self.sets.failed(error.clone()).await;
                }
            }
        }
    }

    /// The monitor has been silent for too long. Said once for each silence.
    async fn take_over(&mut self, state: &ServiceState) {
        if !self.silence.tell() {
            return;
        }
        let error = match state {
            ServiceState::Failed(error) => error.clone(),
            _ => ServiceError::NoMonitor {
                service: self.watch.service().clone(),
            },
        };
        match &self.other {
            Some(_) => tracing::info!("asking the other resolver: {error}"),
            None if !self.silence.known && !matches!(state, ServiceState::Failed(_)) => self.sets.failed(error).await,
            None => {}
        }
    }
}

fn is_answer(state: &ServiceState) -> bool {
    match state {
        ServiceState::Unknown => false,
        ServiceState::Known { .. } => true,
        ServiceState::Failed(error) => error.is_negative_answer(),
    }
}

/// Since when the monitor has not answered, and when somebody else is asked. Pure.
#[derive(Debug, Default)]
struct Silence {
    /// When somebody else is to be asked.
    ends: Option<Instant>,
    told: bool,
    /// Endpoints are known, from whomever.
    known: bool,
}

impl Silence {
    /// `admitted`: it said itself that it has no answer.
    fn note(&mut self, answers: bool, admitted: bool, now: Instant) {
        if answers {
            (self.ends, self.told) = (None, false);
            return;
        }
        // Settled when it begins: what the other resolver tells meanwhile is no reason to wait longer.
        let patience = if self.known { PATIENCE } else { FIRST_PATIENCE };
        let ends = *self.ends.get_or_insert(now + patience);
        if admitted {
            self.ends = Some(ends.min(now));
        }
    }

    /// Whether it was not told yet.
    fn tell(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn patience_is_short_while_nothing_is_known_and_long_after() {
        let start = clock::now();
        let mut silence = Silence::default();
        silence.note(false, false, start);
        assert_eq!(silence.ends, Some(after(start, 250)));
        silence.known = true;
        silence.note(false, false, after(start, 300));
        assert_eq!(silence.ends, Some(after(start, 250)), "it goes on as it began");
        silence.note(true, false, after(start, 400));
        assert_eq!(silence.ends, None);
        silence.note(false, false, after(start, 500));
        assert_eq!(silence.ends, Some(after(start, 10_500)));
    }

    #[test]
    fn an_admission_ends_patience_at_once() {
        let start = clock::now();
        let mut silence = Silence {
            known: true,
            ..Silence::default()
        };
        silence.note(false, false, start);
        silence.note(false, true, after(start, 1));
        assert_eq!(silence.ends, Some(after(start, 1)));
        silence.note(false, true, after(start, 5));
        assert_eq!(silence.ends, Some(after(start, 1)));
    }

    #[test]
    fn each_silence_is_told_once() {
        let start = clock::now();
        let mut silence = Silence::default();
        silence.note(false, true, start);
        assert!(silence.tell());
        assert!(!silence.tell());
        silence.note(true, false, start);
        silence.note(false, true, start);
        assert!(silence.tell());
    }
}
