//! One file a command. Each asks the server, and hands what it answers to the renderers.

mod agent;
mod cancel;
mod completions;
mod deploy;
mod environment;
mod list;
mod pause;
mod pipeline;
mod plan;
mod resolve;
mod resume;
mod rollback;
pub mod show;
mod statements;
mod status;
mod watch;

pub(crate) use deploy::create as create_deployment;
pub(crate) use plan::show as show_plan;

use crate::args::{Cli, Command, Global};
use crate::client::{self, Control};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::settings::{Environment, Settings};

/// What every command needs.
pub struct Context {
    pub global: Global,
    pub output: Output,
}

impl Context {
    /// Connects to the configured server.
    pub async fn control(&self) -> Result<Control, Failure> {
        let settings = Settings::find(&self.global, &Environment::of_the_process())?;
        client::connect(&settings).await
    }

    /// The configured server's address.
    fn server(&self) -> Result<String, Failure> {
        let settings = Settings::find(&self.global, &Environment::of_the_process())?;
        Ok(settings.server.to_string().trim_end_matches('/').to_owned())
    }
}

/// Runs what was asked for.
pub async fn run(cli: Cli, output: Output) -> Result<Exit, Failure> {
    let context = Context { global: cli.global, output };
    match cli.command {
        Command::Plan(args) => plan::run(&context, &args).await,
        Command::Deploy(args) => deploy::run(&context, &args).await,
        Command::Watch { id } => watch::run(&context, &id.id).await,
        Command::Status { id: Some(id) } => status::run(&context, &id).await,
        Command::Status { id: None } => list::run(&context, 0).await,
        Command::List { limit } => list::run(&context, limit).await,
        Command::Cancel { id } => cancel::run(&context, &id.id).await,
        Command::Rollback(args) => rollback::run(&context, &args).await,
        Command::Pause { id, reason } => pause::run(&context, &id.id, reason).await,
        Command::Resume { id } => resume::run(&context, &id.id).await,
        Command::Resolve(args) => resolve::run(&context, &args).await,
        Command::Statements { file } => statements::run(&context, &file),
        Command::Environment(command) => environment::run(&context, command).await,
        Command::Agent(command) => agent::run(&context, command).await,
        Command::Pipeline(command) => pipeline::run(&context, command).await,
        Command::Dev(args) => crate::dev::run(&args, context.output).await,
        Command::Completions { shell } => completions::run(&context, shell),
    }
}
