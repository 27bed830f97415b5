//! Migrations that came into the middle of a series of which later ones are applied: a branch that was merged late, say.
//!
//! They would run in another order here than on a new database. That is refused unless the pipeline allows it.

use super::{MigrationSummary, whence};
use crate::id::DatabaseName;
use crate::report::{ErrorClass, Inspection, LedgerEntry, StepError};

/// A message names so many at most.
const MOST_NAMED: usize = 5;

pub(super) fn refuse(
    database: &DatabaseName,
    migrations: &[MigrationSummary],
    inspection: &Inspection,
) -> Result<(), StepError> {
    let entry = |migration: &MigrationSummary| inspection.ledger.iter().find(|e| e.migration == migration.id);
    // Repeatable scripts come after all others whenever they run.
    let ordered: Vec<(&MigrationSummary, Option<&LedgerEntry>)> =
        migrations.iter().filter(|m| !m.manifest.is_repeatable()).map(|m| (m, entry(m))).collect();
    let after = |place: usize, series: u32| {
        let rest = ordered[place + 1..].iter().rev();
        rest.filter(|(later, _)| later.series == series).find_map(|(later, entry)| Some((*later, (*entry)?)))
    };
    let gaps: Vec<_> = (0..)
        .zip(&ordered)
        .filter(|(_, (_, entry))| entry.is_none())
        .filter_map(|(place, (missing, _))| Some((*missing, after(place, missing.series)?)))
        .collect();
    let Some((_, (later, entry))) = gaps.first() else { return Ok(()) };
    let names: Vec<&str> = gaps.iter().take(MOST_NAMED).map(|(missing, _)| missing.id.as_str()).collect();
    let more = if gaps.len() > names.len() {
        format!(" and {} more", gaps.len() - names.len())
    } else {
        String::new()
    };
    let verb = if gaps.len() == 1 { "is" } else { "are" };
    let message = format!(
        "{}{more} {verb} not applied to {database}, and {}, which comes later, is ({})",
        names.join(", "),
        later.id,
        whence(entry)
    );
    let last = gaps.last().map_or("ID", |(missing, _)| missing.id.as_str());
    Err(StepError::new(ErrorClass::Setup, message).with_hint(format!(
        "number it anew, so that it comes last; where its effect is there already, say so: stopover baseline ENVIRONMENT DIR \
         --through {last}; or let such migrations run late, with out_of_order = \"allow\" in the pipeline"
    )))
}
