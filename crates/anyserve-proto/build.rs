//! Compiles `proto/` with protox, so that no `protoc` binary is needed.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", proto.display());
    let descriptors = protox::compile(
        ["admin.proto", "inference.proto", "local.proto", "objects.proto", "replica.proto", "worker.proto"],
        [&proto],
    )?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("inference_descriptor.bin");
    // Comments and source positions are of no use to a client that asks by reflection.
    let public = protox::Compiler::new([&proto])?.open_file("inference.proto")?.encode_file_descriptor_set();
    std::fs::write(out, public)?;
    tonic_prost_build::configure()
        .codec_path("crate::codec::TensorCodec")
        // Tensor contents are slices of the buffer they arrived in.
        .bytes(".")
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
