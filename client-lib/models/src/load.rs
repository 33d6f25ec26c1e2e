//! The streams of one connection.

use std::sync::Arc;

use loom::thread;

use crate::explore;
use crate::policy::Load;

/// A connection of a peer that grants `limit` streams.
pub(crate) fn granting(limit: usize) -> Load {
    let load = Load::closed(None);
    load.set_limit(limit);
    load
}

/// Three calls, two streams: as many begin as there are streams, each with a place of its own.
pub fn no_more_begin_than_are_granted() {
    explore(None, || {
        let load = Arc::new(granting(2));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let load = load.clone();
                thread::spawn(move || load.begin())
            })
            .collect();
        let mut places: Vec<_> = others
            .into_iter()
            .map(|other| other.join().unwrap_or_default())
            .chain([load.begin()])
            .flatten()
            .collect();
        places.sort_unstable();
        assert_eq!(places, [0, 1]);
        assert_eq!(load.in_flight(), 2);
    });
}

/// Two calls share one stream by turns: never both at once, and what is given back is given back once.
pub fn a_stream_given_back_is_taken_once() {
    explore(None, || {
        let load = Arc::new(granting(1));
        #[expect(clippy::arc_with_non_send_sync, reason = "loom runs all threads of a model on one")]
        let at_work = Arc::new(loom::cell::UnsafeCell::new(()));
        let call = |load: &Load, at_work: &loom::cell::UnsafeCell<()>| {
            if load.begin().is_some() {
                // loom fails the model where two are in here, or where the one does not see that the other has left.
                at_work.with_mut(|_| ());
                assert_eq!(load.end(), 0);
            }
        };
        let other = thread::spawn({
            let (load, at_work) = (load.clone(), at_work.clone());
            move || call(&load, &at_work)
        });
        call(&load, &at_work);
        assert!(other.join().is_ok());
        assert_eq!(load.in_flight(), 0);
    });
}

/// The peer lowers its grant while calls begin: whoever begins after the word has come finds it.
pub fn a_lower_grant_holds_for_those_who_know_of_it() {
    explore(None, || {
        let load = Arc::new(granting(2));
        let lowered = thread::spawn({
            let load = load.clone();
            move || {
                load.set_limit(1);
                load.begin()
            }
        });
        let began = load.begin();
        let after = lowered.join().unwrap_or_default();
        // The one that knows begins only if it is the first.
        assert!(after.is_none_or(|before| before == 0), "{began:?} and {after:?}");
    });
}
