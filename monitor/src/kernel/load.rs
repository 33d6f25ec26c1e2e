//! Loads the programs into the kernel and attaches them.

use std::io;
use std::os::fd::AsFd as _;

use aya::maps::{HashMap, Map, MapError, PerfEventArray, RingBuf};
use aya::programs::{BtfTracePoint, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader, include_bytes_aligned};
use tracing::{debug, warn};

use super::cgroup::Cgroups;
use super::doorbell::Doorbell;
use super::error::{Lack, StartError};
use super::filter::{WatchFilter, io_error};
use super::log::{ToTracing, level_number};
use super::losses::LossCounters;
use super::misses::Misses;
use super::offsets::Offsets;
use super::options::Options;
use super::reader::KernelSource;
use super::records::KernelRecords;
use super::shared::SharedWords;
use super::signal::{Signal, kinds_wanted, signals};
use super::sketch::{self, Sketch};
use super::{Kernel, preflight};
use crate::priority;

/// The programs, as `cargo xtask build-ebpf` built them; empty if it did not run before this crate was built.
pub(super) static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/obit-ebpf.o"));

/// A program, the kernel hook of the same name it attaches to, and the signals that come from there alone.
pub(super) struct Hook {
    pub(super) name: &'static str,
    /// Whether nothing works without it.
    pub(super) needed: bool,
    pub(super) signals: &'static [Signal],
}

pub(super) const HOOKS: [Hook; 3] = [
    Hook {
        name: "inet_sock_set_state",
        needed: true,
        signals: &[],
    },
    Hook {
        name: "tcp_retransmit_skb",
        needed: false,
        signals: &[Signal::SynRetransmit, Signal::Stalled, Signal::SoftError],
    },
    // Refused and unreachable dials are seen without it, but for ICMP errors that come while `connect` runs.
    Hook {
        name: "inet_sk_error_report",
        needed: false,
        signals: &[],
    },
];

/// Loads the programs and attaches them to the running kernel. Blocks for a fraction of a second, most of it spent on
/// reading the kernel's type information.
///
/// # Errors
/// Names everything that is missing at once, with the next step; see [`StartError`].
pub fn start(options: &Options) -> Result<Kernel, StartError> {
    if OBJECT.is_empty() {
        return Err(StartError::NoObject);
    }
    refuse(preflight::lacks())?;
    let offsets = Offsets::of_running_kernel()?;
    let mut lacks = offsets.lacks();
    if options.netns.is_some() && !offsets.know_netns() {
        lacks.push(Lack::NetnsCookie);
    }
    refuse(lacks)?;
    for path in offsets.missing_paths() {
        warn!(member = path, "this kernel lacks a member; what needs it is off");
    }

    let btf = Btf::from_sys_fs()?;
    let on = signals(|signal| offsets.allow(signal), &options.disabled);
    let processors = possible_processors()?;
    // A thread bound to a processor helps only if it comes before whatever else runs there.
    let doorbells = options.doorbells && priority::may_raise();
    let mut programs = load(options, &offsets, &on, &btf, processors, doorbells)?;
    let mut absent = Vec::new();
    for hook in HOOKS {
        match attach(&mut programs, hook.name, &btf) {
            Ok(()) => {}
            Err(source) if hook.needed => {
                return Err(StartError::Attach {
                    program: hook.name,
                    source,
                });
            }
            Err(error) => {
                warn!(hook = hook.name, %error, "the kernel lacks a hook; what comes from it alone is off");
                absent.extend_from_slice(hook.signals);
            }
        }
    }
    let signals: Vec<Signal> = on.into_iter().filter(|signal| !absent.contains(signal)).collect();
    debug!(?signals, "watching the kernel");

    let log = aya_log::EbpfLogger::init_with_logger(&mut programs, ToTracing);
    let log = log
        .inspect_err(|error| warn!(%error, "the programs' own log cannot be read"))
        .ok();
    let misses = misses(&programs);
    let losses = open(&mut programs, "LOSSES", |map| {
        LossCounters::new(map, processors, misses)
    })?;
    let doorbells = if doorbells {
        let mut map = open(&mut programs, "DOORBELLS", of_aya(PerfEventArray::try_from))?;
        Doorbell::for_every_processor(&mut map).map_err(StartError::Doorbell)?
    } else {
        Vec::new()
    };
    let cgroups = cgroups(&mut programs, &offsets);
    Ok(Kernel {
        signals,
        filter: filter(&mut programs)?,
        losses: losses.clone(),
        cgroups,
        source: KernelSource {
            records: KernelRecords {
                ring: open(&mut programs, "SIGHTINGS", of_aya(RingBuf::try_from))?,
                losses,
            },
            doorbells,
            awake: open(&mut programs, "READER_AWAKE", |map| SharedWords::new(map, 1))?,
            log,
            programs,
        },
    })
}

