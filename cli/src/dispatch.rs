//! Which file does what was asked for.

use crate::args::{Cli, Command};
use crate::command::{
    Context, acknowledge, adopt, agent, approve, audit, backup, baseline, cancel, completions, contexts,
    deploy, drift, environment, explain, follow_ups, hook, lint, list, login, notifications, pause, person,
    pipeline, plan, rehearse, resolve, resume, rollback, saved, statements, status, throttle, tick, token,
    watch, whoami,
};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Runs what was asked for.
pub(crate) async fn run(cli: Cli, output: Output) -> Result<Exit, Failure> {
    let context = Context { global: cli.global, output };
    match cli.command {
        Command::Plan(args) => plan::run(&context, &args).await,
        Command::Deploy(args) => deploy::run(&context, &args).await,
        Command::Rehearse(args) => rehearse::run(&context, &args).await,
        Command::Watch { id } => watch::run(&context, &id.id).await,
        Command::Status { id: Some(id), database } => status::run(&context, &id, database.as_ref()).await,
        Command::Status { id: None, .. } => list::run(&context, 0).await,
        Command::List { limit } => list::run(&context, limit).await,
        Command::Cancel { id } => cancel::run(&context, &id.id).await,
        Command::Rollback(args) => rollback::run(&context, &args).await,
        Command::Pause { id, reason } => pause::run(&context, &id.id, reason).await,
        Command::Resume(args) => resume::run(&context, &args).await,
        Command::Approve(args) => approve::approve(&context, &args).await,
        Command::Reject(args) => approve::reject(&context, &args).await,
        Command::Pass(args) => hook::pass(&context, &args).await,
        Command::Fail(args) => hook::fail(&context, &args).await,
        Command::Tick(args) => tick::run(&context, &args).await,
        Command::Explain { id } => explain::run(&context, &id.id).await,
        Command::Throttle(args) => throttle::run(&context, &args).await,
        Command::Resolve(args) => resolve::run(&context, &args).await,
        Command::FollowUps { id } => follow_ups::run(&context, &id.id).await,
        Command::Acknowledge(args) => acknowledge::run(&context, &args).await,
        Command::Adopt(args) => adopt::run(&context, &args).await,
        Command::Baseline(args) => baseline::run(&context, &args).await,
        Command::Backup(command) => backup::run(&context, command).await,
        Command::Drift(args) => drift::run(&context, &args).await,
        Command::Saved(command) => saved::run(&context, command).await,
        Command::Statements { file } => statements::run(&context, &file),
        Command::Lint(args) => lint::run(&context, &args),
        Command::Environment(command) => environment::run(&context, command).await,
        Command::Agent(command) => agent::run(&context, command).await,
        Command::Token(command) => token::run(&context, command).await,
        Command::Notifications(command) => notifications::run(&context, command).await,
        Command::Login(args) => login::login(&context, args).await,
        Command::Logout => login::logout(&context).await,
        Command::Whoami => whoami::run(&context).await,
        Command::Person(command) => person::run(&context, command).await,
        Command::Context(command) => contexts::run(&context, command),
        Command::Audit(command) => audit::run(&context, command).await,
        Command::Pipeline(command) => pipeline::run(&context, command).await,
        Command::Apply(args) => pipeline::apply(&context, &args).await,
        Command::Dev(args) => crate::dev::run(&args, context.output).await,
        Command::Completions { shell } => completions::run(&context, shell),
    }
}
