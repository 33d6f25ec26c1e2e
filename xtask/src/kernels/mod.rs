//! Other kernels than the running one. `test-kernels`: the kernel tests there, in a virtual machine.
//!
//! [`debian`] fetches the kernels, [`build`] the tests, [`modules`] and [`initramfs`] put together what the machine boots,
//! [`machine`] boots it and listens. [`fixture`] keeps what the monitor reads of their types, found by [`image`] and trimmed
//! by [`btf`].

mod btf;
mod build;
mod debian;
mod fixture;
mod image;
mod initramfs;
mod machine;
mod modules;

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

pub(crate) use self::debian::Release;
pub(crate) use self::fixture::write as btf_fixture;
use crate::command::target_directory;
use crate::test::Tally;
use crate::{ebpf, host};

/// The kernels that `cargo xtask test` boots.
pub(crate) const RELEASES: [Release; 2] = [Release::Bookworm, Release::BookwormBackports];

/// Boots these kernels, or all; the exit code tells whether every test passed on each.
pub(crate) fn test_kernels(chosen: &[Release]) -> Result<ExitCode> {
    let chosen = if chosen.is_empty() { &RELEASES } else { chosen };
    let mut all = Tally::default();
    for (release, tally) in run(chosen)? {
        println!("{release}: {}", tally.summary());
        all.absorb(&release.to_string(), tally);
    }
    Ok(all.close())
}

/// The name a kernel's tests have together, for the list of what was skipped.
pub(crate) fn check_name(release: Release) -> String {
    format!("kernel tests on {release}")
}

/// Runs the stage of `cargo xtask test`: what cannot be run at all has failed.
pub(crate) fn stage(tally: &mut Tally) {
    for release in RELEASES {
        match run(&[release]) {
            Ok(results) => {
                for (release, result) in results {
                    println!("{release}: {}", result.summary());
                    tally.absorb(&release.to_string(), result);
                }
            }
            Err(error) => {
                eprintln!("   {error:#}");
                tally.check(&check_name(release), false);
            }
        }
    }
}

/// What the tests said on each kernel.
fn run(releases: &[Release]) -> Result<Vec<(Release, Tally)>> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the kernels and the virtual machine are for x86-64, and this is another processor"
    );
    host::install_machine_tools()?;
    let programs = ebpf::build().context("the eBPF programs")?;
    let built = build::tests(&programs.path).context("the tests, linked statically")?;
    let folder = target_directory()?.join("kernels");
    let mut results = Vec::new();
    for &release in releases {
        let packages = debian::fetch(release, &folder).with_context(|| format!("the kernel of {release}"))?;
        let archive = initramfs::pack(&packages, &built).with_context(|| format!("what {release} boots"))?;
        let result = machine::boot(&packages, &archive).with_context(|| format!("{release} in a virtual machine"))?;
        results.push((release, result));
    }
    Ok(results)
}
