//! Every model, as a test.

use obit_models::{average, feed, load, queue};

/// A test for each model.
macro_rules! models {
    ($($part:ident::$model:ident),+ $(,)?) => {
        $(
            #[test]
            fn $model() {
                $part::$model();
            }
        )+
    };
}

models!(
    average::a_peak_is_not_lost_to_an_answer_of_the_same_moment,
    feed::a_connection_tied_while_its_peer_dies_is_ended,
    feed::a_dial_that_succeeds_while_its_port_closes_is_ended_or_closed_to_new_work,
    feed::who_joined_a_life_hears_of_its_end,
    feed::who_reads_of_a_life_does_not_join_the_one_before,
    load::a_lower_grant_holds_for_those_who_know_of_it,
    load::a_stream_given_back_is_taken_once,
    load::no_more_begin_than_are_granted,
    queue::a_grant_reaches_who_waits,
    queue::a_stream_given_back_reaches_who_waits,
    queue::no_more_wait_than_there_are_places,
    queue::one_word_of_two_streams_reaches_two,
);
