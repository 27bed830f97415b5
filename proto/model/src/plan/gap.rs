//! Migrations that came into the middle of a series of which later ones are applied: a branch that was merged late, say.
//!
//! They would run in another order here than on a new database. That is refused unless the pipeline allows it.

use std::collections::BTreeMap;

use super::{MigrationSummary, whence};
use crate::id::{DatabaseName, MigrationId};
use crate::report::{ErrorClass, LedgerEntry, StepError};

/// A message names so many at most.
const MOST_NAMED: usize = 5;

pub(super) fn refuse(
    database: &DatabaseName,
    migrations: &[MigrationSummary],
    ledger: &BTreeMap<&MigrationId, &LedgerEntry>,
) -> Result<(), StepError> {
    // Repeatable scripts come after all others whenever they run.
    let ordered = || (0_usize..).zip(migrations.iter().filter(|m| !m.manifest.is_repeatable()));
    let there = ordered().filter_map(|(place, m)| Some((m.series, (place, m, *ledger.get(&m.id)?))));
    let last: BTreeMap<u32, (usize, &MigrationSummary, &LedgerEntry)> = there.collect();
    let gaps: Vec<_> = ordered()
        .filter(|(_, missing)| !ledger.contains_key(&missing.id))
        .filter_map(|(place, missing)| {
            let (at, later, entry) = *last.get(&missing.series)?;
            (at > place).then_some((missing, later, entry))
        })
        .collect();
    let Some((_, later, entry)) = gaps.first() else { return Ok(()) };
    let names: Vec<&str> = gaps.iter().take(MOST_NAMED).map(|(missing, ..)| missing.id.as_str()).collect();
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
    let last = gaps.last().map_or("ID", |(missing, ..)| missing.id.as_str());
    Err(StepError::new(ErrorClass::Setup, message).with_hint(format!(
        "number it anew, so that it comes last; where its effect is there already, say so: stopover baseline ENVIRONMENT DIR \
         --through {last}; or let such migrations run late, with out_of_order = \"allow\" in the pipeline"
    )))
}
