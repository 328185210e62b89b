//! Compiles the .proto files without protoc, and keeps their descriptors for gRPC reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let files =
        ["shard", "document", "log", "peer", "admin", "cluster"].map(|name| format!("cordboard/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=cordboard");
    let descriptors = protox::compile(files, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".cordboard.v1.PeerMessage")
        .bytes(".cordboard.v1.SnapshotPiece")
        .compile_fds(descriptors)?;
    Ok(())
}
