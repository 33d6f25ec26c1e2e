//! obit's own commands; `cargo xtask --help` lists them.

mod bench;
mod clock;
mod command;
mod deploy;
mod e2e;
mod ebpf;
mod fuzz;
mod host;
mod image;
mod kernels;
mod lab;
mod peers;
mod test;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, tests and demonstrates obit. Whatever a command needs and does not find, it installs, saying what and why.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds the eBPF object that `obit monitor` embeds
    BuildEbpf,
    /// Measures obit on this machine, held against what is promised, and tells what changed since another run (needs root)
    ///
    /// Without a command it measures everything, prints tables, and keeps the results in a file; `bench diff` compares two such
    /// files. See docs/benchmarks.md.
    Bench(bench::Arguments),
    /// Trims the types of Debian's kernels to fixtures of the monitor's tests
    BtfFixture {
        /// Those of the running kernel, too
        #[arg(long)]
        running: bool,
    },
    /// The experiment: kills a pod under load and lets another vanish, with and without obit
    Demo,
    /// Everything CI checks; ends with `N passed, N failed, N skipped`
    Test,
    /// obit in a real Kubernetes, built once and run in network namespaces of this machine (needs root, and Go 1.26 for the first time)
    E2e(e2e::Arguments),
    /// What changed in the client library's public API
    PublicApi(test::PublicApi),
    /// Fuzzes what reads foreign bytes, from the inputs in `fuzz/corpus`
    Fuzz(fuzz::Arguments),
    /// The monitor as an image for containers: one static program and nothing else
    Image(image::Arguments),
    /// Whether the chart and the manifests in `deploy/` say the same, and the chart refuses what is no value
    DeployCheck(deploy::Arguments),
    /// The kernel tests on Debian's kernels, in a virtual machine
    TestKernels {
        /// Which kernel; may be repeated. All of them if left out
        #[arg(long = "kernel", value_name = "VERSION")]
        kernels: Vec<kernels::Release>,
    },
    /// Runs one scenario of the lab: what becomes of calls when pods die (needs root)
    #[command(disable_help_flag = true)]
    Lab {
        /// Handed to the lab as they are; `cargo xtask lab --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Task::BuildEbpf => {
            ebpf::report(&ebpf::build()?);
            Ok(ExitCode::SUCCESS)
        }
        Task::Bench(arguments) => bench::bench(arguments),
        Task::BtfFixture { running } => {
            kernels::btf_fixture(running)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Demo => lab::lab(&["demo".into()]),
        Task::Test => test::test(),
        Task::E2e(arguments) => e2e::e2e(&arguments),
        Task::PublicApi(arguments) => test::public_api(&arguments),
        Task::Fuzz(arguments) => fuzz::fuzz(&arguments),
        Task::Image(arguments) => {
            image::image(&arguments)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::DeployCheck(arguments) => deploy::deploy_check(arguments),
        Task::TestKernels { kernels } => kernels::test_kernels(&kernels),
        Task::Lab { arguments } => lab::lab(&arguments),
    }
}
