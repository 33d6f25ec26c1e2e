//! Compiles `proto/demo.proto` with a compiler written in Rust: no protoc needed. Hands the program the version of the library
//! that it measures.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=proto/demo.proto");
    let descriptors = protox::compile(["proto/demo.proto"], ["proto"]).expect("proto/demo.proto compiles");
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds(descriptors)
        .expect("code for proto/demo.proto is written");
    let lock = Path::new("../Cargo.lock");
    println!("cargo:rerun-if-changed={}", lock.display());
    let tonic = locked(lock, "tonic").unwrap_or_else(|| "of unknown version".to_owned());
    println!("cargo:rustc-env=OBIT_LAB_TONIC={tonic}");
}

/// The version of `package` in Cargo's lock file.
fn locked(lock: &Path, package: &str) -> Option<String> {
    let lock: toml::Table = std::fs::read_to_string(lock).ok()?.parse().ok()?;
    let mut packages = lock.get("package")?.as_array()?.iter();
    let package = packages.find(|it| it.get("name").and_then(toml::Value::as_str) == Some(package))?;
    Some(package.get("version")?.as_str()?.to_owned())
}
