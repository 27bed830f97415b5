//! What taking migrations back would take from the database, looked at in its catalog and its tables as they are now.
//!
//! It only reads, and bounds what each question may cost. What the scripts have dropped before a statement is left out of
//! what goes with it. What a block of code, a function or a trigger does can't be seen; that is said.

mod fate;
mod functions;
mod held;
mod objects;
mod reach;

use std::collections::BTreeSet;
use std::time::Duration;

use stopover_lint::impact::ScriptToPredict;
use stopover_model::id::DeploymentId;
use stopover_model::migration::{Migration, Variant};
use stopover_model::pipeline::SaveSettings;
use stopover_model::report::StepError;
use stopover_model::rollback::{MigrationRollback, RollbackPlan, Taken, Taking};
use stopover_model::sql::{Drop, DropTarget, identifiers};
use tokio::time::Instant;

use super::later::later;
use crate::inspect::impact;
use crate::ledger;
use crate::postgres::{Purpose, QueryError, Session, SessionName, step_error};
use crate::step::StepContext;
use fate::Keeping;
use held::Since;
use reach::Reached;

/// A person who asks is ready to wait so long for true numbers.
pub const PATIENT: Duration = Duration::from_secs(20);
/// And a rollback that is under way so long.
pub const HURRIED: Duration = Duration::from_secs(3);
/// So many things that go along, or are in the way, are named of each object.
const MOST_NAMED: usize = 20;

/// What is to be looked at.
#[derive(Debug, Clone)]
pub struct PlanWish {
    /// Whose migrations they are.
    pub deployment: DeploymentId,
    /// In the order in which they are to be taken back.
    pub migrations: Vec<Migration>,
    /// Only whether others have applied something on top.
    pub only_later: bool,
    /// What becomes of what they drop.
    pub saving: SaveSettings,
    /// Beyond this nothing more is counted: estimates have to do.
    pub count_for: Duration,
}

/// Looks at what is there.
pub async fn look(context: &StepContext, wish: &PlanWish) -> Result<RollbackPlan, StepError> {
    let name = SessionName { step: "rollback-plan".to_owned(), ..SessionName::of(context) };
    let session = context.database.connect(&Purpose::reading(&name)).await?;
    let plan = on_session(&session, wish).await;
    session.close().await;
    plan
}

async fn on_session(session: &Session, wish: &PlanWish) -> Result<RollbackPlan, StepError> {
    let ids: Vec<_> = wish.migrations.iter().map(|m| m.id.clone()).collect();
    let later = later(session, &wish.deployment, &ids).await?;
    if wish.only_later {
        return Ok(RollbackPlan { later, ..RollbackPlan::default() });
    }
    // What waits for a lock tells less than what is known without it.
    let hurry = "SET lock_timeout = '1s'; SET statement_timeout = '10s'; SET jit = off";
    let hurry = session.client().batch_execute(hurry).await;
    hurry.map_err(|error| step_error("could not begin to look at what a rollback takes", error))?;
    let entries = ledger::entries(session.client(), &ids).await?;
    let mut warnings = Vec::new();
    let there: Vec<&Migration> =
        wish.migrations.iter().filter(|m| entries.iter().any(|e| e.migration == m.id)).collect();
    let mut impacts = impact::predicted_of(session, &there, downs, &[], &mut warnings).await?;
    let counted_until = Instant::now() + wish.count_for;
    let saving = wish.saving;
    let mut look = Look { session, gone: Vec::new(), changed: BTreeSet::new(), counted_until, saving };
    let mut migrations = Vec::with_capacity(wish.migrations.len());
    for migration in &wish.migrations {
        let entry = entries.iter().find(|e| e.migration == migration.id);
        let mut rollback = MigrationRollback {
            migration: migration.id.clone(),
            applied: entry.map(|entry| entry.at),
            takes: Vec::new(),
            statements: Vec::new(),
        };
        if entry.is_some() {
            rollback.takes = look.migration(migration, &mut warnings).await?;
            let mine = impacts.iter_mut().find(|impact| impact.migration == migration.id);
            rollback.statements =
                mine.map(|impact| std::mem::take(&mut impact.statements)).unwrap_or_default();
        }
        migrations.push(rollback);
    }
    Ok(RollbackPlan { migrations, later, warnings })
}

/// The scripts of the way back, in the order in which they run.
fn downs(migrations: &[Migration]) -> Vec<ScriptToPredict<'_>> {
    fn script(migration: &Migration) -> Option<ScriptToPredict<'_>> {
        let script = migration.down.as_ref()?;
        Some(ScriptToPredict {
            migration: &migration.id,
            variant: Variant::Standard,
            script,
            saves: !migration.manifest.no_save,
        })
    }
    migrations.iter().filter_map(script).collect()
}

/// What is known while the scripts are gone through.
struct Look<'a> {
    session: &'a Session,
    /// What the statements so far take.
    gone: Vec<Reached>,
    /// What they speak of that create or alter something, or run code: by the time it may no longer be as it is now.
    changed: BTreeSet<String>,
    counted_until: Instant,
    saving: SaveSettings,
}

