//! Compiles `proto/obit.proto` with a compiler written in Rust: no protoc needed.

fn main() {
    println!("cargo:rerun-if-changed=proto/obit.proto");
    let descriptors = protox::compile(["proto/obit.proto"], ["proto"]).expect("proto/obit.proto compiles");
    prost_build::Config::new()
        .compile_fds(descriptors)
        .expect("code for proto/obit.proto is written");
}
