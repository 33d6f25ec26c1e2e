//! tokio's `Notify` as its documentation has it: one word is kept for who comes next; a word to all reaches those who had
//! asked before it; a word to one who leaves without it goes to the next.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use loom::sync::{Mutex, MutexGuard};

#[derive(Debug)]
pub(crate) struct Notify(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    kept: bool,
    words_to_all: usize,
    next: usize,
    waiting: VecDeque<(usize, Option<Waker>)>,
    told: Vec<usize>,
}

impl State {
    fn tell_one(&mut self) -> Option<Waker> {
        let Some((one, waker)) = self.waiting.pop_front() else {
            self.kept = true;
            return None;
        };
        self.told.push(one);
        waker
    }
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::default()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn notify_one(&self) {
        let waker = self.state().tell_one();
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn notify_waiters(&self) {
        let mut state = self.state();
        state.words_to_all += 1;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().filter_map(|(_, waker)| waker).for_each(Waker::wake);
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        Notified {
            notify: self,
            words_before: self.state().words_to_all,
            number: None,
        }
    }
}

pub(crate) struct Notified<'a> {
    notify: &'a Notify,
    words_before: usize,
    number: Option<usize>,
}

impl Notified<'_> {
    pub(crate) fn enable(mut self: Pin<&mut Self>) -> bool {
        self.is_told(None)
    }

    fn is_told(&mut self, waker: Option<&Waker>) -> bool {
        let mut state = self.notify.state();
        if state.words_to_all != self.words_before {
            return true;
        }
        let Some(number) = self.number else {
            if std::mem::take(&mut state.kept) {
                return true;
            }
            let number = state.next;
            state.next += 1;
            state.waiting.push_back((number, waker.cloned()));
            self.number = Some(number);
            return false;
        };
        if let Some(place) = state.told.iter().position(|told| *told == number) {
            state.told.swap_remove(place);
            self.number = None;
            return true;
        }
        if let Some((_, parked)) = state.waiting.iter_mut().find(|(waiting, _)| *waiting == number) {
            *parked = waker.cloned();
        }
        false
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_told(Some(cx.waker())) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = self.notify.state();
        state.waiting.retain(|(waiting, _)| *waiting != number);
        let Some(place) = state.told.iter().position(|told| *told == number) else {
            return;
        };
        state.told.swap_remove(place);
        let waker = state.tell_one();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}
