//! What the library's policies read.

#[path = "../../src/client/policy/average.rs"]
mod average;
#[path = "../../src/client/policy/load.rs"]
mod load;

pub(crate) use average::Average;
pub(crate) use load::Load;
