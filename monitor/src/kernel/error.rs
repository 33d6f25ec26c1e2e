//! Why the kernel half did not start, each with the next step.

use std::fmt;
use std::io;
use std::path::PathBuf;

use aya::programs::ProgramError;
use aya::{BtfError, EbpfError};

/// The kernel half did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// This binary was built without the programs.
    #[error("this binary was built without its eBPF programs: run `cargo xtask build-ebpf`, then build it again")]
    NoObject,
    /// The machine or the process lacks something; everything that is missing, at once.
    #[error("cannot watch this kernel:{}", list(.0))]
    Missing(Vec<Lack>),
    /// The kernel's type information could not be read.
    #[error("cannot read the kernel's type information in {}: {reason}", .path.display())]
    Btf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// aya could not read the kernel's type information.
    #[error("cannot use the kernel's type information")]
    KernelTypes(#[from] BtfError),
    /// The kernel did not take the object or its maps.
    #[error("the kernel did not take the eBPF maps; with CAP_BPF this is most often a limit on memory")]
    Load(#[from] EbpfError),
    /// The kernel did not take or not attach a program nothing works without.
    #[error("the kernel did not take the program {program}: please report this with the kernel's version")]
    Attach {
        /// Its name.
        program: &'static str,
        /// What the kernel said.
        #[source]
        source: ProgramError,
    },
    /// The number of processors could not be read.
    #[error("cannot tell how many processors there are: {what}")]
    Processors {
        /// What was looked at.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A processor's reader cannot be woken by itself.
    #[error(
        "cannot open a perf event for every processor: allow it (CAP_PERFMON, `sysctl kernel.perf_event_paranoid`), or run \
         with --no-doorbells, and verdicts come some 25 µs later"
    )]
    Doorbell(#[source] io::Error),
    /// A map of the kernel half could not be opened.
    #[error("cannot open the eBPF map {map}")]
    Map {
        /// Its name.
        map: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// One thing the machine or the process lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// The kernel does not describe its types.
    Btf,
    /// The process may not load programs.
    Capabilities(Vec<&'static str>),
    /// The kernel has no such member, and nothing works without it.
    Member(&'static str),
    /// One network namespace was asked for, and the kernel cannot tell them apart.
    NetnsCookie,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Btf => f.write_str(
                "/sys/kernel/btf/vmlinux is missing: boot a kernel built with CONFIG_DEBUG_INFO_BTF (in a container, mount \
                 /sys)",
            ),
            Self::Capabilities(missing) => write!(
                f,
                "the process lacks {}: run it as root, or grant them (`setcap cap_bpf,cap_perfmon+ep obit`, or \
                 `securityContext.capabilities.add: [BPF, PERFMON]` in Kubernetes)",
                missing.join(" and ")
            ),
            Self::Member(path) => write!(f, "this kernel has no `{path}`: Linux 5.15 or newer is needed"),
            Self::NetnsCookie => f.write_str(
                "this kernel does not number its network namespaces (Linux 5.14 or newer does): run without a namespace to \
                 look at",
            ),
        }
    }
}

fn list(lacks: &[Lack]) -> String {
    match lacks {
        [one] => format!(" {one}"),
        several => several.iter().map(|lack| format!("\n  - {lack}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let error = StartError::Missing(vec![Lack::Btf, Lack::Capabilities(vec!["CAP_BPF", "CAP_PERFMON"])]);
        let text = error.to_string();
        assert!(
            text.contains("/sys/kernel/btf/vmlinux") && text.contains("CAP_BPF and CAP_PERFMON"),
            "{text}"
        );
    }

    #[test]
    fn a_binary_without_programs_says_what_to_run() {
        assert!(StartError::NoObject.to_string().contains("cargo xtask build-ebpf"));
    }
}
