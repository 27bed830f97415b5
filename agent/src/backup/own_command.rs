//! The site's own way to make a backup (a cloud's snapshot, say): a program that stands in agent.toml, and never anywhere
//! else. It is run without a shell, told in variables what it is about, and given no password.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use stopover_model::report::{ErrorClass, Progress, ProgressUnit, StepError};
use tokio::process::Command;

use super::child::{end_of, last, stop};
use super::connection::place;
use crate::postgres::shown;
use crate::step::StepContext;

/// Of what it says, the end is kept.
const LONGEST: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);
/// What would lead PostgreSQL's programs elsewhere, or hold a secret.
const NOT_PASSED_ON: [&str; 6] =
    ["PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGOPTIONS", "PGSYSCONFDIR"];

/// Runs it to its end, and gives back the end of what it said on both of its outputs.
pub(super) async fn run(context: &StepContext, command: &[String]) -> Result<String, StepError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(StepError::new(ErrorClass::Setup, "backup.command in agent.toml is empty")
            .with_hint("write [\"program\", \"argument\"], or take the key out"));
    };
    let doing = format!("running {}", shown(program, 140));
    context.reporter.progress(Progress {
        doing,
        done: 0,
        total: 0,
        unit: ProgressUnit::Bytes,
        backfill: None,
    });
    let mut command = Command::new(program);
    command.args(arguments).envs(place(&context.database)).envs(variables(context)).current_dir("/");
    for name in NOT_PASSED_ON {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| {
        let message = format!("could not run the backup command {}: {error}", Path::new(program).display());
        StepError::new(ErrorClass::Setup, message).with_hint(
            "give its absolute path in backup.command of agent.toml, and let the agent's user execute it",
        )
    })?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let running = async { tokio::join!(end_of(out, LONGEST), end_of(err, LONGEST), child.wait()) };
    let (mut said, errors, status) = tokio::select! {
        ended = running => ended,
        () = context.cancel.cancelled() => {
            stop(&mut child, PATIENCE).await;
            return Err(StepError::new(ErrorClass::Cancelled, "the backup was cancelled"));
        }
    };
    said.push_str(&errors);
    let status = status.map_err(|error| {
        StepError::new(ErrorClass::Internal, format!("could not wait for the backup command: {error}"))
    })?;
    if status.success() { Ok(said) } else { Err(failed(program, status, &said)) }
}

fn variables(context: &StepContext) -> [(&'static str, String); 5] {
    [
        ("STOPOVER_ENVIRONMENT", context.environment.to_string()),
        ("STOPOVER_DATABASE", context.step.database.to_string()),
        ("STOPOVER_DEPLOYMENT", context.deployment.to_string()),
        ("STOPOVER_STAGE", context.step.stage.0.to_string()),
        ("STOPOVER_ATTEMPT", context.attempt.to_string()),
    ]
}

fn failed(program: &str, status: ExitStatus, said: &str) -> StepError {
    let end = last(said);
    let reason = if end.is_empty() { "it gave no reason".to_owned() } else { end };
    let message = format!("the backup command {} failed ({status}): {reason}", shown(program, 140));
    StepError::new(ErrorClass::Setup, message).with_hint(
        "run it by hand as the agent's user, with the variables that the README names, to see more",
    )
}
