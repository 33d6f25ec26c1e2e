//! A resolver run by hand.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use super::{Endpoint, Resolve, Resolving, Sets};

/// What a resolver says.
#[derive(Debug, Clone)]
pub enum Update {
    /// These are the endpoints, all of them.
    Endpoints(Vec<Endpoint>),
    /// They could not be found out; those known stay.
    Failed(Arc<dyn StdError + Send + Sync>),
}

/// A resolver at work, for whoever builds one around another, and for tests. It works only while [`next`](Self::next) is
/// awaited.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use obit::resolve::{Endpoint, Fixed, Running, Update};
///
/// let fixed: Fixed = [Endpoint::new("10.0.0.7:50051".parse().unwrap())].into_iter().collect();
/// let mut running = Running::new(fixed);
/// assert!(matches!(running.next().await, Some(Update::Endpoints(endpoints)) if endpoints.len() == 1));
/// assert!(running.next().await.is_none(), "a fixed list has said its last word");
/// # }
/// ```
#[must_use = "a resolver works only while `next` is awaited"]
pub struct Running {
    updates: mpsc::Receiver<Update>,
    trouble: Arc<Notify>,
    resolving: Option<Resolving>,
}

impl Running {
    /// Starts `resolver`, which does nothing before the first [`next`](Self::next).
    pub fn new(resolver: impl Resolve) -> Self {
        Self::boxed(Box::new(resolver))
    }

    pub(crate) fn boxed(resolver: Box<dyn Resolve>) -> Self {
        let (sender, updates) = mpsc::channel(1);
        let trouble = Arc::<Notify>::default();
        Self {
            updates,
            resolving: Some(resolver.run(Sets::new(sender, trouble.clone()))),
            trouble,
        }
    }

    /// What it says next; `None` once it has said its last word.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing said is lost, and the resolver goes on where it was.
    pub async fn next(&mut self) -> Option<Update> {
        while let Some(resolving) = &mut self.resolving {
            tokio::select! {
                biased;
                update = self.updates.recv() => return update,
                () = resolving => self.resolving = None,
            }
        }
        self.updates.recv().await
    }

    /// Tells it that an endpoint went bad: a reason to look again.
    pub fn trouble(&self) {
        self.trouble.notify_one();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}
