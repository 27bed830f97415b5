//! Stopover's command line: plans, deploys and watches database migrations through a Stopover server.
//!
//! It talks to the server only; it never touches a database of a pipeline. `stopover dev` is the exception by its
//! nature: it starts a server, agents and throwaway databases on this machine.
//!
//! ```text
//! args -> command -> client -> server        what is asked
//! login -> oidc -> the identity provider      who asks
//! follow -> model's apply -> render, live    what is shown
//! ```

pub mod answer;
pub mod args;
pub mod client;
pub mod command;
pub mod contexts;
pub mod dev;
pub mod directory;
mod dispatch;
pub mod failure;
pub mod follow;
pub mod live;
pub mod oidc;
pub mod output;
pub mod render;
pub mod settings;

use clap::Parser as _;

use args::Cli;
use failure::{Exit, Failure};
use output::Output;

/// The whole program.
#[must_use]
pub fn main() -> Exit {
    // Clap ends the process by itself: 0 after --help, 2 after a mistake.
    let cli = Cli::parse();
    let output = Output::new(&cli.global);
    match start(cli, output) {
        Ok(exit) => exit,
        Err(failure) => {
            output.failure(&failure);
            failure.exit
        }
    }
}

fn start(cli: Cli, output: Output) -> Result<Exit, Failure> {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return Err(Failure::failed("another TLS provider was chosen already"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("could not start the runtime").because(&error))?;
    let result = runtime.block_on(dispatch::run(cli, output));
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    result
}
