//! `stopover completions`: a script for a shell.

use clap::CommandFactory as _;

use super::Context;
use crate::args::Cli;
use crate::failure::{Exit, Failure};

pub(crate) fn run(context: &Context, shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "stopover", &mut script);
    context.output.text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
