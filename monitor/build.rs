//! Finds the object of the kernel half and hands it to `kernel::load`, which embeds it.
//!
//! Without one the daemon still builds, so that `cargo test` works anywhere; it then says at start what to run.

use std::path::{Path, PathBuf};
use std::{env, fs};

const NAME: &str = "obit-ebpf.o";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=OBIT_EBPF_OBJECT");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    let embedded = out.join(NAME);
    let object = env::var_os("OBIT_EBPF_OBJECT")
        .map(PathBuf::from)
        .or_else(|| beside_the_build(&out));
    let Some(object) = object else {
        println!(
            "cargo::warning=the eBPF object is not built: `obit monitor` will not start. Run `cargo xtask build-ebpf`, then build again"
        );
        fs::write(&embedded, []).expect("OUT_DIR is writable");
        return;
    };
    println!("cargo::rerun-if-changed={}", object.display());
    if let Err(error) = fs::copy(&object, &embedded) {
        // Only a path somebody named can fail like this, and then silence would embed another object than the one meant.
        panic!("cannot read the eBPF object {}: {error}", object.display());
    }
}

/// The object in the target directory this build writes to, which is somewhere above `OUT_DIR`.
fn beside_the_build(out: &Path) -> Option<PathBuf> {
    // A path that does not exist counts as changed at every build; only the one in the target directory is looked for.
    let target = out
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").exists())?;
    let object = target.join(NAME);
    if object.exists() {
        return Some(object);
    }
    // Look again when the directory's own entries change: that is when the object appears.
    println!("cargo::rerun-if-changed={}", target.display());
    None
}
