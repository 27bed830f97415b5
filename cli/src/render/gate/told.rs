//! What became of gates, a line an event.

use stopover_model::event::Event;
use stopover_model::gate::HookOutcome;

use super::super::line::{Line, Tone};

/// What became of a gate of a stage; `stage` names that. Of other events, nothing but its name.
#[must_use]
pub fn line(stage: Line, event: &Event) -> Line {
    match event {
        Event::Approved { by, reason, .. } => {
            because(stage.with(Tone::Good, " is approved").plain(format!(" by {by}")), reason)
        }
        Event::Rejected { by, reason, .. } => {
            because(stage.with(Tone::Bad, " is rejected").plain(format!(" by {by}")), reason)
        }
        Event::ApprovalsVoided { why, .. } => {
            because(stage.with(Tone::Warn, " has to be approved again"), why)
        }
        Event::Ticked { item, by, .. } => stage.plain(format!(" `{item}` is done, says {by}")),
        Event::StageRefreshed { why, .. } => because(stage.plain(" is looked at again"), why),
        Event::WindowOverridden { by, reason, .. } => {
            let line = stage.with(Tone::Warn, " does not wait for its window");
            because(line.plain(format!(", says {by}")), reason)
        }
        Event::HookStarted { hook, attempt, .. } if attempt.0 > 1 => {
            stage.plain(format!(" {hook} is waited for, attempt {attempt}"))
        }
        Event::HookStarted { hook, .. } => stage.plain(format!(" {hook} is waited for")),
        Event::HookFinished { hook, outcome, by, .. } => {
            hook_ended(stage.plain(format!(" {hook}")), outcome, &by.to_string())
        }
        _ => stage,
    }
}

fn hook_ended(hook: Line, outcome: &HookOutcome, by: &str) -> Line {
    match outcome {
        HookOutcome::Passed { reason } => {
            let line = hook.with(Tone::Good, " passed").plain(format!(", says {by}"));
            because(line, reason.as_deref().unwrap_or_default())
        }
        HookOutcome::Failed { reason } => {
            because(hook.with(Tone::Bad, " failed").plain(format!(", says {by}")), reason)
        }
    }
}

fn because(line: Line, why: &str) -> Line {
    if why.is_empty() { line } else { line.plain(format!(": {why}")) }
}
