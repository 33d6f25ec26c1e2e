//! Which cgroup one of this process's sockets belongs to, by names: asked of the kernel half, which is run for it. It costs a
//! system call when a subscriber comes, and nothing else anything.

use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use aya::Ebpf;
use aya::programs::{ProgramError, RawTracePoint};
use obit_ebpf::{CGROUP_LEVELS, CGROUP_NAME_BYTES};

use super::load::open;
use super::shared::SharedWords;

/// Runs a loaded program once (`linux/bpf.h`). Asks for no capability since 5.19.
const BPF_PROG_TEST_RUN: libc::c_int = 10;

const WORDS_IN_NAME: usize = CGROUP_NAME_BYTES / size_of::<u64>();

/// Tells the cgroups of sockets.
#[derive(Debug)]
pub struct Cgroups {
    program: OwnedFd,
    /// Where the program writes: one question at a time.
    path: Mutex<SharedWords>,
}

impl Cgroups {
    /// Loads the program; `programs` has its maps.
    pub(super) fn new(programs: &mut Ebpf) -> io::Result<Self> {
        let program = programs.program_mut("cgroup_of").ok_or(io::ErrorKind::NotFound)?;
        let program: &mut RawTracePoint = program.try_into().map_err(io::Error::other)?;
        program.load().map_err(io_error)?;
        let program = program.fd().map_err(io_error)?.as_fd().try_clone_to_owned()?;
        let words = (CGROUP_LEVELS as usize + 1) * WORDS_IN_NAME;
        let path = open(programs, "CGROUP_PATH", |map| SharedWords::new(map, words)).map_err(io::Error::other)?;
        Ok(Self {
            program,
            path: Mutex::new(path),
        })
    }

    /// The names of the cgroup that `socket`, one of this process's, was made in, the outermost first. Of an accepted unix socket
    /// that is the cgroup of the process that connected, at that moment. None on a node with cgroup v1 alone, and where there
    /// are more, one inside the other, than the programs tell.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn of(&self, socket: BorrowedFd<'_>) -> io::Result<Vec<String>> {
        let path = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        let words = path.words();
        run(self.program.as_fd(), socket)?;
        let count = words.first().map_or(0, |count| count.load(Ordering::Acquire));
        let count = usize::try_from(count).map_err(io::Error::other)?;
        let names = words.chunks_exact(WORDS_IN_NAME).skip(1).take(count).map(name);
        let mut names: Vec<_> = names.collect();
        names.reverse();
        Ok(names)
    }
}

/// A name as it lies in the map.
fn name(words: &[AtomicU64]) -> String {
    let words = words.iter().map(|word| word.load(Ordering::Acquire).to_ne_bytes());
    let bytes: Vec<u8> = words.flatten().collect();
    let name = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn io_error(error: ProgramError) -> io::Error {
    // With what the verifier says, which is long.
    tracing::debug!("{error}");
    match error {
        ProgramError::LoadError { io_error, .. } => io_error,
        other => io::Error::other(other),
    }
}

/// The part of `union bpf_attr` for `BPF_PROG_TEST_RUN` that is asked for here; the kernel takes the rest for zero.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
}

#[expect(unsafe_code, reason = "no crate offers BPF_PROG_TEST_RUN")]
fn run(program: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> io::Result<()> {
    let argument = u64::from(socket.as_raw_fd().unsigned_abs());
    let attributes = TestRun {
        program: program.as_raw_fd().unsigned_abs(),
        ctx_size_in: u32::try_from(size_of::<u64>()).map_err(io::Error::other)?,
        ctx_in: (&raw const argument).expose_provenance() as u64,
        ..TestRun::default()
    };
    // SAFETY: the kernel reads so many bytes of `attributes`, and those of `argument` it names; both outlive the call. It writes
    // back to `attributes` what is read by nobody.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_TEST_RUN,
            (&raw const attributes).cast_mut(),
            size_of::<TestRun>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_where_its_zero_stands_and_needs_none() {
        let words = |bytes: &[u8]| -> Vec<AtomicU64> {
            let words = bytes.chunks_exact(8).map(|word| word.try_into().expect("eight bytes"));
            words.map(|word| AtomicU64::new(u64::from_ne_bytes(word))).collect()
        };
        assert_eq!(name(&words(b"kubepods\0rest of before ")), "kubepods");
        assert_eq!(name(&words(b"\0\0\0\0\0\0\0\0")), "");
        assert_eq!(name(&words(b"no zero!")), "");
    }

    #[test]
    fn the_kernel_finds_the_fields_where_it_looks_for_them() {
        use std::mem::offset_of;
        // `union bpf_attr` in `linux/bpf.h`.
        assert_eq!(offset_of!(TestRun, data_in), 16);
        assert_eq!(offset_of!(TestRun, repeat), 32);
        assert_eq!(offset_of!(TestRun, ctx_size_in), 40);
        assert_eq!(offset_of!(TestRun, ctx_in), 48);
        assert_eq!(offset_of!(TestRun, cpu), 68);
        assert_eq!(size_of::<TestRun>(), 72);
    }
}
