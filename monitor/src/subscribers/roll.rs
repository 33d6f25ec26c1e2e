//! The roll: who is connected, and the names of this node's pods, where the watch of the API and the sessions meet.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use obit_protocol::EndpointsError;
use tokio::sync::watch;

use super::policy::Policy;
use super::uid::Uid;
use crate::kernel::Cgroups;
use crate::kubernetes::{Answer, ServiceName};

/// A pod. Shown as `shop/demo-0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Who is connected, and which pods there are on this node.
#[derive(Debug)]
pub struct Roll {
    cgroups: Option<Cgroups>,
    policy: Option<Policy>,
    denied: AtomicU64,
    state: Mutex<State>,
    /// Told when somebody may be known, or judged, otherwise than before.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// The pods of this node, and in which telling each came last.
    pods: HashMap<Uid, (PodName, u32)>,
    telling: u32,
    /// All pods were told once; `None`: nobody tells of pods.
    told: Option<bool>,
    present: HashMap<u64, Present>,
    next: u64,
}

/// A subscriber.
#[derive(Debug)]
struct Present {
    uid: Option<Uid>,
    /// Once known it stays: the process may outlive its pod in the API.
    pod: Option<PodName>,
}

impl Roll {
    /// Nobody is connected. `cgroups`: how the kernel tells who is; without it everybody is nobody in particular. Without a `policy`
    /// everybody may ask for every service.
    #[must_use]
    pub fn new(cgroups: Option<Cgroups>, policy: Option<Policy>) -> Self {
        Self {
            cgroups,
            policy,
            denied: AtomicU64::new(0),
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The sessions' side.

    /// Somebody has connected; `socket` was accepted for it.
    #[must_use]
    pub fn enter(self: &Arc<Self>, socket: BorrowedFd<'_>) -> Place {
        let names = self.cgroups.as_ref().map(|cgroups| cgroups.of(socket)).transpose();
        let names = names.unwrap_or_else(|error| {
            tracing::warn!(%error, "the kernel does not tell the cgroup of a subscriber");
            None
        });
        self.admit(names.and_then(|names| Uid::of_cgroup(&names)))
    }

    /// Somebody in the pod with this UID has connected.
    #[must_use]
    pub fn admit(self: &Arc<Self>, uid: Option<Uid>) -> Place {
        let state = &mut *self.state();
        let pod = uid.and_then(|uid| state.pods.get(&uid)).map(|(pod, _)| pod.clone());
        let settled = uid.is_none() || pod.is_some();
        let number = state.next;
        state.next += 1;
        state.present.insert(number, Present { uid, pod });
        Place {
            roll: Arc::clone(self),
            number,
            uid,
            settled,
            changed: self.changed.subscribe(),
        }
    }

    // The side of the watch.

    /// Somebody is about to tell of pods.
    pub fn expect_pods(&self) {
        self.state().told.get_or_insert(false);
    }

    /// All pods are told from here on.
    pub fn begin(&self) {
        let state = &mut *self.state();
        state.told.get_or_insert(false);
        state.telling = state.telling.wrapping_add(1);
    }

    /// There is this pod.
    pub fn apply(&self, uid: Uid, pod: &PodName) {
        let state = &mut *self.state();
        state.pods.insert(uid, (pod.clone(), state.telling));
        let mut news = false;
        for present in state.present.values_mut() {
            if present.uid == Some(uid) && present.pod.is_none() {
                present.pod = Some(pod.clone());
                news = true;
            }
        }
        if news {
            self.changed.send_replace(());
        }
    }

    /// There is no such pod any more. Who was known to be in it stays so.
    pub fn delete(&self, uid: Uid) {
        self.state().pods.remove(&uid);
    }

    /// All pods were told: those that were not are gone. Returns how many there are.
    pub fn complete(&self) -> usize {
        let state = &mut *self.state();
        let telling = state.telling;
        state.pods.retain(|_, (_, told)| *told == telling);
        if state.told.replace(true) != Some(true) {
            self.changed.send_replace(());
        }
        state.pods.len()
    }

    // Those who look after it.

    /// How many subscribers there are in the pods of each namespace; under no name those who are in no pod that is known.
    #[must_use]
    pub fn by_namespace(&self) -> BTreeMap<Arc<str>, usize> {
        let mut counts = BTreeMap::from([(Arc::from(""), 0)]);
        for present in self.state().present.values() {
            let namespace = present
                .pod
                .as_ref()
                .map_or_else(|| Arc::from(""), |pod| Arc::clone(&pod.namespace));
            *counts.entry(namespace).or_default() += 1;
        }
        counts
    }

    /// How many pods of this node are known; `None`: nobody tells of them.
    #[must_use]
    pub fn pods(&self) -> Option<usize> {
        let state = &*self.state();
        state.told.map(|_| state.pods.len())
    }

    /// Whether there is a policy, and how many questions it has denied.
    #[must_use]
    pub fn denied(&self) -> Option<u64> {
        self.policy.as_ref().map(|_| self.denied.load(Ordering::Relaxed))
    }
}

/// A subscriber's place in the roll, for as long as it is connected.
#[derive(Debug)]
pub struct Place {
    roll: Arc<Roll>,
    number: u64,
    uid: Option<Uid>,
    /// All that will ever be known of it was known when that was last said.
    settled: bool,
    changed: watch::Receiver<()>,
}

impl Place {
    /// The pod it is in, as far as that is known.
    #[must_use]
    pub fn pod(&self) -> Option<PodName> {
        self.roll.state().present.get(&self.number)?.pod.clone()
    }

    /// The UID of that pod, as the kernel tells it.
    #[must_use]
    pub fn uid(&self) -> Option<Uid> {
        self.uid
    }

    /// Waits until more may be known of who it is. Never, where everything is.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn changed(&mut self) {
        if self.settled || self.changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.settled = self.pod().is_some();
    }

    /// Whether it may ask for a service.
    ///
    /// # Errors
    /// What to answer in place of its endpoints.
    pub fn may_ask(&self, service: &ServiceName) -> Result<(), Answer> {
        let Some(policy) = &self.roll.policy else {
            return Ok(());
        };
        let pod = self.pod();
        if policy.allows(pod.as_ref().map(|pod| &*pod.namespace), service) {
            return Ok(());
        }
        let unknown = self.uid.is_some() && pod.is_none();
        if unknown && self.roll.state().told == Some(false) {
            return Err(Answer::none(
                EndpointsError::Unavailable,
                "which pods run on this node is not known yet: the answer follows when it is",
            ));
        }
        let whose = match &pod {
            Some(pod) => format!("pods of the namespace {}", pod.namespace),
            None => "subscribers whose pod is not known".to_owned(),
        };
        let detail = format!("the monitor's policy does not allow {whose} to ask for {service}");
        Err(Answer::none(EndpointsError::NotAllowed, detail))
    }

    /// A question was denied.
    pub fn count_denial(&self) {
        self.roll.denied.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.roll.state().present.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    fn uid(number: u32) -> Uid {
        Uid::parse(&format!("00000000-0000-4000-8000-{number:012x}")).expect("a UID")
    }

    fn pod(namespace: &str, name: &str) -> PodName {
        PodName {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    fn roll(policy: Option<&str>) -> Arc<Roll> {
        let policy = policy.map(|text| Policy::parse(text).expect("a policy"));
        Arc::new(Roll::new(None, policy))
    }

    fn counts(roll: &Roll) -> Vec<(String, usize)> {
        let counts = roll.by_namespace().into_iter();
        counts
            .map(|(namespace, count)| (namespace.to_string(), count))
            .collect()
    }

    fn demo() -> ServiceName {
        ServiceName {
            namespace: "shop".into(),
            name: "demo".into(),
        }
    }

    #[test]
    fn who_comes_before_its_pod_is_told_is_known_when_it_is() {
        let roll = roll(None);
        let mut place = roll.admit(Some(uid(1)));
        assert_eq!(place.pod(), None);
        assert_eq!(counts(&roll), [(String::new(), 1)]);
        let mut changed = task::spawn(place.changed());
        assert_pending!(changed.poll());
        roll.apply(uid(2), &pod("shop", "other"));
        assert_pending!(changed.poll());
        roll.apply(uid(1), &pod("shop", "demo-0"));
        assert_ready!(changed.poll());
        drop(changed);
        assert_eq!(place.pod(), Some(pod("shop", "demo-0")));
        assert_eq!(counts(&roll), [(String::new(), 0), ("shop".to_owned(), 1)]);
        assert_pending!(task::spawn(place.changed()).poll(), "there is nothing more to know");
        drop(place);
        assert_eq!(counts(&roll), [(String::new(), 0)]);
    }

    #[test]
    fn what_becomes_known_while_nobody_waits_for_it_is_told_to_who_waits_next() {
        let roll = roll(None);
        let mut place = roll.admit(Some(uid(1)));
        roll.apply(uid(1), &pod("shop", "demo-0"));
        assert_ready!(task::spawn(place.changed()).poll());
        assert_pending!(task::spawn(place.changed()).poll());
    }

    #[test]
    fn who_is_in_no_pod_is_nobody_in_particular_whatever_is_told() {
        let roll = roll(None);
        let mut place = roll.admit(None);
        roll.apply(uid(1), &pod("shop", "demo-0"));
        assert_eq!(place.pod(), None);
        assert_pending!(task::spawn(place.changed()).poll());
    }

    #[test]
    fn a_process_that_outlives_its_pod_stays_who_it_is_and_nobody_else_becomes_it() {
        let roll = roll(None);
        roll.begin();
        roll.apply(uid(1), &pod("shop", "demo-0"));
        roll.complete();
        let place = roll.admit(Some(uid(1)));
        roll.delete(uid(1));
        assert_eq!(place.pod(), Some(pod("shop", "demo-0")));
        assert_eq!(roll.admit(Some(uid(1))).pod(), None);
    }

    #[test]
    fn pods_that_a_new_telling_leaves_out_are_gone() {
        let roll = roll(None);
        roll.begin();
        roll.apply(uid(1), &pod("shop", "demo-0"));
        roll.apply(uid(2), &pod("shop", "demo-1"));
        assert_eq!(roll.complete(), 2);
        roll.begin();
        roll.apply(uid(2), &pod("shop", "demo-1"));
        assert_eq!(
            roll.admit(Some(uid(1))).pod(),
            Some(pod("shop", "demo-0")),
            "until all are told"
        );
        assert_eq!(roll.complete(), 1);
        assert_eq!(roll.admit(Some(uid(1))).pod(), None);
    }

    #[test]
    fn without_a_policy_everybody_may_ask_for_everything() {
        let place = roll(None).admit(None);
        assert!(place.may_ask(&demo()).is_ok());
        assert_eq!(place.roll.denied(), None);
    }

    #[test]
    fn who_asks_before_the_pods_are_told_is_told_to_wait_and_then_whether_it_may() {
        let roll = roll(Some("[[rules]]\nfrom = [\"shop\"]\nservices = [\"shop/*\"]"));
        roll.expect_pods();
        let places = [1, 2, 3].map(|number| roll.admit((number < 3).then(|| uid(number))));
        let errors = || {
            places
                .each_ref()
                .map(|place| place.may_ask(&demo()).map_err(|answer| answer.error))
        };
        let (wait, never) = (Err(EndpointsError::Unavailable), Err(EndpointsError::NotAllowed));
        assert_eq!(errors(), [wait, wait, never]);
        roll.begin();
        roll.apply(uid(1), &pod("shop", "demo-0"));
        assert_eq!(errors(), [Ok(()), wait, never]);
        roll.complete();
        assert_eq!(errors(), [Ok(()), never, never]);
        roll.apply(uid(2), &pod("web", "front"));
        let answer = places[1].may_ask(&demo()).expect_err("not allowed");
        assert_eq!(
            answer.detail,
            "the monitor's policy does not allow pods of the namespace web to ask for demo.shop"
        );
    }
}
