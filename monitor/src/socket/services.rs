//! The services a subscriber watches: its questions, and when each is to be answered again.
//!
//! State, not stream: that a set has changed is kept, and the set itself is made when it is sent. A large set is sent less often than a
//! small one: ten thousand pods may be replaced one by one, and everybody who asks would be told ten thousand sets of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use obit_protocol::{Endpoint, Endpoints, EndpointsError, MAX_FRAME_BYTES, ServiceError, WatchService};
use prost::Message as _;

use crate::clock;
use crate::kubernetes::{Answer, Asked, Board, Mailbox, Port, ServiceName};
use crate::sighting::MonotonicNs;
use crate::subscribers::Place;

/// How long a set is left alone after it was sent, for each endpoint in it: a thousand of them 20 ms.
const REST: Duration = Duration::from_micros(20);

/// Room left in a frame for what is around its endpoints, bytes.
const MARGIN: usize = 128;

/// The longest sentence about an error, bytes: some of it is what the API said.
const DETAIL_MAX: usize = 4 * 1024;

pub(super) struct ServiceWatches {
    board: Option<Arc<Board>>,
    limit: usize,
    watches: HashMap<u64, Watched>,
    /// What is to be answered.
    due: BTreeMap<u64, MonotonicNs>,
    mailbox: Arc<Mailbox>,
    /// Of the newest answer.
    revision: u64,
}

enum Watched {
    /// The board knows of it.
    Asked { asked: Asked, rested: MonotonicNs },
    /// The policy denies it, as far as is known who asks.
    Denied { asked: Asked, answer: Answer },
    /// Is answered once, with this.
    Refused(Answer),
}

impl ServiceWatches {
    pub(super) fn new(board: Option<Arc<Board>>, limit: usize) -> Self {
        Self {
            board,
            limit,
            watches: HashMap::new(),
            due: BTreeMap::new(),
            mailbox: Arc::default(),
            revision: 0,
        }
    }

    pub(super) fn board(&self) -> Option<&Board> {
        self.board.as_deref()
    }

    /// Begins, changes or ends a watch of a subscriber.
    pub(super) fn ask(&mut self, watch: &WatchService, place: &Place) -> Result<(), ServiceError> {
        watch.check()?;
        let id = watch.id;
        self.end(id);
        let port = watch.port.as_ref().and_then(Port::asked).filter(|_| !watch.end);
        let Some(port) = port else {
            return Ok(());
        };
        let asked = Asked {
            service: ServiceName {
                namespace: watch.namespace.as_str().into(),
                name: watch.service.as_str().into(),
            },
            port,
        };
        let watched = self.admit(asked, place);
        match (&watched, &self.board) {
            (Watched::Asked { asked, .. }, Some(board)) => board.ask(asked, &self.mailbox, id),
            _ => self.mailbox.put(id),
        }
        self.watches.insert(id, watched);
        Ok(())
    }

    fn admit(&self, asked: Asked, place: &Place) -> Watched {
        if self.board.is_none() {
            return Watched::Refused(Answer::none(
                EndpointsError::NoKubernetes,
                "this monitor does not watch Kubernetes: run it in a pod, or with a kubeconfig",
            ));
        }
        let served = |watched: &&Watched| !matches!(watched, Watched::Refused(_));
        if self.watches.values().filter(served).count() >= self.limit {
            let detail = format!(
                "a subscriber may watch {} services at most: end another watch",
                self.limit
            );
            return Watched::Refused(Answer::none(EndpointsError::TooManyServices, detail));
        }
        let watched = judged(asked, place);
        count(&watched, place);
        watched
    }

    /// Judges every watch again: more is known of who asks.
    pub(super) fn review(&mut self, place: &Place) {
        let Some(board) = &self.board else { return };
        for (id, watched) in &mut self.watches {
            let (asked, before) = match watched {
                Watched::Asked { asked, .. } => (asked.clone(), None),
                Watched::Denied { asked, answer } => (asked.clone(), Some(answer.clone())),
                Watched::Refused(_) => continue,
            };
            match (judged(asked, place), before) {
                (Watched::Asked { .. }, None) => continue,
                (Watched::Denied { answer, .. }, Some(before)) if answer == before => continue,
                (now, before) => {
                    match (&now, before) {
                        (Watched::Asked { asked, .. }, _) => board.ask(asked, &self.mailbox, *id),
                        (Watched::Denied { asked, .. }, None) => board.forget(asked, &self.mailbox, *id),
                        _ => {}
                    }
                    count(&now, place);
                    *watched = now;
                    self.mailbox.put(*id);
                }
            }
        }
    }

    fn end(&mut self, id: u64) {
        self.due.remove(&id);
        if let (Some(Watched::Asked { asked, .. }), Some(board)) = (self.watches.remove(&id), &self.board) {
            board.forget(&asked, &self.mailbox, id);
        }
    }

