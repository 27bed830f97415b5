//! The demonstration: plan, deploy, the guide's verification, a rollback of production, and where to look next.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use stopover_model::event::DeploymentOutcome;
use stopover_model::id::Seq;
use stopover_model::migration::Migration;
use stopover_proto::convert::field;
use stopover_proto::v1;
use tokio::time::sleep;

use super::check::{Expected, look};
use super::people::People;
use super::stack::{ENVIRONMENTS, PIPELINE, Stack};
use crate::answer::{FollowUpAnswer, RollbackAnswer};
use crate::command::show::{Ended, show};
use crate::command::{create_deployment, fetch, show_plan};
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::{Line, Tone};

/// Of production in [`ENVIRONMENTS`].
const PRODUCTION: usize = 1;
/// What is due later than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(200);

pub(super) async fn run(stack: &Stack<'_>, migration: &Migration) -> Result<Exit, Failure> {
    let migrations = std::slice::from_ref(migration);
    let mut control = stack.control()?;

    heading(stack, "The plan: what would happen where, and why")?;
    if show_plan(stack.output, &mut control, PIPELINE, migrations).await? != Exit::Done {
        return Ok(Exit::Failed);
    }
    heading(stack, "The deployment: staging, a rest under observation, people's word, production")?;
    let request = v1::DeployRequest {
        pipeline: PIPELINE.to_owned(),
        migrations: migrations.iter().map(v1::MigrationBundle::from).collect(),
        request_id: uuid::Uuid::new_v4().to_string(),
        expected_digest: Vec::new(),
        again: String::new(),
        restore_saved: false,
    };
    let id = create_deployment(&mut control, request).await?.deployment;
    let shown = tokio::select! {
        shown = show(stack.output, control.clone(), &id, Seq::ZERO) => shown?,
        failure = People::of(stack)?.attend(&id) => return Err(failure),
    };
    match shown {
        Ended::Detached => return Ok(Exit::Detached),
        Ended::Deployment(state) if state.outcome == Some(DeploymentOutcome::Succeeded) => {}
        Ended::Deployment(_) => return Ok(Exit::Failed),
    }
    if !verify(stack, migration, "The guide's verification, asked of production itself", Expected::Migrated)
        .await?
    {
        return Ok(Exit::Failed);
    }
    follow_ups(stack, migration, &id).await?;
    if migration.down.is_none() {
        return done(stack);
    }
    heading(stack, "The way back: production rolled back, after another backup")?;
    let environment = ENVIRONMENTS[PRODUCTION].to_owned();
    if !stack.output.json {
        let deployment = fetch(&mut control, &id).await?;
        let request = v1::PlanDeploymentRollbackRequest {
            deployment: id.clone(),
            environment: environment.clone(),
            to: String::new(),
        };
        let plan = RollbackAnswer::try_from(control.plan_rollback(request).await?.into_inner())?;
        stack.output.lines(&render::rollback::lines(&plan, &deployment, stack.output.view()))?;
    }
    let request = v1::RollbackDeploymentRequest { deployment: id.clone(), environment, to: String::new() };
    let seq = control.rollback_deployment(request).await?.into_inner().seq;
    match show(stack.output, control, &id, Seq(seq)).await? {
        Ended::Detached => return Ok(Exit::Detached),
        Ended::Deployment(state) if state.outcome == Some(DeploymentOutcome::RolledBack) => {}
        Ended::Deployment(_) => return Ok(Exit::Failed),
    }
    if !verify(stack, migration, "Production after the rollback", Expected::RolledBack).await? {
        return Ok(Exit::Failed);
    }
    done(stack)
}

/// What is due within seconds is waited for; the rest says when it is.
async fn follow_ups(stack: &Stack<'_>, migration: &Migration, id: &str) -> Result<(), Failure> {
    if migration.manifest.follow_ups.is_empty() {
        return Ok(());
    }
    heading(stack, "What is looked at later: at once here, the day after, and the week after")?;
    let mut control = stack.control()?;
    let give_up = Instant::now() + PATIENCE;
    let mut follow_ups = loop {
        let request = v1::ListFollowUpsRequest { deployment: id.to_owned() };
        let listed = control.list_follow_ups(request).await?.into_inner().follow_ups;
        let listed: Vec<FollowUpAnswer> = field::messages::read(listed, "follow_ups")?;
        let soon = |f: &FollowUpAnswer| f.due.is_some_and(|due| due < Timestamp::now() + PATIENCE);
        if Instant::now() >= give_up || !listed.iter().any(soon) {
            break listed;
        }
        sleep(POLL).await;
    };
    follow_ups.sort_by_key(FollowUpAnswer::first_due);
    let production = ENVIRONMENTS[PRODUCTION];
    for follow_up in follow_ups.iter().filter(|f| f.key.environment.as_str() == production) {
        if stack.output.json {
            stack.output.json(follow_up)?;
        } else {
            stack.output.lines(&render::follow_up::lines(follow_up, stack.output.view()))?;
        }
    }
    Ok(())
}

/// The guide's queries, where the migration is the guide's.
async fn verify(
    stack: &Stack<'_>,
    migration: &Migration,
    title: &str,
    expected: Expected,
) -> Result<bool, Failure> {
    if !migration.up.text().contains("onboarding_completed") {
        return Ok(true);
    }
    heading(stack, title)?;
    let found = look(stack.cluster(PRODUCTION)?).await?;
    let as_expected = found.is(expected);
    let output = stack.output;
    if !output.json {
        output.lines(&found.lines(expected, output.view()))?;
        output.lines(&[if as_expected {
            Line::of(Tone::Good, "as the guide expects it")
        } else {
            Line::of(Tone::Bad, "not as the guide expects it")
        }])?;
    }
    Ok(as_expected)
}

fn heading(stack: &Stack<'_>, text: &str) -> Result<(), Failure> {
    if stack.output.json {
        return Ok(());
    }
    stack.output.lines(&[Line::new(), Line::of(Tone::Strong, format!("== {text}")), Line::new()])
}

fn done(stack: &Stack<'_>) -> Result<Exit, Failure> {
    heading(stack, "Where to look next")?;
    if !stack.output.json {
        let width = stack.output.view().width;
        let line = |(left, right)| Line::new().strong(format!("  {left:20}")).plain(right).wrapped(width, 22);
        let rows = [
            ("stopover dev", "the same, left running for you to explore"),
            ("stopover dev --keep", "and its backups, logs and configuration stay afterwards"),
            ("deploy/samples/", "the migration and the pipeline that you have just seen"),
            ("stopover --help", "everything else"),
            ("README.md", "how to write a migration, and how to set up servers and agents"),
        ];
        stack.output.lines(&rows.into_iter().flat_map(line).collect::<Vec<_>>())?;
    }
    Ok(Exit::Done)
}
