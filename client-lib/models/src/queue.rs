//! The waiting room, between calls that wait and calls that give a stream back.

use std::sync::Arc;
use std::time::Duration;

use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::explore;
use crate::load::granting;
use crate::policy::Load;
use crate::pool::queue::Queue;

/// A call that takes a stream, and waits for it where it must.
fn take(queue: &Queue, load: &Load) {
    if load.begin().is_none() {
        let Ok(place) = queue.enter() else {
            unreachable!("there is room for all")
        };
        block_on(place.until(|| load.begin()));
    }
}

/// A call gives back what another waits for: that one is told, or has seen it. loom calls it a deadlock if not.
pub fn a_stream_given_back_reaches_who_waits() {
    explore(None, || {
        let (queue, load) = (Arc::new(Queue::new(9, Duration::ZERO)), Arc::new(granting(1)));
        assert_eq!(load.begin(), Some(0));
        let waiting = thread::spawn({
            let (queue, load) = (queue.clone(), load.clone());
            move || take(&queue, &load)
        });
        load.end();
        queue.one_free();
        assert!(waiting.join().is_ok());
        assert_eq!((queue.waiting(), load.in_flight()), (0, 1));
    });
}

/// The peer grants a stream to one who waits.
pub fn a_grant_reaches_who_waits() {
    explore(None, || {
        let (queue, load) = (Arc::new(Queue::new(9, Duration::ZERO)), Arc::new(granting(0)));
        let waiting = thread::spawn({
            let (queue, load) = (queue.clone(), load.clone());
            move || take(&queue, &load)
        });
        load.set_limit(1);
        queue.many_free();
        assert!(waiting.join().is_ok());
        assert_eq!((queue.waiting(), load.in_flight()), (0, 1));
    });
}

/// Two streams are free and one word is said: who takes the first passes it on.
pub fn one_word_of_two_streams_reaches_two() {
    // Three threads are too many for every order.
    explore(Some(2), || {
        let (queue, load) = (Arc::new(Queue::new(9, Duration::ZERO)), Arc::new(granting(0)));
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let (queue, load) = (queue.clone(), load.clone());
                thread::spawn(move || take(&queue, &load))
            })
            .collect();
        load.set_limit(2);
        queue.one_free();
        for waiting in waiting {
            assert!(waiting.join().is_ok());
        }
        assert_eq!((queue.waiting(), load.in_flight()), (0, 2));
    });
}

/// A waiting room of one place, and two who come: never are both inside, and afterwards the place is free.
pub fn no_more_wait_than_there_are_places() {
    explore(None, || {
        let queue = Arc::new(Queue::new(1, Duration::ZERO));
        let inside = Arc::new(AtomicUsize::new(0));
        let come = |queue: &Queue, inside: &AtomicUsize| {
            if let Ok(_place) = queue.enter() {
                assert_eq!(inside.fetch_add(1, Ordering::AcqRel), 0);
                inside.fetch_sub(1, Ordering::AcqRel);
            }
        };
        let other = thread::spawn({
            let (queue, inside) = (queue.clone(), inside.clone());
            move || come(&queue, &inside)
        });
        come(&queue, &inside);
        assert!(other.join().is_ok());
        assert_eq!(queue.waiting(), 0);
    });
}
