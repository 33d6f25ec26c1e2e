//! What the cluster is known to be, where the watch of the API and the sessions meet: the one puts up what is new, the others look
//! and are woken.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use obit_protocol::{Endpoint, EndpointsError};
use tokio::sync::Notify;

use super::catalogue::{Catalogue, Changes, ServiceName};
use super::selection::{Nothing, Port, select};
use crate::clock;
use crate::hub::{CHUNK, Hub};
use crate::sighting::MonotonicNs;

/// One port of a service, as a subscriber asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The service.
    pub service: ServiceName,
    /// Which of its ports.
    pub port: Port,
}

/// What is known of what was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The endpoints, in the order of their addresses.
    pub endpoints: Vec<Endpoint>,
    /// Since when the API is away.
    pub stale_since: Option<MonotonicNs>,
    /// Why there are no endpoints.
    pub error: EndpointsError,
    /// The same in words, and what to do about it.
    pub detail: String,
}

/// How much is known of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The API is heard, and has told everything.
    pub up: bool,
    /// How many slices there are.
    pub slices: usize,
    /// How many addresses are in them.
    pub addresses: usize,
    /// How many questions sessions have about services.
    pub questions: usize,
}

impl Answer {
    /// There are no endpoints, for this reason.
    #[must_use]
    pub fn none(error: EndpointsError, detail: impl Into<String>) -> Self {
        Self {
            endpoints: Vec::new(),
            stale_since: None,
            error,
            detail: detail.into(),
        }
    }
}

/// Where a session finds which of its questions have another answer now.
#[derive(Debug, Default)]
pub struct Mailbox {
    changed: Mutex<BTreeSet<u64>>,
    news: Notify,
}

impl Mailbox {
    /// The question of this number is to be answered (again).
    pub fn put(&self, id: u64) {
        lock(&self.changed).insert(id);
        self.news.notify_one();
    }

    /// Takes the questions that were put since the last call.
    #[must_use]
    pub fn take(&self) -> BTreeSet<u64> {
        std::mem::take(&mut *lock(&self.changed))
    }

    /// Waits until something is put.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn changed(&self) {
        self.news.notified().await;
    }
}

/// The cluster, as far as it is known.
#[derive(Debug)]
pub struct Board {
    state: Mutex<State>,
    /// Held from a look at the catalogue until the hub has heard of it: what it hears last is the newest.
    telling: Mutex<()>,
}

#[derive(Debug)]
struct State {
    catalogue: Catalogue,
    /// Until all slices were told once: why they were not.
    unknown: Option<Answer>,
    stale_since: Option<MonotonicNs>,
    askers: HashMap<ServiceName, Vec<Asker>>,
}

#[derive(Debug)]
struct Asker {
    mailbox: Arc<Mailbox>,
    id: u64,
}

impl State {
    fn wake(&self, service: &ServiceName) {
        for asker in self.askers.get(service).into_iter().flatten() {
            asker.mailbox.put(asker.id);
        }
    }

    fn wake_all(&self) {
        for asker in self.askers.values().flatten() {
            asker.mailbox.put(asker.id);
        }
    }
}

impl Default for Board {
    /// Nothing was told yet.
    fn default() -> Self {
        let waiting = "the Kubernetes API has not answered yet: the endpoints follow when it has";
        Self {
            state: Mutex::new(State {
                catalogue: Catalogue::default(),
                unknown: Some(Answer::none(EndpointsError::Unavailable, waiting)),
                stale_since: None,
                askers: HashMap::new(),
            }),
            telling: Mutex::new(()),
        }
    }
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    // The sessions' side.

    /// Puts `id` into the mailbox now, and whenever there may be another answer.
    pub fn ask(&self, asked: &Asked, mailbox: &Arc<Mailbox>, id: u64) {
        let askers = &mut self.state().askers;
        askers.entry(asked.service.clone()).or_default().push(Asker {
            mailbox: Arc::clone(mailbox),
            id,
        });
        mailbox.put(id);
    }

