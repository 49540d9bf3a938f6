//! Turns the .proto files into Rust with their JSON mapping. Needs no protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: &[&str] = &[
    "boss/v1/registry.proto",
    "boss/v1/cluster.proto",
    "boss/v1/auth.proto",
    "boss/v1/node_session.proto",
    "boss/raft/v1/command.proto",
    "boss/raft/v1/peer.proto",
    "boss/peer/v1/forward.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let encoded = descriptors.encode_to_vec();
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"), &encoded)?;
    tonic_prost_build::configure()
        .bytes(".")
        // Ordered maps make the encoding of an object a function of the object: state hashes depend on it.
        .btree_map(".")
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(descriptors)?;
    // Only what users write or read as JSON and YAML; internal messages have one encoding.
    pbjson_build::Builder::new().register_descriptors(&encoded)?.btree_map(["."]).build(&[".boss.v1"])?;
    Ok(())
}
