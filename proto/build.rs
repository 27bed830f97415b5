//! Generates the gRPC code and the descriptor set for reflection from `stopover/v1/*.proto`, without protoc.
//!
//! Every `.proto` file in the directory is taken, so that a new file of the contract needs no word here.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;

const ROOT: &str = ".";
const PACKAGE: &str = "stopover/v1";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PACKAGE}");
    println!("cargo::rerun-if-changed=build.rs");

    let mut descriptors = protox::compile(proto_files()?, [ROOT])?;
    tonic_prost_build::configure()
        .bytes(".stopover.v1.Chunk.data")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors.clone())?;

    // Comments serve the generated code; over the wire they would only make reflection's answers large.
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("stopover.v1.bin"), descriptors.encode_to_vec())?;
    Ok(())
}

/// Sorted, so that the generated code does not depend on the order of the directory.
fn proto_files() -> std::io::Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(Path::new(ROOT).join(PACKAGE))?
        .map(|entry| Ok(Path::new(PACKAGE).join(entry?.file_name())))
        .collect::<std::io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    Ok(files)
}