    /// A question is of no interest any more.
    pub fn forget(&self, asked: &Asked, mailbox: &Arc<Mailbox>, id: u64) {
        let askers = &mut self.state().askers;
        if let Some(of_service) = askers.get_mut(&asked.service) {
            of_service.retain(|asker| asker.id != id || !Arc::ptr_eq(&asker.mailbox, mailbox));
            if of_service.is_empty() {
                askers.remove(&asked.service);
            }
        }
    }

    /// What is known now.
    #[must_use]
    pub fn answer(&self, asked: &Asked) -> Answer {
        let (slices, stale_since) = {
            let state = self.state();
            if let Some(unknown) = &state.unknown {
                return unknown.clone();
            }
            (state.catalogue.slices(&asked.service), state.stale_since)
        };
        let service = &asked.service;
        let answer = match select(&slices, &asked.port) {
            Ok(endpoints) => Answer {
                endpoints,
                ..Answer::none(EndpointsError::Unspecified, "")
            },
            Err(Nothing::NoSlice) => Answer::none(
                EndpointsError::NoSuchService,
                format!("{service} has no EndpointSlice: check its name and namespace, and that it has a selector"),
            ),
            Err(Nothing::NoSuchPort(declared)) => {
                let declared = match declared.is_empty() {
                    true => "none".to_owned(),
                    false => declared.into_iter().collect::<Vec<_>>().join(", "),
                };
                Answer::none(
                    EndpointsError::NoSuchPort,
                    format!("{service} has no such TCP port (it has {declared}): a number is that of the pods' port"),
                )
            }
        };
        Answer { stale_since, ..answer }
    }

    /// Tells the hub what is said of these peers, at most [`CHUNK`] at a time.
    pub fn tell(&self, hub: &Hub, peers: &[SocketAddr]) {
        for chunk in peers.chunks(CHUNK) {
            let _telling = lock(&self.telling);
            let listed: Vec<_> = {
                let catalogue = &self.state().catalogue;
                chunk.iter().map(|peer| (*peer, catalogue.listed(*peer))).collect()
            };
            hub.hear(clock::monotonic(), &listed);
        }
    }

    // The side of the watch.

    /// All slices are told from here on.
    pub(super) fn begin(&self) {
        self.state().catalogue.begin();
    }

    /// A slice is new or another. Returns the addresses of which something else is said.
    pub(super) fn apply(&self, object: &EndpointSlice, garbage: &mut Vec<String>) -> BTreeSet<IpAddr> {
        self.change(|catalogue| catalogue.apply(object, garbage))
    }

    /// A slice is gone.
    pub(super) fn delete(&self, object: &EndpointSlice) -> BTreeSet<IpAddr> {
        self.change(|catalogue| catalogue.delete(object))
    }

    /// All slices were told.
    pub(super) fn complete(&self) -> BTreeSet<IpAddr> {
        let addresses = self.change(Catalogue::complete);
        let state = &mut *self.state();
        if state.unknown.take().is_some() {
            state.wake_all();
        }
        addresses
    }

    /// The API tells nothing, for this reason. Says something only as long as nothing is known.
    pub(super) fn failed(&self, why: Answer) {
        let state = &mut *self.state();
        if state.unknown.as_ref().is_some_and(|known| *known != why) {
            state.unknown = Some(why);
            state.wake_all();
        }
    }

    /// Since when the API is away; `None`: it is not.
    pub(super) fn stale(&self, since: Option<MonotonicNs>) {
        let state = &mut *self.state();
        if state.stale_since != since {
            state.stale_since = since;
            if state.unknown.is_none() {
                state.wake_all();
            }
        }
    }

