//! A sample: a migration's statements on copies of a few rows, in a transaction that is rolled back.
//!
//! The live tables are only read, under the lock of any reader. Nothing outside of the copies is touched: a statement that
//! could reach further ends the trial, and so does an error. No sample is never a failed inspection.

mod copy;
mod pass;
mod statements;

use std::time::Duration;

use stopover_model::id::MigrationId;
use stopover_model::impact::{Sample, SampleWish, ScriptImpact, StatementImpact};
use stopover_model::migration::{Migration, Script, Variant};
use stopover_model::plan::main_work;
use tokio::time::timeout;

use crate::postgres::{Purpose, QueryError, Session, SessionName};
use crate::step::StepContext;
use copy::{Source, sources};
use pass::Timing;

/// For all of an inspection's samples together.
const BUDGET: Duration = Duration::from_secs(2);
/// The first pass only makes ready what the first use of anything costs.
const ROWS: [u32; 3] = [100, 2_500, 10_000];

/// Adds samples to those statements whose time nothing else tells.
pub(super) async fn fill(
    context: &StepContext,
    wish: &SampleWish,
    migrations: &[Migration],
    impacts: &mut [ScriptImpact],
) {
    let trials = impacts.iter().filter(|impact| wish.migrations.contains(&impact.migration));
    let trials: Vec<Trial> = trials.filter_map(|impact| Trial::of(impact, wish, migrations)).collect();
    if trials.is_empty() {
        return;
    }
    let mut found = Vec::new();
    if let Err(reason) = run(context, &trials, &mut found).await {
        tracing::debug!(database = %context.step.database, %reason, "no sample, or not of all statements");
    }
    for Found { trial, index, sample } in found {
        let Trial { id, variant, .. } = &trials[trial];
        let impact = impacts.iter_mut().find(|i| i.migration == *id && i.variant == *variant);
        let statement = impact.and_then(|i| i.statements.iter_mut().find(|s| s.index == index));
        if let Some(statement) = statement {
            statement.sample = Some(sample);
        }
    }
}

/// A script to be tried.
struct Trial<'a> {
    id: MigrationId,
    variant: Variant,
    script: &'a Script,
    /// The relations with work, as SQL names them.
    relations: Vec<String>,
    /// The statements whose time is wanted, with the relation of most of their work.
    wanted: Vec<(u32, String)>,
}

struct Found {
    /// In the list of trials.
    trial: usize,
    index: u32,
    sample: Sample,
}

/// Why nothing was tried.
#[derive(Debug, thiserror::Error)]
enum NoSample {
    #[error("there is no second session")]
    Session(#[source] crate::postgres::ConnectError),
    #[error(
        "the database does not let a sample be tried without a trace: no CREATE, a standby, or event triggers"
    )]
    NotHere,
    #[error("a table can't be copied: {0}")]
    Table(String),
    #[error("statement {0} might reach beyond the copies")]
    Reaches(u32),
    #[error("the time for samples is over, or the step was stopped")]
    Over,
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl<'a> Trial<'a> {
    fn of(impact: &ScriptImpact, wish: &SampleWish, migrations: &'a [Migration]) -> Option<Self> {
        let migration = migrations.iter().find(|m| m.id == impact.migration)?;
        let script = match impact.variant {
            Variant::Standard => &migration.up,
            Variant::Batched => migration.batch.as_ref()?,
        };
        let unknown = |s: &&StatementImpact| s.work.iter().any(|work| !wish.measured.contains(&work.kind));
        let named = |s: &StatementImpact| Some((s.index, main_work(&s.work)?.relation.clone()));
        let wanted: Vec<_> = impact.statements.iter().filter(unknown).filter_map(named).collect();
        let mut relations: Vec<String> = Vec::new();
        for work in impact.statements.iter().flat_map(|s| &s.work) {
            if !relations.contains(&work.relation) {
                relations.push(work.relation.clone());
            }
        }
        let (id, variant) = (impact.migration.clone(), impact.variant);
        (!wanted.is_empty()).then_some(Self { id, variant, script, relations, wanted })
    }
}

/// All trials, one after the other, within the budget. What was found by then counts.
async fn run(context: &StepContext, trials: &[Trial<'_>], found: &mut Vec<Found>) -> Result<(), NoSample> {
    let purpose = Purpose::writing(&SessionName::of(context));
    let session = context.database.connect(&purpose).await.map_err(NoSample::Session)?;
    let tried = tokio::select! {
        tried = timeout(BUDGET, all(&session, trials, found)) => tried.unwrap_or(Err(NoSample::Over)),
        () = context.cancel.cancelled() => Err(NoSample::Over),
    };
    if matches!(tried, Err(NoSample::Over)) {
        session.cancel().await;
        // What is still under way is rolled back when the connection ends.
        let _ = timeout(BUDGET, session.client().batch_execute("ROLLBACK")).await;
    }
    session.close().await;
    tried
}

async fn all(session: &Session, trials: &[Trial<'_>], found: &mut Vec<Found>) -> Result<(), NoSample> {
    copy::allowed(session).await?;
    let mut last = Ok(());
    for (number, trial) in trials.iter().enumerate() {
        let tried = one(session, trial, |index, sample| found.push(Found { trial: number, index, sample }));
        match tried.await {
            Err(NoSample::Query(error)) if error.is_lost() => return Err(NoSample::Query(error)),
            Err(reason) => last = Err(reason),
            Ok(()) => {}
        }
    }
    last
}

async fn one(
    session: &Session,
    trial: &Trial<'_>,
    mut tell: impl FnMut(u32, Sample),
) -> Result<(), NoSample> {
    let sources = sources(session, &trial.relations).await?;
    let last = trial.wanted.iter().map(|(index, _)| *index).max().unwrap_or(0);
    let runnable = statements::runnable(session, trial.script, &sources, last).await?;
    let mut before: Vec<Timing> = Vec::new();
    for (number, rows) in ROWS.into_iter().enumerate() {
        let (timings, error) = pass::run(session, &sources, &runnable, rows).await?;
        for timing in timings.iter().filter(|_| number > 0) {
            let Some((index, relation)) = trial.wanted.iter().find(|(index, _)| *index == timing.index)
            else {
                continue;
            };
            let earlier = before.iter().filter(|_| number > 1).find(|t| t.index == timing.index);
            if let Some(sample) = sample(timing, earlier, relation_of(&sources, relation)) {
                tell(*index, sample);
            }
        }
        before = timings;
        if let Some(error) = error {
            return Err(error.into());
        }
    }
    runnable.ends_at.map_or(Ok(()), |index| Err(NoSample::Reaches(index + 1)))
}

fn relation_of(sources: &[Source], relation: &str) -> usize {
    sources.iter().position(|source| source.relation == relation).unwrap_or(0)
}

/// From two sizes the part that does not grow with the rows is known.
fn sample(timing: &Timing, earlier: Option<&Timing>, relation: usize) -> Option<Sample> {
    let rows = *timing.rows.get(relation)?;
    let fixed = earlier.and_then(|earlier| {
        let fewer = *earlier.rows.get(relation)?;
        let grown = timing.took.checked_sub(earlier.took)?.as_secs_f64();
        let more = rows.checked_sub(fewer).filter(|more| *more > 0)?;
        let per_row = grown / f64::from(more);
        Duration::try_from_secs_f64(timing.took.as_secs_f64() - per_row * f64::from(rows)).ok()
    });
    (rows > 0).then(|| Sample { rows: rows.into(), took: timing.took, fixed: fixed.unwrap_or_default() })
}

#[cfg(test)]
mod tests;
