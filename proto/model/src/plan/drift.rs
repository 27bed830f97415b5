//! What a schema that is not as Stopover left it means for a plan.

use crate::drift::Counted;
use crate::id::DatabaseName;
use crate::pipeline::{DriftPolicy, DriftSettings};
use crate::report::{ErrorClass, Inspection, StepError};

/// A message names so many at most; the inspection has them all.
const MOST_NAMED: usize = 10;

/// A warning for the plan, or why there is none. A plan that applies nothing has nothing to refuse.
pub(super) fn check(
    database: &DatabaseName,
    inspection: &Inspection,
    settings: &DriftSettings,
    applies: bool,
) -> Result<Option<String>, StepError> {
    let Some(drift) = &inspection.drift else { return Ok(None) };
    let counted = drift.counted(&settings.ignore);
    if counted.is_empty() || settings.policy == DriftPolicy::Allow {
        return Ok(None);
    }
    let message =
        format!("the schema of {database} is not {}: {}", drift.last_known(), counted.named(MOST_NAMED));
    if settings.policy == DriftPolicy::Warn || !applies {
        return Ok(Some(message));
    }
    Err(StepError::new(ErrorClass::Drift, message).with_hint(ways_out(database, &counted)))
}

fn ways_out(database: &DatabaseName, counted: &Counted<'_>) -> String {
    let (it, them) = if counted.objects.len() == 1 { ("it", "it is") } else { ("them", "they are") };
    format!(
        "take {it} back; or bring {it} into a migration, and say that its effect is there: stopover baseline ENVIRONMENT DIR \
         --through ID; or accept {it} as {them}: stopover drift ENVIRONMENT --database {database} --accept; then deploy \
         again, or resume"
    )
}
