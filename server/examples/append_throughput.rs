//! How many events a second a store takes, each durable before the call returns: `tests/bench append`.
//!
//! A deployment's events of one moment are one append; deployments append on their own.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use stopover_cluster::{Cluster, TestDatabase};
use stopover_model::deployment::Deployment;
use stopover_model::event::{DeploymentKind, Event, Record, StageIndex, StepKey, StepKind};
use stopover_model::id::{Attempt, DeploymentId, RunId, Seq};
use stopover_model::migration::Migration;
use stopover_model::pipeline::Pipeline;
use stopover_model::plan::MigrationSummary;
use stopover_model::report::LogLine;
use stopover_server::store::{Bundle, Hold, NewDeployment, Projection, Store};
use uuid::Uuid;

const LASTS: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let sqlite = Store::open_file(&directory.path().join("store.db")).await?;
    let cluster = Cluster::builder().name("append").durable(true).start().await?;
    let database = TestDatabase::create(&cluster).await?;
    let postgres = Store::open(database.url()).await?;
    for (name, store) in [("SQLite, synchronous FULL", &sqlite), ("PostgreSQL", &postgres)] {
        for (writers, at_a_time) in [(1, 1), (1, 16), (1, 256), (16, 1), (16, 16), (256, 1), (256, 256)] {
            let rate = rate(store, writers, at_a_time).await?;
            let goal = if at_a_time == 256 { "   (goal: 50,000)" } else { "" };
            say(&format!(
                "{name}: {writers:>3} deployments, {at_a_time:>3} events at a time: {rate:>7.0} events/s{goal}"
            ));
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "shown as rounded numbers")]
async fn rate(store: &Store, writers: usize, at_a_time: u64) -> Result<f64, Box<dyn std::error::Error>> {
    let mut ids = Vec::new();
    for _ in 0..writers {
        ids.push(create(store).await?);
    }
    let begun = Instant::now();
    let writing: Vec<_> =
        ids.into_iter().map(|id| tokio::spawn(write(store.clone(), id, at_a_time, begun + LASTS))).collect();
    let mut events = 0;
    for writer in writing {
        events += writer.await??;
    }
    Ok(events as f64 / begun.elapsed().as_secs_f64())
}

async fn write(
    store: Store,
    id: DeploymentId,
    at_a_time: u64,
    until: Instant,
) -> Result<u64, stopover_server::store::AppendError> {
    let projection = Projection { outcome: None, at: "staging: migrate".to_owned() };
    let mut seq = 1;
    while Instant::now() < until {
        let records: Vec<_> = (1..=at_a_time).map(|n| record(&id, seq + n)).collect();
        store.append(&records, &projection, Hold::Keep).await?;
        seq += at_a_time;
    }
    Ok(seq - 1)
}

fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap_or_default()
}

/// A line as agents log them.
fn record(id: &DeploymentId, seq: u64) -> Record {
    let database = "users".parse().expect("a name");
    let migration = "001_add_onboarding_completed".parse().expect("an id");
    let event = Event::StepLogged {
        step: StepKey::migration(StageIndex(0), &database, StepKind::Migrate, &migration),
        attempt: Attempt(1),
        run: "00000000-0000-4000-8000-000000000001".parse::<RunId>().expect("a run"),
        line_number: seq,
        line: LogLine::Message { text: format!("Updated {seq}000 of 300000 users") },
    };
    Record { deployment: id.clone(), seq: Seq(seq), at: now(), event }
}

async fn create(store: &Store) -> Result<DeploymentId, Box<dyn std::error::Error>> {
    let id = DeploymentId::from_random(rand::random());
    let pipeline = Pipeline::parse("pipeline.toml", "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n")?;
    let files = [("up.sql".to_owned(), b"SELECT 1".to_vec())].into();
    let migration = Migration::parse("001_add_onboarding_completed".parse()?, files)?;
    let migrations = vec![MigrationSummary::of(&migration)];
    let event = Event::Created {
        digest: Deployment::digest_of(&pipeline, &migrations),
        pipeline,
        migrations,
        by: "anna".parse()?,
        lint: Vec::new(),
        again: None,
        restore_saved: false,
        kind: DeploymentKind::Migration,
    };
    let record = Record { deployment: id.clone(), seq: Seq(1), at: now(), event };
    let bundles = [Bundle { digest: migration.digest, files: migration.files() }];
    let new = NewDeployment { record: &record, bundles: &bundles, request_id: Uuid::new_v4() };
    store.create_deployment(new).await?;
    Ok(id)
}

#[expect(clippy::print_stdout, reason = "a benchmark's result")]
fn say(line: &str) {
    println!("{line}");
}
