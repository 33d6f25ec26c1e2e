//! The kernel half, loaded and attached for a moment to see what comes of it. It watches nobody and reads nothing.

use std::io;

use aya::maps::PerfEventArray;
use aya::programs::ProgramError;
use aya::{Btf, Ebpf};

use super::doorbell::Doorbell;
use super::error::StartError;
use super::filter::WatchFilter;
use super::load::{HOOKS, attach, filter, load, of_aya, open, possible_processors};
use super::offsets::Offsets;
use super::options::Options;
use super::signal::{Signal, signals};
use crate::priority;

/// What came of it. Dropping it detaches everything.
#[derive(Debug)]
pub struct Trial {
    /// The hooks, each with what the kernel said to it.
    pub hooks: Vec<(&'static str, Result<(), ProgramError>)>,
    /// Whether readers can be woken one by one; `None` where they would not be used.
    pub doorbells: Option<io::Result<()>>,
    /// The filter, to try what changing it takes.
    pub filter: WatchFilter,
    _programs: Ebpf,
}

/// Loads and attaches all there is. Goes on where a hook is refused. Blocks for a fraction of a second.
///
/// # Errors
/// The kernel does not take the maps.
pub fn try_out() -> Result<Trial, StartError> {
    let offsets = Offsets::of_running_kernel()?;
    let btf = Btf::from_sys_fs()?;
    let on: Vec<Signal> = signals(|signal| offsets.allow(signal), &[]);
    let doorbells = priority::may_raise();
    let options = Options::default();
    let mut programs = load(&options, &offsets, &on, &btf, possible_processors()?, doorbells)?;
    let hooks = HOOKS.map(|hook| (hook.name, attach(&mut programs, hook.name, &btf)));
    let doorbells = if doorbells {
        let mut map = open(&mut programs, "DOORBELLS", of_aya(PerfEventArray::try_from))?;
        Some(Doorbell::for_every_processor(&mut map).map(drop))
    } else {
        None
    };
    Ok(Trial {
        hooks: hooks.into(),
        doorbells,
        filter: filter(&mut programs)?,
        _programs: programs,
    })
}
