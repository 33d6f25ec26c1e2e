//! What `obit` says and does with fewer privileges than root's, and what `obit monitor` keeps of those it had.
//!
//! Needs root, to give privileges up, and `ip` and `setpriv`; fails where it cannot run.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod attempts;
mod doctor;
mod inside;
mod kept;
mod nobody;
#[path = "../kernel/place.rs"]
#[allow(dead_code, reason = "shared with the tests of the kernel half, which use all of it")]
mod place;
mod running;
mod subscriber;
#[path = "../support/mod.rs"]
mod support;
