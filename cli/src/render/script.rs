//! The script of a step, as the plan has chosen it.

use stopover_model::deployment::Deployment;
use stopover_model::event::{StepKey, StepKind};
use stopover_model::plan::Action;

/// How many statements the script of a step has, and the line and text of one of them.
#[must_use]
pub fn summary<'a>(deployment: &'a Deployment, key: &StepKey, index: u32) -> Option<(usize, u32, &'a str)> {
    let id = key.migration.as_ref()?;
    let migration = deployment.migration(id)?;
    let script = match key.kind {
        StepKind::Rollback => migration.down.as_ref()?,
        _ => match deployment.stage(key.stage)?.target(&key.database)?.action(id)? {
            Action::Apply { variant, .. } => migration.script(*variant),
            Action::Skip => return None,
        },
    };
    let statement = script.statements.get(index as usize)?;
    Some((script.statements.len(), statement.line, &statement.text))
}
