//! What is wrong with a migration, as the rehearsal saw it, and what to change.

use stopover_model::migration::Migration;
use stopover_model::report::{ErrorClass, StepError};

/// Which of a migration's scripts, and for the how-manieth time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
    Again,
}

/// So many objects are named in an error; the report has all.
const MOST_NAMED: usize = 3;

/// The way back left another schema than there was.
pub(super) fn not_restored(migration: &Migration, differences: &[String]) -> StepError {
    let named = differences.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = match differences.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let down = migration.file_name("down.sql");
    let message = format!("on the copy {down} does not bring the schema back: {named}{more}");
    StepError::new(ErrorClass::Check, message).with_hint(format!(
        "let {down} take back all that the way there does, and deploy it again; a migration that has no way back is \
         better off without a down.sql"
    ))
}

/// A script failed on the copy.
pub(super) fn script_failed(way: Way, mut error: StepError) -> StepError {
    if matches!(error.class, ErrorClass::Cancelled | ErrorClass::Transient) {
        return error;
    }
    error.message = match way {
        Way::Up => format!("on the copy, {}", error.message),
        Way::Down => format!("on the copy the way back fails: {}", error.message),
        Way::Again => {
            format!("on the copy it does not go up again behind its own way back: {}", error.message)
        }
    };
    let nothing = "nothing has touched the database itself: mend the migration, and deploy it again";
    error.hint = Some(match error.hint {
        Some(hint) => format!("{hint}; {nothing}"),
        None => nothing.to_owned(),
    });
    error
}

/// A check did not hold on the copy.
pub(super) fn check_failed(behind: &str, mut error: StepError) -> StepError {
    if error.class != ErrorClass::Check {
        return error;
    }
    error.message = format!("on the copy, behind {behind}, {}", error.message);
    error.with_hint(
        "nothing has touched the database itself: mend the migration or its [[verify]], and deploy it again",
    )
}
