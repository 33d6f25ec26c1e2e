//! Where calls wait while no endpoint has a free stream: ours and not HTTP/2's, so that a waiting call has not been
//! sent and stays free to go anywhere.

use std::time::Duration;

use crate::sync::Notify;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// A bounded waiting room, first come, first served.
#[derive(Debug)]
pub(crate) struct Queue {
    limit: usize,
    deadline: Duration,
    waiting: AtomicUsize,
    turn: Notify,
}

/// A place in the queue, given back when dropped.
pub(crate) struct Place<'a>(&'a Queue);

impl Queue {
    pub(crate) fn new(limit: usize, deadline: Duration) -> Self {
        Self {
            limit,
            deadline,
            waiting: AtomicUsize::new(0),
            turn: Notify::new(),
        }
    }

    /// How long a call may wait.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// A place, or how many are waiting when the queue is full.
    pub(crate) fn enter(&self) -> Result<Place<'_>, usize> {
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst);
        let place = Place(self);
        if waiting >= self.limit {
            Err(waiting + 1)
        } else {
            Ok(place)
        }
    }

    /// One stream became free. Costs one load when nobody waits.
    pub(crate) fn one_free(&self) {
        if self.waiting() > 0 {
            self.turn.notify_one();
        }
    }

    /// Many streams may be free: an endpoint came into rotation.
    pub(crate) fn many_free(&self) {
        if self.waiting() > 0 {
            self.turn.notify_waiters();
        }
    }
}

impl Place<'_> {
    /// Waits until `take` has something; asks it when a stream may have become free.
    ///
    /// # Cancel safety
    ///
    /// A turn given to a call that is dropped goes to the next one.
    pub(crate) async fn until<T>(&self, mut take: impl FnMut() -> Option<T>) -> T {
        loop {
            let turn = self.0.turn.notified();
            let mut turn = std::pin::pin!(turn);
            // Listen first, look second: what becomes free in between is not missed.
            turn.as_mut().enable();
            if let Some(taken) = take() {
                // Turns are given one by one; when several streams are free, each taker passes the word on.
                self.0.turn.notify_one();
                return taken;
            }
            turn.await;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio_test::{assert_pending, assert_ready_eq, task};

    use super::*;

    /// Takes one of `free` streams.
    fn take(free: &AtomicUsize) -> Option<()> {
        free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(1))
            .ok()
            .map(|_| ())
    }

    #[test]
    fn a_call_beyond_the_limit_is_turned_away_and_leaves_no_trace() {
        let queue = Queue::new(1, Duration::ZERO);
        let first = queue.enter();
        assert!(first.is_ok());
        assert_eq!(queue.enter().err(), Some(2));
        drop(first);
        assert!(queue.enter().is_ok());
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn streams_go_to_calls_in_the_order_of_their_coming() {
        let (queue, free) = (Queue::new(9, Duration::ZERO), AtomicUsize::new(0));
        let (one, two) = (queue.enter().ok().unwrap(), queue.enter().ok().unwrap());
        let mut one = task::spawn(one.until(|| take(&free)));
        let mut two = task::spawn(two.until(|| take(&free)));
        assert_pending!(one.poll());
        assert_pending!(two.poll());
        free.store(1, Ordering::SeqCst);
        queue.one_free();
        assert!(one.is_woken() && !two.is_woken());
        assert_ready_eq!(one.poll(), ());
    }

    #[test]
    fn several_free_streams_serve_several_calls_from_one_word() {
        let (queue, free) = (Queue::new(9, Duration::ZERO), AtomicUsize::new(0));
        let places: Vec<_> = (0..5).map(|_| queue.enter().ok().unwrap()).collect();
        let mut calls: Vec<_> = places
            .iter()
            .map(|place| task::spawn(place.until(|| take(&free))))
            .collect();
        for call in &mut calls {
            assert_pending!(call.poll());
        }
        free.store(5, Ordering::SeqCst);
        queue.one_free();
        for call in &mut calls {
            assert!(call.is_woken());
            assert_ready_eq!(call.poll(), ());
        }
    }

    #[test]
    fn the_turn_of_a_call_that_was_dropped_goes_to_the_next() {
        let (queue, free) = (Queue::new(9, Duration::ZERO), AtomicUsize::new(0));
        let (one, two) = (queue.enter().ok().unwrap(), queue.enter().ok().unwrap());
        let mut first = task::spawn(one.until(|| take(&free)));
        let mut second = task::spawn(two.until(|| take(&free)));
        assert_pending!(first.poll());
        assert_pending!(second.poll());
        free.store(1, Ordering::SeqCst);
        queue.one_free();
        drop(first);
        assert!(second.is_woken());
        assert_ready_eq!(second.poll(), ());
    }
}
