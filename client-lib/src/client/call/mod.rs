//! One call on its way: request in, endpoint chosen, attempt made, repeated where that is sound, response out.

mod attempt;
mod grpc;
mod head;
mod hedge;
mod idempotent;
mod payload;
mod response;
mod tee;

pub(crate) use attempt::call;
pub(crate) use head::complete;
pub(crate) use idempotent::Classifier;
pub use idempotent::Idempotent;
pub(crate) use payload::{BoxError, Outbound};
pub use response::Body;