    /// Waits until a watch is to be answered, and says which.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn due(&mut self) -> u64 {
        loop {
            for id in self.mailbox.take() {
                let at = match self.watches.get(&id) {
                    None => continue,
                    Some(Watched::Asked { rested, .. }) => *rested,
                    Some(Watched::Refused(_) | Watched::Denied { .. }) => MonotonicNs(0),
                };
                self.due.insert(id, at);
            }
            let now = clock::monotonic();
            let next = self.due.iter().min_by_key(|(_, at)| **at).map(|(id, at)| (*id, *at));
            match next {
                Some((id, at)) if at <= now => return id,
                Some((_, at)) => {
                    tokio::select! {
                        () = self.mailbox.changed() => {}
                        () = tokio::time::sleep(at.since(now)) => {}
                    }
                }
                None => self.mailbox.changed().await,
            }
        }
    }

    /// The newest answer about a watch, in frames.
    pub(super) fn answer(&mut self, id: u64) -> Vec<Endpoints> {
        self.due.remove(&id);
        let answer = match (self.watches.get_mut(&id), &self.board) {
            (Some(Watched::Asked { asked, rested }), Some(board)) => {
                let answer = board.answer(asked);
                let endpoints = u32::try_from(answer.endpoints.len()).unwrap_or(u32::MAX);
                *rested = clock::monotonic() + REST * endpoints;
                answer
            }
            (Some(Watched::Denied { answer, .. }), _) => answer.clone(),
            (Some(Watched::Refused(answer)), _) => {
                let answer = answer.clone();
                // Said once, and of no use any more: whoever asks for ever must not fill the memory.
                self.watches.remove(&id);
                answer
            }
            _ => return Vec::new(),
        };
        self.revision += 1;
        frames(id, self.revision, answer)
    }
}

/// What the policy makes of a question.
fn judged(asked: Asked, place: &Place) -> Watched {
    match place.may_ask(&asked.service) {
        Ok(()) => Watched::Asked {
            asked,
            rested: MonotonicNs(0),
        },
        Err(answer) => Watched::Denied { asked, answer },
    }
}

fn count(watched: &Watched, place: &Place) {
    if let Watched::Denied { answer, .. } = watched
        && answer.error == EndpointsError::NotAllowed
    {
        place.count_denial();
    }
}

impl Drop for ServiceWatches {
    fn drop(&mut self) {
        let ids: Vec<_> = self.watches.keys().copied().collect();
        for id in ids {
            self.end(id);
        }
    }
}

/// An answer as one frame, or as several where one does not hold it.
fn frames(id: u64, revision: u64, answer: Answer) -> Vec<Endpoints> {
    let mut detail = answer.detail;
    if detail.len() > DETAIL_MAX {
        detail.truncate(detail.floor_char_boundary(DETAIL_MAX));
    }
    let empty = Endpoints {
        id,
        revision,
        endpoints: Vec::new(),
        more: false,
        stale_since_ns: answer.stale_since.map_or(0, |since| since.0),
        error: answer.error.into(),
        detail,
    };
    let room = MAX_FRAME_BYTES - MARGIN - empty.encoded_len();
    let mut frames = Vec::new();
    let (mut part, mut size) = (empty.clone(), 0);
    for endpoint in answer.endpoints {
        let bytes = size_in_frame(&endpoint);
        if size + bytes > room {
            let full = std::mem::replace(&mut part, empty.clone());
            frames.push(Endpoints { more: true, ..full });
            size = 0;
        }
        size += bytes;
        part.endpoints.push(endpoint);
    }
    frames.push(part);
    frames
}

