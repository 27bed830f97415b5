//! Whether the schema is as Stopover left it, as far as that can be told in a moment.

use std::time::Duration;

use stopover_model::drift::{Comparison, Drift};
use stopover_model::report::StepError;

use crate::drift::compare;
use crate::postgres::Session;

/// A look at thousands of objects takes a fraction of it.
const LONGEST: Duration = Duration::from_secs(10);

/// None: nothing differs, or nothing is known of the schema. What can't be had is worth a warning, and no more.
pub(super) async fn found(
    session: &Session,
    warnings: &mut Vec<String>,
) -> Result<Option<Box<Drift>>, StepError> {
    match compare(session, LONGEST).await {
        Ok(look) => match look.comparison {
            Comparison::Known(drift) if !drift.is_none() || drift.partitions > 0 => Ok(Some(Box::new(drift))),
            Comparison::Known(_) | Comparison::Unknown { .. } => Ok(None),
        },
        Err(error) if error.is_lost() => Err(error.into_step_error("could not compare the schema")),
        Err(error) => {
            warnings.push(format!("whether the schema is as Stopover left it could not be seen: {error}"));
            Ok(None)
        }
    }
}
