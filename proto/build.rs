//! Turns the .proto files into Rust with their JSON mapping. Needs no protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;
use tonic_prost_build::FileDescriptorSet as Descriptors;

const FILES: &[&str] = &[
    "boss/v1/registry.proto",
    "boss/v1/cluster.proto",
    "boss/v1/auth.proto",
    "boss/v1/certificate.proto",
    "boss/v1/tokens.proto",
    "boss/v1/node_session.proto",
    "boss/raft/v1/command.proto",
    "boss/raft/v1/peer.proto",
    "boss/peer/v1/forward.proto",
];

/// Messages with secrets in them: `redacted.rs` shows them without.
const SECRET: &[&str] = &[
    "boss.v1.Secret",
    "boss.v1.CreateTokenResponse",
    "boss.v1.PatchRequest",
    "boss.v1.ApplyRequest",
    "boss.peer.v1.Credential",
];

/// Methods of the registry whose answers are made of stored bytes.
const ENCODED: &[(&str, &str)] = &[
    ("Create", "WriteResponse"),
    ("Update", "WriteResponse"),
    ("UpdateStatus", "WriteResponse"),
    ("Patch", "WriteResponse"),
    ("Apply", "WriteResponse"),
    ("Delete", "DeleteResponse"),
    ("Get", "GetResponse"),
    ("List", "ListResponse"),
    ("Watch", "WatchResponse"),
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
        // An object is as large as the largest kind otherwise, wherever one is held or handed on.
        .boxed(".boss.v1.Object")
        .skip_debug(SECRET)
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(descriptors.clone())?;
    let served = PathBuf::from(env::var("OUT_DIR")?).join("encoded");
    fs::create_dir_all(&served)?;
    // The registry's service once more, with answers whose objects are bytes already: the same on the wire.
    tonic_prost_build::configure()
        .build_client(false)
        .out_dir(served)
        .codec_path("crate::encoded::Codec")
        .extern_path(".boss.v1", "crate::v1")
        .extern_path(".boss.encoded.v1", "crate::encoded")
        .compile_fds(with_encoded_answers(descriptors)?)?;
    // Only what users write or read as JSON and YAML; internal messages have one encoding.
    pbjson_build::Builder::new().register_descriptors(&encoded)?.btree_map(["."]).build(&[".boss.v1"])?;
    Ok(())
}

/// The registry's service alone, with the answers of `boss_proto::encoded` in place of the public ones.
fn with_encoded_answers(mut descriptors: Descriptors) -> Result<Descriptors, Box<dyn Error>> {
    descriptors.file.retain(|file| file.service.iter().any(|service| service.name() == "Registry"));
    for file in &mut descriptors.file {
        file.message_type.clear();
        file.enum_type.clear();
        file.dependency.clear();
        file.source_code_info = None;
        for (method, answer) in ENCODED {
            let mut methods = file.service.iter_mut().flat_map(|service| &mut service.method);
            let method = methods.find(|found| found.name() == *method).ok_or("a method of the registry is gone")?;
            method.output_type = Some(format!(".boss.encoded.v1.{answer}"));
        }
    }
    Ok(descriptors)
}