/// What an endpoint adds to its frame: itself, its tag and its length.
fn size_in_frame(endpoint: &Endpoint) -> usize {
    let bytes = endpoint.encoded_len();
    1 + prost::length_delimiter_len(bytes) + bytes
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use obit_protocol::watch_service;

    use super::*;
    use crate::subscribers::{PodName, Policy, Roll, Uid};

    fn anybody() -> Place {
        Arc::new(Roll::new(None, None)).admit(None)
    }

    fn watch(id: u64, service: &str) -> WatchService {
        WatchService {
            id,
            namespace: "shop".into(),
            service: service.into(),
            port: Some(watch_service::Port::Number(80)),
            end: false,
        }
    }

    fn answers(endpoints: u32) -> Answer {
        let endpoint = |number: u32| Endpoint {
            peer: Some(SocketAddr::from((number.to_be_bytes(), 80)).into()),
            zone: "a-zone-with-a-name".into(),
            ready: true,
            serving: true,
            terminating: false,
            for_zones: vec!["a-zone-with-a-name".into()],
        };
        Answer {
            endpoints: (1..=endpoints).map(endpoint).collect(),
            ..Answer::none(EndpointsError::Unspecified, "")
        }
    }

    #[test]
    fn a_large_set_is_told_in_frames_that_fit_and_nothing_of_it_is_lost() {
        let frames = frames(1, 9, answers(50_000));
        let (last, others) = frames.split_last().unwrap();
        assert!(!last.more && others.iter().all(|part| part.more));
        assert!(
            frames
                .iter()
                .all(|part| part.revision == 9 && part.encoded_len() < MAX_FRAME_BYTES - 16)
        );
        let told: Vec<_> = frames.into_iter().flat_map(|part| part.endpoints).collect();
        assert_eq!(told, answers(50_000).endpoints);
    }

    #[test]
    fn an_error_with_much_to_say_fits_a_frame() {
        let answer = Answer::none(EndpointsError::Unavailable, "é".repeat(100_000));
        let frames = frames(1, 1, answer);
        assert_eq!(frames.len(), 1);
        assert!(frames[0].encoded_len() <= DETAIL_MAX + MARGIN);
    }

    #[tokio::test]
    async fn without_kubernetes_each_question_is_answered_so_once() {
        let mut services = ServiceWatches::new(None, 8);
        services.ask(&watch(3, "demo"), &anybody()).unwrap();
        let id = services.due().await;
        let frames = services.answer(id);
        assert_eq!((frames[0].id, frames[0].error()), (3, EndpointsError::NoKubernetes));
        assert_eq!(services.due.len(), 0);
        tokio_test::assert_pending!(tokio_test::task::spawn(services.due()).poll());
    }

    #[tokio::test]
    async fn one_service_more_than_allowed_is_refused_and_the_others_stay() {
        let mut services = ServiceWatches::new(Some(Arc::default()), 1);
        services.ask(&watch(1, "demo"), &anybody()).unwrap();
        services.ask(&watch(2, "other"), &anybody()).unwrap();
        let error = |services: &mut ServiceWatches, id| services.answer(id)[0].error();
        assert_eq!(error(&mut services, 2), EndpointsError::TooManyServices);
        assert_eq!(error(&mut services, 1), EndpointsError::Unavailable);
        services
            .ask(
                &WatchService {
                    id: 1,
                    end: true,
                    ..WatchService::default()
                },
                &anybody(),
            )
            .unwrap();
        services.ask(&watch(2, "other"), &anybody()).unwrap();
        assert_eq!(error(&mut services, 2), EndpointsError::Unavailable);
        assert!(services.answer(1).is_empty(), "it was ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_set_rests_before_it_is_told_again() {
        let board = Arc::new(Board::default());
        let mut services = ServiceWatches::new(Some(Arc::clone(&board)), 1);
        services.ask(&watch(1, "demo"), &anybody()).unwrap();
        assert_eq!(services.due().await, 1);
        _ = services.answer(1);
        let Some(Watched::Asked { rested, .. }) = services.watches.get_mut(&1) else {
            panic!("it is asked");
        };
        // As after a set of so many that it rests for a day.
        *rested = clock::monotonic() + Duration::from_secs(86_400);
        services.mailbox.put(1);
        tokio_test::assert_pending!(tokio_test::task::spawn(services.due()).poll());
        assert_eq!(services.due.len(), 1, "it is kept until then");
    }

    #[test]
    fn a_session_that_ends_leaves_nothing_on_the_board() {
        let board = Arc::new(Board::default());
        let mut services = ServiceWatches::new(Some(Arc::clone(&board)), 8);
        services.ask(&watch(1, "demo"), &anybody()).unwrap();
        let mailbox = Arc::downgrade(&services.mailbox);
        drop(services);
        assert!(mailbox.upgrade().is_none());
    }

    #[test]
    fn what_the_policy_says_counts_as_soon_as_it_is_known_who_asks() {
        let policy = "unknown = [\"shop/a\"]\n[[rules]]\nfrom = [\"web\"]\nservices = [\"shop/b\"]";
        let roll = Arc::new(Roll::new(None, Some(Policy::parse(policy).expect("a policy"))));
        let uid = Uid::parse("00000000-0000-4000-8000-000000000001").expect("a UID");
        let place = roll.admit(Some(uid));
        let board = Arc::new(Board::default());
        let mut services = ServiceWatches::new(Some(Arc::clone(&board)), 3);
        for (id, service) in [(1, "a"), (2, "b"), (3, "c")] {
            services.ask(&watch(id, service), &place).unwrap();
        }
        let errors = |services: &mut ServiceWatches| [1, 2, 3].map(|id| services.answer(id)[0].error());
        let (denied, unavailable) = (EndpointsError::NotAllowed, EndpointsError::Unavailable);
        // That the API has not answered is what the board says to those who may ask.
        assert_eq!(errors(&mut services), [unavailable, denied, denied]);
        assert_eq!((board.view().questions, roll.denied()), (1, Some(2)));
        _ = services.mailbox.take();
        let pod = PodName {
            namespace: "web".into(),
            name: "front".into(),
        };
        roll.apply(uid, &pod);
        services.review(&place);
        assert_eq!(services.mailbox.take(), [1, 2, 3].into(), "each has another answer");
        assert_eq!(errors(&mut services), [denied, unavailable, denied]);
        assert_eq!(board.view().questions, 1);
        services.review(&place);
        assert!(services.mailbox.take().is_empty(), "said once");
        services.ask(&watch(4, "b"), &place).unwrap();
        let too_many = services.answer(4)[0].error();
        assert_eq!(too_many, EndpointsError::TooManyServices, "those that are denied count");
        assert!(!services.watches.contains_key(&4), "and nothing is kept of it");
    }
}
