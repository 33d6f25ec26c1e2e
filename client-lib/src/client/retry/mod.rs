//! Between a failed attempt and the next: may this call be sent again, and who pays for it?

mod budget;
mod fate;
mod ladder;
mod window;

pub(crate) use budget::Budget;
pub use budget::RetryBudget;
pub(crate) use fate::{Fate, fate};
pub(crate) use ladder::{Again, Attempted, again};
