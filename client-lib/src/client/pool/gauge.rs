//! What a connection's driver tells the pool: how far it has come, and how many streams its peer takes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, watch};

use super::queue::Queue;
use crate::client::policy::{Average, Load};

/// How far a connection has come. Only ever goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The peer's SETTINGS have not come: how many streams it takes is not known.
    Opening,
    /// Takes calls.
    Open,
    /// Takes no new calls (GOAWAY, or an error); what is in flight may still end well.
    Closing,
    /// Over.
    Closed,
}

/// What the connection's driver tells the pool.
#[derive(Debug)]
pub(crate) struct Gauge {
    load: Arc<Load>,
    open: AtomicBool,
    stage: watch::Sender<Stage>,
    /// For calls, of which there are thousands: they are woken only by the last stage.
    over: AtomicBool,
    /// Whether calls that may be repeated are to go elsewhere.
    stranded: AtomicBool,
    ended: Arc<Notify>,
    queue: Arc<Queue>,
}

impl Gauge {
    /// `average`: of the time its peer takes to answer, where somebody wants to know it.
    pub(crate) fn new(queue: Arc<Queue>, average: Option<Average>) -> Self {
        Self {
            load: Arc::new(Load::closed(average)),
            open: AtomicBool::new(true),
            stage: watch::Sender::new(Stage::Opening),
            over: AtomicBool::new(false),
            stranded: AtomicBool::new(false),
            ended: Arc::default(),
            queue,
        }
    }

    /// The peer takes `limit` streams at once; 0 until its SETTINGS came.
    pub(crate) fn limit(&self, limit: usize) {
        let before = self.load.limit();
        if before == limit {
            return;
        }
        self.load.set_limit(limit);
        self.reach(Stage::Open);
        if limit > before {
            self.queue.many_free();
        }
    }

    /// What the connection carries, for policies.
    pub(super) fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// Whether it takes new calls.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// A stream ended: somebody may wait for it.
    pub(super) fn one_free(&self) {
        self.queue.one_free();
    }

    /// Takes no new calls from now on.
    pub(super) fn shut(&self) {
        self.open.store(false, Ordering::SeqCst);
    }

    /// Goes on to `stage`, never back.
    pub(crate) fn reach(&self, stage: Stage) {
        if stage >= Stage::Closing {
            self.shut();
        }
        self.stage.send_if_modified(|current| {
            let forward = *current < stage;
            if forward {
                *current = stage;
            }
            forward
        });
        if stage == Stage::Closed && !self.over.swap(true, Ordering::SeqCst) {
            self.ended.notify_waiters();
        }
    }

    /// Tells so many calls that the connection is over, before the others hear of it by its last stage.
    pub(super) fn tell(&self, calls: usize) {
        (0..calls).for_each(|_| self.ended.notify_one());
    }

    /// Takes no new calls, and those it has that may be repeated are to go elsewhere: whether and when the others are answered nobody
    /// knows.
    pub(super) fn strand(&self) {
        self.reach(Stage::Closing);
        self.stranded.store(true, Ordering::SeqCst);
        self.ended.notify_waiters();
    }

    /// Whether it was [`strand`](Self::strand)ed.
    pub(super) fn is_stranded(&self) -> bool {
        self.stranded.load(Ordering::SeqCst)
    }

    /// Whether it came to the last [`Stage`].
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Waits until the connection is over: the last [`Stage`], without a look at those before; or, if that was not yet when this
    /// was called, until it is stranded. Cancel safe.
    pub(super) async fn over(&self) {
        let stranded = self.is_stranded();
        let mut ended = std::pin::pin!(self.ended.notified());
        if !ended.as_mut().enable() && !self.is_over() && stranded == self.is_stranded() {
            ended.await;
        }
    }

    /// [`over`](Self::over) for who keeps it from one poll to the next; `None` once the connection is over.
    pub(super) fn over_owned(&self) -> Option<Pin<Box<OwnedNotified>>> {
        let mut ended = Box::pin(self.ended.clone().notified_owned());
        let over = ended.as_mut().enable() || self.is_over();
        (!over).then_some(ended)
    }

    /// Waits until the connection has come to `stage` or beyond, and says where it is. Cancel safe.
    pub(crate) async fn reached(&self, stage: Stage) -> Stage {
        let mut stages = self.stage.subscribe();
        let reached = stages
            .wait_for(|current| *current >= stage)
            .await
            .map(|current| *current);
        reached.unwrap_or(Stage::Closed)
    }
}
