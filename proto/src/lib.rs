//! The words on the wire: generated from `proto/cordboard/v1/*.proto`, no logic.
//!
//! The `.proto` files are the documentation; one word per idea, the same as in `docs/glossary.md`.

/// Version 1 of every message and service.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("cordboard.v1");
}

/// The encoded `FileDescriptorSet` of all files, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
