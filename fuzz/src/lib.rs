//! What must hold for any bytes that reach obit from outside, whoever wrote them.
//!
//! Each module checks one reader; `fuzz_targets/` hands it to libFuzzer, which `cargo xtask fuzz` runs. `corpus/` keeps the
//! inputs worth keeping: those that reach something no other reaches, and those that once broke something. `cargo test`
//! replays them with any toolchain.

pub mod btf;
pub mod client_message;
mod frames;
mod memory;
pub mod monitor_message;
pub mod record;
pub mod recording;

/// A reader of foreign bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of its binary and of its folder in the corpus.
    pub name: &'static str,
    /// Panics when an input shows that something does not hold.
    pub check: fn(&[u8]),
    /// Inputs to begin with, made from what the project's own types say today.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 5] = [
    Target {
        name: "client_message",
        check: client_message::check,
        seeds: client_message::seeds,
    },
    Target {
        name: "monitor_message",
        check: monitor_message::check,
        seeds: monitor_message::seeds,
    },
    Target {
        name: "record",
        check: record::check,
        seeds: record::seeds,
    },
    Target {
        name: "btf",
        check: btf::check,
        seeds: btf::seeds,
    },
    Target {
        name: "recording",
        check: recording::check,
        seeds: recording::seeds,
    },
];
