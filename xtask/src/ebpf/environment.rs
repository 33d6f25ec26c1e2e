//! Keeps the toolchain that runs `xtask` out of the one that builds the kernel half.

use std::process::Command;

/// A command without the variables by which a Cargo already running steers its children.
pub(crate) fn clean_command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(leaks) {
            command.env_remove(&name);
        }
    }
    command
}

/// Whether a variable would choose or flag another toolchain than the one called. What says where the network and the
/// downloads are stays.
fn leaks(name: &str) -> bool {
    const KEPT: [&str; 2] = ["CARGO_HOME", "CARGO_TERM_COLOR"];
    const KEPT_PREFIXES: [&str; 4] = ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    if name.starts_with("CARGO") {
        return !KEPT.contains(&name) && !KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    }
    // Cargo and rustup point it at their own toolchain's libraries.
    matches!(
        name,
        "LD_LIBRARY_PATH"
            | "RUSTC"
            | "RUSTC_BOOTSTRAP"
            | "RUSTC_WORKSPACE_WRAPPER"
            | "RUSTC_WRAPPER"
            | "RUSTDOC"
            | "RUSTDOCFLAGS"
            | "RUSTFLAGS"
            | "RUSTUP_TOOLCHAIN"
            | "RUST_RECURSION_COUNT"
            | "RUST_TARGET_PATH"
            | "__CARGO_TESTS_ONLY_SRC_ROOT"
    )
}

#[cfg(test)]
mod tests {
    use super::leaks;

    #[test]
    fn what_chooses_a_toolchain_or_its_flags_does_not_leak() {
        for name in [
            "RUSTUP_TOOLCHAIN",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC",
            "RUSTC_WRAPPER",
            "CARGO",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
            "CARGO_PROFILE_RELEASE_DEBUG",
            "LD_LIBRARY_PATH",
        ] {
            assert!(leaks(name), "{name} leaks");
        }
    }

    #[test]
    fn where_downloads_are_and_go_is_kept() {
        for name in [
            "CARGO_HOME",
            "RUSTUP_HOME",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_MINE_INDEX",
            "PATH",
            "HOME",
        ] {
            assert!(!leaks(name), "{name} was removed");
        }
    }
}
