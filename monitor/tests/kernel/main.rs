//! The kernel half against the running kernel: every signal, made for real, in network namespaces of the tests' own.
//!
//! They need root (or `CAP_BPF`, `CAP_PERFMON`, `CAP_NET_ADMIN`, `CAP_SYS_ADMIN`), and the commands `ip`, `nft` and `ss`. Where
//! something is missing they fail and name it; they never pass without having looked.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod cgroups;
mod connections;
mod dials;
mod latency;
mod listeners;
mod losses;
mod no_evidence;
mod place;
mod recordings;
mod scope;
mod user_ns;
mod watcher;
