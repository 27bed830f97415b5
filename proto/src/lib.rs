//! Stopover's wire contract: the generated gRPC code, conversions to the model, and the tunnel; both ends of each wire.
//!
//! It never decides anything, keeps no state and touches no database.

pub mod convert;
pub mod token;
pub mod tunnel;

/// The code generated from `stopover/v1/*.proto`.
#[expect(
    clippy::allow_attributes,
    clippy::large_enum_variant,
    clippy::pedantic,
    reason = "the generator's output; the lints of hand-written code do not fit it"
)]
pub mod v1 {
    tonic::include_proto!("stopover.v1");
}

/// The contract as a `google.protobuf.FileDescriptorSet`, imports included, for server reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stopover.v1.bin"));
