//! The average of a connection's answers, in one word.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use crate::policy::Average;
use crate::{explore, now};

/// Two answers of the same moment, one of them slow: the peak is kept, whichever comes last.
pub fn a_peak_is_not_lost_to_an_answer_of_the_same_moment() {
    explore(None, || {
        let born = now();
        let average = Arc::new(Average::new(Duration::from_secs(10), born));
        let slow = thread::spawn({
            let average = average.clone();
            move || average.answered(Duration::from_millis(500), born)
        });
        average.answered(Duration::from_millis(5), born);
        assert!(slow.join().is_ok());
        assert!((average.at(born) - 5e8).abs() < 1e5);
    });
}
