//! Inspection: the state of a database before anything happens to it, for the plan and for people.
//!
//! It only reads, bounds what each question may cost, and never reports the text of anybody's query.

mod activity;
mod checks;
mod disk;
mod drift;
mod followers;
mod health;
pub mod impact;
mod objects;
mod sample;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use stopover_model::baseline::Metrics;
use stopover_model::id::MigrationId;
use stopover_model::impact::SampleWish;
use stopover_model::migration::Migration;
use stopover_model::report::{ErrorClass, Inspection, LedgerState, Outcome, StepError, StepReport};
use stopover_model::saved::Saved;

use crate::backup::{self, BackupSettings};
use crate::postgres::{Purpose, Session, SessionName, step_error};
use crate::step::StepContext;
use crate::{baseline, ledger, saved};

/// What an inspection looks for.
#[derive(Debug, Clone)]
pub struct InspectRequest {
    pub migrations: Vec<Migration>,
    /// Which statements are to be tried on copies of a few rows; None: none.
    pub sample: Option<SampleWish>,
    /// What backups are made with; None: whether one could be is not looked at.
    pub backup: Option<BackupSettings>,
}

/// Looks at the database.
pub async fn run(context: &StepContext, request: &InspectRequest) -> Outcome {
    match inspect(context, request).await {
        Ok(inspection) => Outcome::Succeeded { report: StepReport::Inspected(inspection) },
        Err(error) => Outcome::Failed { error, report: None },
    }
}

async fn inspect(context: &StepContext, request: &InspectRequest) -> Result<Inspection, StepError> {
    let session = context.database.connect(&Purpose::reading(&SessionName::of(context))).await?;
    let looked = tokio::select! {
        looked = look(context, &session, request) => looked,
        () = context.cancel.cancelled() => {
            session.cancel().await;
            Err(StepError::new(ErrorClass::Cancelled, "the inspection was cancelled"))
        }
    };
    session.close().await;
    let mut inspection = looked?;
    if let Some(wish) = &request.sample {
        sample::fill(context, wish, &request.migrations, &mut inspection.impacts).await;
    }
    Ok(inspection)
}

async fn look(
    context: &StepContext,
    session: &Session,
    request: &InspectRequest,
) -> Result<Inspection, StepError> {
    let migrations = &request.migrations[..];
    let identity = session.identity().clone();
    // What waits for a lock tells less than what is known without it.
    let hurry = session.client().batch_execute("SET lock_timeout = '1s'").await;
    hurry.map_err(|error| step_error("could not begin the inspection", error))?;
    let mut warnings = Vec::new();
    let named = tables::named(migrations)?;
    let touched = tables::touched(session, &named, migrations).await?;
    let ids: Vec<MigrationId> = migrations.iter().map(|migration| migration.id.clone()).collect();
    let ledger = ledger::entries(session.client(), &ids).await?;
    let entries: BTreeMap<_, _> = ledger.iter().map(|entry| (&entry.migration, entry)).collect();
    let unknown = migrations.iter().filter(|migration| !entries.contains_key(&migration.id));
    let unknown: Vec<&Migration> = unknown.collect();
    let mut tables = Vec::with_capacity(named.len());
    for (text, name) in &named {
        tables.push(tables::inspect(session, text, name, &mut warnings).await?);
    }
    let applied = |migration: &&Migration| {
        let entry = entries.get(&migration.id).filter(|entry| entry.digest == migration.digest);
        entry.is_some_and(|entry| entry.state == LedgerState::Applied)
    };
    let open: Vec<&Migration> = migrations.iter().filter(|migration| !applied(migration)).collect();
    let begun = |migration: &&&Migration| {
        entries.get(&migration.id).is_some_and(|entry| entry.state == LedgerState::Running)
    };
    let unbegun: Vec<&Migration> = open.iter().filter(|migration| !begun(migration)).copied().collect();
    let warned = warnings.len();
    let impacts = impact::predicted(session, &open, &tables, &mut warnings).await?;
    let unpredicted = warnings.len() > warned;
    // Comparing the schema is the dearest look of all, and where nothing is to be applied nobody goes by it.
    let up_to_date = open.is_empty() && !migrations.is_empty();
    let mut inspection = Inspection {
        server_version: identity.version,
        server_version_num: u32::try_from(identity.version_num).unwrap_or(0),
        in_recovery: identity.in_recovery,
        database: identity.database,
        database_bytes: database_bytes(session).await?,
        tables,
        long_running: activity::long_running(session).await?,
        locks: activity::strong_locks(session, &touched).await?,
        existing: objects::existing(session, &unknown).await?,
        ledger,
        drift: if up_to_date { None } else { drift::found(session, &mut warnings).await? },
        system_identifier: identity.system_identifier.unwrap_or_default(),
        warnings: Vec::new(),
        impacts,
        unpredicted,
        saved: can_be_restored(session, &open, &mut warnings).await?,
        checks: checks::run(session, &unbegun, &context.reporter).await?,
        metrics: if up_to_date { None } else { metrics(session, &touched, &mut warnings).await? },
        disks: if up_to_date {
            None
        } else {
            Some(Box::new(disk::look(&context.database, session, &touched).await))
        },
        hindrances: Vec::new(),
    };
    if !up_to_date {
        if let Some(settings) = &request.backup {
            inspection.hindrances = backup::hindrances(&context.database, session, settings).await;
        }
        warnings.extend(followers::warnings(session).await?);
    }
    warnings.extend(health::warnings(session, &inspection.system_identifier, &touched).await?);
    Ok(Inspection { warnings, ..inspection })
}

/// What the rollbacks of migrations that are to be applied again have dropped.
async fn can_be_restored(
    session: &Session,
    open: &[&Migration],
    warnings: &mut Vec<String>,
) -> Result<Vec<Saved>, StepError> {
    let ids: Vec<&str> = open.iter().map(|migration| migration.id.as_str()).collect();
    match saved::of_rollbacks(session, &ids).await {
        Ok(saved) => Ok(saved),
        Err(error) if error.is_lost() => Err(error.into_step_error("read what is saved")),
        Err(error) => {
            warnings.push(format!("what was saved of earlier rollbacks could not be read: {error}"));
            Ok(Vec::new())
        }
    }
}

/// What a soak is compared with later.
async fn metrics(
    session: &Session,
    touched: &[u32],
    warnings: &mut Vec<String>,
) -> Result<Option<Box<Metrics>>, StepError> {
    match baseline::look(session, touched).await {
        Ok(metrics) => Ok(Some(Box::new(metrics))),
        Err(error) if error.is_lost() => Err(error.into_step_error("read the database's statistics")),
        Err(error) => {
            warnings.push(format!("what a soak is compared with could not be read: {error}"));
            Ok(None)
        }
    }
}

async fn database_bytes(session: &Session) -> Result<u64, StepError> {
    let sql = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())";
    let row = session.client().query_one(sql, &[]).await;
    let row = row.map_err(|error| step_error("could not ask for the size of the database", error))?;
    Ok(unsigned(row.get(0)))
}

/// PostgreSQL has no unsigned numbers; what it counts is never negative but for "not known".
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
