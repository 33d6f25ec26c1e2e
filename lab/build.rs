//! Compiles `proto/demo.proto` with a compiler written in Rust: no protoc needed.

fn main() {
    println!("cargo:rerun-if-changed=proto/demo.proto");
    let descriptors = protox::compile(["proto/demo.proto"], ["proto"]).expect("proto/demo.proto compiles");
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds(descriptors)
        .expect("code for proto/demo.proto is written");
}
