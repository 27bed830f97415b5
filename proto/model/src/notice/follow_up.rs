//! What is told of follow-ups: those that fail, days after everybody has gone on to something else.

use jiff::Timestamp;

use super::{About, Notice, Telling};
use crate::deployment::Deployment;
use crate::follow_up::{FollowUpState, Scheduled};
use crate::pipeline::NoticeKind;

/// What the pipeline's people are to be told after a run; nothing where it went well.
#[must_use]
pub fn of_follow_up(of: &Deployment, follow_up: &Scheduled, at: Timestamp) -> Vec<Telling> {
    let failed = matches!(follow_up.state(), FollowUpState::Failed { .. }) && follow_up.held.is_none();
    let Some(run) = follow_up.runs.last().filter(|run| failed && !run.passed) else { return Vec::new() };
    let key = &follow_up.key;
    let since = at.duration_since(follow_up.since).try_into().unwrap_or_default();
    let age = crate::duration::human(since);
    let notice = Notice {
        kind: NoticeKind::FollowUpFailed,
        waits: false,
        passing: false,
        at,
        pipeline: of.pipeline.name.clone(),
        about: Some(About {
            deployment: of.id.clone(),
            seq: of.seq,
            migrations: vec![key.migration.clone()],
            by: of.by.clone(),
        }),
        environment: Some(key.environment.clone()),
        happened: format!(
            "the follow-up \"{}\" failed in {}/{}, {age} after the migration",
            key.name, key.environment, key.database
        ),
        cause: None,
        evidence: vec![format!("{}: expected {}, observed {}", key.name, run.expected, run.observed)],
        who: Some(
            "somebody who looks at what it saw; until then the same migration goes nowhere else".to_owned(),
        ),
        commands: Vec::new(),
        contacts: of.pipeline.contacts.clone(),
    };
    let acknowledge = format!("stopover acknowledge {} '{}' --reason WHY", key.deployment, key.name);
    let notice = notice
        .typing(format!("stopover follow-ups {}", key.deployment), "shows what each run saw")
        .typing(acknowledge, "says that it is known, and lets the migration go on elsewhere");
    notice.to_all(&of.pipeline)
}
