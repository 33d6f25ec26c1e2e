//! Compiles `proto/greeter.proto` with a compiler written in Rust: no protoc needed.

fn main() {
    println!("cargo:rerun-if-changed=proto/greeter.proto");
    let descriptors = protox::compile(["proto/greeter.proto"], ["proto"]).expect("proto/greeter.proto compiles");
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds(descriptors)
        .expect("code for proto/greeter.proto is written");
}
