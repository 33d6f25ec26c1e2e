//! An application that uses obit, small enough to read: `serve` is one pod of a gRPC service, `call` calls all of its pods with
//! obit's client or with another and prints what came of it.

mod call;
mod clock;
pub mod lines;
mod resolve;
mod serve;

pub use call::{CallArgs, ClientKind, call};
pub use resolve::{ResolveArgs, resolve};
pub use serve::{ServeArgs, serve};

/// Messages and stubs of `proto/greeter.proto`.
pub mod proto {
    #![allow(
        missing_docs,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "generated code; documented in proto/greeter.proto"
    )]
    include!(concat!(env!("OUT_DIR"), "/obit.example.v1.rs"));
}