    /// Whether the API is heard, and how much is known and asked.
    #[must_use]
    pub fn view(&self) -> View {
        let state = &*self.state();
        let (slices, addresses) = state.catalogue.sizes();
        View {
            up: state.unknown.is_none() && state.stale_since.is_none(),
            slices,
            addresses,
            questions: state.askers.values().map(Vec::len).sum(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Catalogue) -> Changes) -> BTreeSet<IpAddr> {
        let state = &mut *self.state();
        let changes = change(&mut state.catalogue);
        if state.unknown.is_none() {
            changes.services.iter().for_each(|service| state.wake(service));
        }
        changes.addresses
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::slice::tests::object;
    use super::*;

    fn asked(service: &str, port: Port) -> Asked {
        Asked {
            service: ServiceName {
                namespace: "shop".into(),
                name: service.into(),
            },
            port,
        }
    }

    fn grpc() -> Asked {
        asked("demo", Port::Name("grpc".to_owned()))
    }

    fn apply(board: &Board, object: &EndpointSlice) {
        board.apply(object, &mut Vec::new());
    }

    fn known() -> Board {
        let board = Board::default();
        board.begin();
        board.complete();
        board
    }

    #[test]
    fn until_everything_was_told_the_answer_is_why_it_was_not() {
        let (board, mailbox) = (Board::default(), Arc::default());
        board.ask(&grpc(), &mailbox, 7);
        assert_eq!(mailbox.take(), [7].into());
        assert_eq!(board.answer(&grpc()).error, EndpointsError::Unavailable);
        let why = Answer::none(EndpointsError::NotAllowed, "no rights");
        board.failed(why.clone());
        assert_eq!((mailbox.take(), board.answer(&grpc())), ([7].into(), why.clone()));
        board.failed(why);
        assert!(mailbox.take().is_empty(), "said once");
        board.begin();
        apply(&board, &object("a", &[("grpc", 1)], &["10.0.0.1"]));
        assert!(mailbox.take().is_empty(), "a part is no answer");
        assert_eq!(board.answer(&grpc()).error, EndpointsError::NotAllowed);
        board.complete();
        assert_eq!(mailbox.take(), [7].into());
        assert_eq!(board.answer(&grpc()).endpoints.len(), 1);
    }

    #[test]
    fn those_who_asked_about_it_are_woken_by_a_change_and_nobody_else() {
        let (board, one, other) = (known(), Arc::default(), Arc::default());
        board.ask(&grpc(), &one, 1);
        board.ask(&asked("other", Port::Number(1)), &other, 1);
        (_, _) = (one.take(), other.take());
        apply(&board, &object("a", &[("grpc", 1)], &["10.0.0.1"]));
        assert_eq!((one.take(), other.take()), ([1].into(), [].into()));
        apply(&board, &object("a", &[("grpc", 1)], &["10.0.0.1"]));
        assert!(one.take().is_empty(), "nothing changed");
        board.forget(&grpc(), &one, 1);
        board.delete(&object("a", &[], &[]));
        assert!(one.take().is_empty());
        assert!(
            !board.state().askers.contains_key(&grpc().service),
            "nothing stays behind"
        );
    }

    #[test]
    fn what_is_not_there_is_named_with_what_to_do() {
        let board = known();
        let answer = board.answer(&grpc());
        assert_eq!(answer.error, EndpointsError::NoSuchService);
        assert!(
            answer.detail.contains("demo.shop has no EndpointSlice"),
            "{}",
            answer.detail
        );
        apply(&board, &object("a", &[("http", 80)], &["10.0.0.1"]));
        let answer = board.answer(&grpc());
        assert_eq!(answer.error, EndpointsError::NoSuchPort);
        assert!(answer.detail.contains("it has http=80"), "{}", answer.detail);
    }

    #[test]
    fn when_the_api_is_away_the_last_set_stays_and_is_marked() {
        let (board, mailbox) = (known(), Arc::default());
        apply(&board, &object("a", &[("grpc", 1)], &["10.0.0.1"]));
        board.ask(&grpc(), &mailbox, 1);
        _ = mailbox.take();
        let since = Some(MonotonicNs(5));
        board.stale(since);
        board.failed(Answer::none(EndpointsError::Unavailable, "away"));
        let answer = board.answer(&grpc());
        assert_eq!((answer.endpoints.len(), answer.stale_since), (1, since));
        assert_eq!(mailbox.take(), [1].into());
        board.stale(None);
        assert_eq!((mailbox.take(), board.answer(&grpc()).stale_since), ([1].into(), None));
    }
}
