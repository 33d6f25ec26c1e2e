//! What crosses obit's unix socket between the monitor and its subscribers: messages and frames, nothing else.
//!
//! The messages are generated from `proto/obit.proto`; [`FrameCodec`] turns a byte stream into them. The protocol as
//! prose, enough to write a client in any language, is in `docs/protocol.md`.

mod frame;
mod peer;
mod service;

pub use frame::{FrameCodec, FrameError, MAX_FRAME_BYTES};
pub use messages::*;
pub use peer::{PeerError, normalise};
pub use service::{SERVICES, ServiceError};

/// The protocol version of this crate, spoken in [`Hello`] and [`Welcome`].
pub const PROTOCOL_VERSION: u32 = 1;

/// Where a monitor listens unless told otherwise. Mount the *directory* into pods: a mounted socket file keeps pointing
/// at the inode of a monitor that is gone.
pub const DEFAULT_SOCKET_PATH: &str = "/run/obit/obit.sock";

/// The environment variable that names another socket path for clients and the command line.
pub const SOCKET_PATH_ENV: &str = "OBIT_SOCKET";

mod messages {
    #![allow(missing_docs, clippy::all, reason = "generated code; documented in proto/obit.proto")]
    include!(concat!(env!("OUT_DIR"), "/obit.v1.rs"));
}
