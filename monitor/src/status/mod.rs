//! How the monitor is, for those who look after it: whether it is ready, and figures, over HTTP. Beside the path of the data.

mod http;
mod metrics;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use http::{Listener, ask};

use crate::hub::Hub;
use crate::kernel::LossCounters;
use crate::kubernetes::Board;
use crate::subscribers::Roll;

/// What is known of the monitor itself.
#[derive(Debug, Default)]
pub struct Status(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Starting,
    CannotStart(String),
    Running(Parts),
}

/// The parts of a monitor that runs.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Who is told what.
    pub hub: Arc<Hub>,
    /// What was missed.
    pub losses: LossCounters,
    /// What is known of Kubernetes; `None`: it is not watched.
    pub board: Option<Arc<Board>>,
    /// Who is connected.
    pub roll: Arc<Roll>,
}

impl Status {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It does not work here, for this reason.
    pub fn cannot_start(&self, why: String) {
        *self.state() = State::CannotStart(why);
    }

    /// It works.
    pub fn running(&self, parts: Parts) {
        *self.state() = State::Running(parts);
    }

    /// Whether subscribers are told what the kernel sees.
    ///
    /// # Errors
    /// Why they are not.
    pub fn ready(&self) -> Result<(), String> {
        match &*self.state() {
            State::Starting => Err("it is starting".to_owned()),
            State::CannotStart(why) => Err(why.clone()),
            State::Running(parts) if parts.hub.deaf_since().is_some() => {
                Err("deaf: it does not see its own dials refused; `obit doctor` looks for reasons".to_owned())
            }
            State::Running(_) => Ok(()),
        }
    }

    fn parts(&self) -> Option<Parts> {
        match &*self.state() {
            State::Running(parts) => Some(parts.clone()),
            State::Starting | State::CannotStart(_) => None,
        }
    }
}