impl Look<'_> {
    async fn migration(
        &mut self,
        migration: &Migration,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Taken>, StepError> {
        let Some(down) = &migration.down else { return Ok(Vec::new()) };
        let since = held::since(self.session, &migration.id).await?;
        let mut takes = Vec::new();
        for (index, statement) in (0..).zip(down.statements()) {
            for drop in statement.drops() {
                let keeping = Keeping::of(&self.saving, migration, down, &statement);
                match self.taken(index, &drop, &since, keeping).await {
                    Ok(found) => takes.extend(found),
                    Err(error) if error.is_lost() => {
                        return Err(error.into_step_error("could not look at what a rollback takes"));
                    }
                    // A table that somebody locks, or that is not the agent's to see.
                    Err(error) => {
                        let what = &drop.target;
                        warnings.push(format!("what goes with {what} could not be found out: {error}"));
                        takes.push(unseen(index, &drop, format!("it could not be looked at: {error}")));
                    }
                }
            }
            if changes(statement.text) {
                self.changed.extend(identifiers(&statement));
            }
        }
        Ok(takes)
    }

    /// None where it is not there, and need not be.
    async fn taken(
        &mut self,
        statement: u32,
        drop: &Drop,
        since: &Since,
        keeping: Keeping,
    ) -> Result<Option<Taken>, QueryError> {
        let how = match drop.target {
            DropTarget::Emptied { .. } => Taking::Emptied,
            DropTarget::Converted { .. } => Taking::Converted,
            DropTarget::Hidden { .. } | DropTarget::OwnedBy { .. } => {
                let why = "what goes with it can't be seen before it runs: read the script".to_owned();
                return Ok(Some(unseen(statement, drop, why)));
            }
            _ => Taking::Dropped,
        };
        let start = objects::find(self.session, &drop.target).await?;
        if start.is_empty() {
            return Ok(absent(statement, drop));
        }
        let reached = match how {
            Taking::Dropped => reach::of(self.session, &start, drop.cascade, &self.gone).await?,
            Taking::Converted => reach::of_conversion(self.session, &start, &self.gone).await?,
            _ if drop.cascade => reach::of_truncation(self.session, &start).await?,
            _ => start,
        };
        let (changed, in_the_way): (Vec<_>, Vec<_>) =
            reached.iter().filter(|r| r.in_the_way).partition(|r| self.changed.contains(&r.bare));
        let mut taken = Taken {
            statement,
            object: drop.target.to_string(),
            how,
            held: None,
            fate: None,
            along: named(reached.iter().filter(|r| r.along)),
            in_the_way: named(in_the_way.into_iter()),
            notes: Vec::new(),
        };
        let depending = changed.into_iter().filter_map(|r| r.name.as_ref());
        let depending: Vec<String> = depending
            .map(|name| format!("{name} depends on it now; a statement before this one speaks of that"))
            .collect();
        let bearers: Vec<&Reached> = reached.iter().filter(|r| !r.in_the_way && r.bears_rows()).collect();
        if !bearers.is_empty() {
            let (held, largest) = held::of(self.session, &bearers, since, self.counted_until).await?;
            taken.held = Some(held);
            taken.fate = Some(fate::of(drop, keeping, largest));
        }
        if how == Taking::Dropped {
            taken.notes = functions::that_name(self.session, &drop.target, &self.gone).await?;
            self.gone.extend(reached.into_iter().filter(|r| !r.in_the_way));
        }
        taken.notes.extend(depending);
        Ok(Some(taken))
    }
}

/// Whether a statement may make something else of an object than it is now, without dropping it.
fn changes(text: &str) -> bool {
    let verb = text.split_whitespace().next().unwrap_or_default();
    ["CREATE", "ALTER", "DO", "CALL", "EXECUTE"].iter().any(|word| verb.eq_ignore_ascii_case(word))
}

fn named<'a>(reached: impl Iterator<Item = &'a Reached>) -> Vec<String> {
    let all: Vec<String> = reached.filter_map(|r| r.name.clone()).collect();
    let more = all.len().saturating_sub(MOST_NAMED);
    let mut named: Vec<String> = all.into_iter().take(MOST_NAMED).collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    named
}

fn unseen(statement: u32, drop: &Drop, why: String) -> Taken {
    Taken {
        statement,
        object: drop.target.to_string(),
        how: Taking::Hidden,
        held: None,
        fate: None,
        along: Vec::new(),
        in_the_way: Vec::new(),
        notes: vec![why],
    }
}

fn absent(statement: u32, drop: &Drop) -> Option<Taken> {
    let other = matches!(&drop.target, DropTarget::Other { .. });
    let note = if other { "what goes with it is not looked for" } else { "it is not there now" };
    let taken = Taken { how: Taking::Dropped, ..unseen(statement, drop, note.to_owned()) };
    (!drop.if_exists || other).then_some(taken)
}
