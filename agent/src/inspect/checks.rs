//! What migrations ask of the database before anything is applied: read-only queries, each with little time.

use std::time::Duration;

use stopover_model::migration::Migration;
use stopover_model::report::{PreCheck, StepError};

use crate::postgres::Session;
use crate::step::Reporter;
use crate::verify;

/// An inspection is not to hang on one of them.
const LONGEST: Duration = Duration::from_secs(15);

pub(super) async fn run(
    session: &Session,
    migrations: &[&Migration],
    reporter: &Reporter,
) -> Result<Vec<PreCheck>, StepError> {
    let mut answers = Vec::new();
    for migration in migrations {
        for check in &migration.manifest.checks {
            let result = verify::check_one(session, check, LONGEST).await?;
            reporter.message(verify::line(&result));
            answers.push(PreCheck { migration: migration.id.clone(), result });
        }
    }
    Ok(answers)
}
