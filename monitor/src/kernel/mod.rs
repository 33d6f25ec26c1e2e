//! The first step of the path: the kernel's hooks, as sightings.
//!
//! [`start`] loads the programs built from `monitor-ebpf` into the running kernel and gives back five handles, each for
//! one task: what is seen ([`Kernel::signals`]), of whom ([`WatchFilter`]), what was missed ([`LossCounters`]), who the
//! subscribers are ([`Cgroups`]), and the sightings themselves ([`KernelSource`]).

mod alarm;
mod btf;
mod cgroup;
mod decode;
mod doorbell;
mod error;
mod filter;
mod inspect;
mod lead;
mod load;
mod log;
mod losses;
mod misses;
mod netns;
mod offsets;
mod options;
mod pace;
mod preflight;
mod reader;
mod records;
mod shared;
mod signal;
mod sketch;
mod trial;

pub use self::btf::BtfError;
pub use self::cgroup::Cgroups;
pub use self::decode::decode;
pub use self::error::{Lack, StartError};
pub use self::filter::WatchFilter;
pub use self::inspect::{Hook, Inspection, Member, inspect};
pub use self::load::start;
pub use self::losses::LossCounters;
pub use self::netns::netns_cookie;
pub(crate) use self::netns::{cookie_of, inside_netns};
pub use self::offsets::Offsets;
pub use self::options::Options;
pub use self::reader::{KernelSource, Waiter};
pub use self::records::KernelRecords;
pub use self::signal::{Signal, UnknownSignal};
pub use self::trial::{Trial, try_out};

/// The kernel half, loaded and attached. It stays attached as long as the [`KernelSource`], or the [`Waiter`] made of it,
/// lives.
#[derive(Debug)]
pub struct Kernel {
    /// The signals that are on.
    pub signals: Vec<Signal>,
    /// Which peers the programs look at.
    pub filter: WatchFilter,
    /// What the programs could not deliver.
    pub losses: LossCounters,
    /// The cgroups of subscribers; `None` where the kernel does not tell them.
    pub cgroups: Option<Cgroups>,
    /// The sightings.
    pub source: KernelSource,
}
