//! Recordings: what went into ledger and registry, written down beside the path, so that it can be run again.
//!
//! ```text
//! hub ──Entry──▶ recorder ══▶ writer ──line──▶ file ──line──▶ decode ──Entry──▶ replay ──▶ hub
//! ```
//!
//! A recording keeps the *inputs* of ledger and registry in the order in which the hub took them, each with the `now` it
//! was taken with, and nothing that follows from them: what the hub made of them is made again in [`replay`], by the same
//! code. Stalled dials stand in it as the stall timer found them. Which dials it found depends on when the reader looked
//! and on what it had lost by then, which is not in the sightings; finding them again would be another run, not this one.
//!
//! The file is lines of text ([`mod@format`]), because people look into it and attach it to a report.

pub mod decode;
pub mod format;
pub mod recorder;
pub mod replay;
pub mod writer;

#[cfg(test)]
mod tests;
