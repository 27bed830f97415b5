//! What a migration asks for before anything is applied: where it does not hold, nothing is.

use super::{Action, MigrationPlan};
use crate::id::DatabaseName;
use crate::report::{CheckResult, ErrorClass, Inspection, LedgerState, StepError};

/// Refuses the first migration that would begin and has such a check.
pub(super) fn refuse(
    database: &DatabaseName,
    plans: &[MigrationPlan],
    inspection: &Inspection,
) -> Result<(), StepError> {
    let ledger = inspection.entries();
    for plan in plans.iter().filter(|plan| matches!(plan.action, Action::Apply { .. })) {
        // What is half done is not stopped by how it was to begin.
        if ledger.get(&plan.id).is_some_and(|entry| entry.state == LedgerState::Running) {
            continue;
        }
        let asked = inspection.checks.iter().filter(|check| check.migration == plan.id);
        let asked: Vec<&CheckResult> = asked.map(|check| &check.result).collect();
        let failed: Vec<&CheckResult> = asked.iter().copied().filter(|check| !check.passed).collect();
        let Some(first) = failed.first() else { continue };
        let message = format!(
            "{} of {} checks before {} in {database} failed: {}: expected {}, found {}",
            failed.len(),
            asked.len(),
            plan.id,
            first.name,
            first.expected,
            first.observed
        );
        return Err(StepError::new(ErrorClass::Check, message).with_hint(
            "nothing was changed: put it right in the database, then stopover resume looks again; or correct the [[check]] in migration.toml",
        ));
    }
    Ok(())
}
