//! `stopover`: the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    stopover::main().into()
}