/// How many processors this kernel may ever run on: their numbers are below that.
pub(super) fn possible_processors() -> Result<u32, StartError> {
    let number = aya::util::nr_cpus().and_then(|number| {
        u32::try_from(number).map_err(|error| ("the number of processors", io::Error::other(error)))
    });
    number.map_err(|(what, source)| StartError::Processors { what, source })
}

fn refuse(lacks: Vec<Lack>) -> Result<(), StartError> {
    if lacks.is_empty() {
        Ok(())
    } else {
        Err(StartError::Missing(lacks))
    }
}

/// Creates the maps, with the programs' constants set.
pub(super) fn load(
    options: &Options,
    offsets: &Offsets,
    on: &[Signal],
    btf: &Btf,
    processors: u32,
    doorbells: bool,
) -> Result<Ebpf, StartError> {
    let netns = options.netns.map_or(0, |netns| netns.0);
    let kinds = kinds_wanted(on);
    let doorbells = u32::from(doorbells);
    let level = level_number(options.bpf_log_level);
    let mut loader = EbpfLoader::new();
    loader
        .btf(Some(btf))
        .map_max_entries("SIGHTINGS", options.ring_bytes())
        .map_max_entries("LOSSES", processors)
        .override_global("NETNS_ONLY", &netns, true)
        .override_global("KINDS_WANTED", &kinds, true)
        .override_global("HAVE_DOORBELLS", &doorbells, true)
        .override_global(aya_log::LEVEL, &level, true);
    for (name, offset) in offsets.globals() {
        loader.override_global(name, offset, true);
    }
    Ok(loader.load(OBJECT)?)
}

pub(super) fn attach(programs: &mut Ebpf, name: &'static str, btf: &Btf) -> Result<(), ProgramError> {
    let program = programs.program_mut(name).ok_or(ProgramError::NotLoaded)?;
    let program: &mut BtfTracePoint = program.try_into()?;
    program.load(name, btf)?;
    program.attach().map(|_| ())
}

/// The watch filter of programs whose maps are there, empty.
pub(super) fn filter(programs: &mut Ebpf) -> Result<WatchFilter, StartError> {
    let watched = open(programs, "WATCHED", of_aya(HashMap::try_from))?;
    let sketch = open(programs, "SKETCH", |map| SharedWords::new(map, sketch::WORDS))?;
    Ok(WatchFilter::new(watched, Sketch::new(sketch)))
}

/// How subscribers are known; that they are not is no reason not to serve them.
fn cgroups(programs: &mut Ebpf, offsets: &Offsets) -> Option<Cgroups> {
    if !offsets.know_pods() {
        return None;
    }
    let cgroups = Cgroups::new(programs);
    cgroups
        .inspect_err(|error| warn!(%error, "the kernel does not tell the cgroups of sockets: the pods of subscribers stay unknown"))
        .ok()
}

/// What the kernel counts of the programs that are loaded.
fn misses(programs: &Ebpf) -> Misses {
    let mut misses = Misses::default();
    let fds = programs.programs().filter_map(|(_, program)| program.fd().ok());
    for fd in fds {
        if let Err(error) = misses.add(fd.as_fd()) {
            warn!(%error, "cannot read /proc/self/fdinfo; runs of a program that the kernel leaves out are not counted");
        }
    }
    misses
}

/// Takes a map out of the object.
pub(super) fn open<T>(
    programs: &mut Ebpf,
    map: &'static str,
    typed: impl FnOnce(Map) -> io::Result<T>,
) -> Result<T, StartError> {
    let found = programs.take_map(map).ok_or_else(|| StartError::Map {
        map,
        source: io::ErrorKind::NotFound.into(),
    })?;
    typed(found).map_err(|source| StartError::Map { map, source })
}

/// A map of one of aya's types.
pub(super) fn of_aya<T>(typed: impl FnOnce(Map) -> Result<T, MapError>) -> impl FnOnce(Map) -> io::Result<T> {
    |map| typed(map).map_err(io_error)
}
