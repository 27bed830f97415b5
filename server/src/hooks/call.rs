//! What a hook's receiver is told.

use jiff::Timestamp;
use serde_json::{Value, json};
use stopover_model::deployment::{Deployment, Stage};
use stopover_model::id::Attempt;
use stopover_model::pipeline::Hook;

pub(super) fn body(
    (deployment, stage, hook): (&Deployment, &Stage, &Hook),
    attempt: Attempt,
    until: Option<Timestamp>,
    callback: &str,
    now: Timestamp,
) -> Value {
    let migrations: Vec<_> = deployment.migrations.iter().map(|m| m.id.as_str()).collect();
    let databases: Vec<_> = stage.targets.iter().map(|t| t.database.as_str()).collect();
    json!({
        "type": "hook.called",
        "timestamp": now,
        "data": {
            "hook": hook.name,
            "when": hook.when,
            // Of which step; null: of the stage's migrations.
            "step": hook.step,
            "attempt": attempt,
            "pipeline": deployment.pipeline.name,
            "deployment": deployment.id,
            "environment": stage.spec.environment,
            "databases": databases,
            "migrations": migrations,
            "by": deployment.by,
            // Without an answer by then it has failed.
            "until": until,
            "callback": callback,
        },
    })
}
