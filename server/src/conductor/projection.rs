//! Where a deployment is, in a few words, for lists.

use stopover_model::deployment::{Deployment, Stage, StageStatus};
use stopover_model::event::{DeploymentKind, Waiting};
use stopover_model::gate::GateWait;

use crate::store::Projection;

/// What the store keeps of a deployment beside its log.
pub(super) fn of(deployment: &Deployment) -> Projection {
    Projection { outcome: deployment.outcome, at: place(deployment) }
}

fn place(deployment: &Deployment) -> String {
    if let Some(outcome) = deployment.outcome {
        let stage = deployment.indexed_stages().rev().find(|(_, s)| s.status != StageStatus::Pending);
        return match stage {
            Some((_, stage)) => format!("{}: {}{outcome}", stage.spec.environment, kind(deployment)),
            None => outcome.to_string(),
        };
    }
    if deployment.cancelling.is_some() {
        return "cancelling".to_owned();
    }
    let Some((index, stage)) = deployment.indexed_stages().find(|(_, s)| s.is_open()) else {
        return match &deployment.waiting {
            Some(Waiting::EnvironmentHeld { environment, by }) => format!("{environment}: waiting for {by}"),
            Some(Waiting::NoAgent { environment, .. }) => format!("{environment}: waiting for an agent"),
            Some(Waiting::EnvironmentMissing { environment }) => format!("{environment}: not created"),
            _ => "beginning".to_owned(),
        };
    };
    if deployment.paused.is_some() {
        return format!("{}: paused", stage.spec.environment);
    }
    let running = deployment.running_steps().into_iter().find(|key| key.stage == index);
    let doing = match (running, &deployment.waiting) {
        (_, Some(Waiting::AgentAway { .. } | Waiting::NoAgent { .. })) => "waiting for its agent",
        (_, Some(Waiting::Retry { .. })) => "waiting to try again",
        (Some(key), _) => key.kind.as_str(),
        (None, Some(Waiting::Gates { gates, .. })) => gates.first().map_or("waiting", gate),
        (None, _) => phase(stage),
    };
    format!("{}: {doing}", stage.spec.environment)
}

/// Of a deployment that has ended, where it was none that applies anything.
fn kind(deployment: &Deployment) -> &'static str {
    match deployment.kind {
        DeploymentKind::Migration => "",
        DeploymentKind::Rehearsal => "rehearsal ",
    }
}

fn gate(gate: &GateWait) -> &'static str {
    match gate {
        GateWait::Approvals { .. } => "waiting for approval",
        GateWait::Checklist { .. } => "waiting for its checklist",
        GateWait::Hook { .. } => "waiting for a hook",
        GateWait::Window { .. } | GateWait::WindowTooShort { .. } => "waiting for its window",
        GateWait::Freeze { .. } => "waiting for the end of a freeze",
    }
}

fn phase(stage: &Stage) -> &'static str {
    match stage.status {
        StageStatus::Pending => "not begun",
        StageStatus::Running { .. } => "running",
        StageStatus::Soaking { .. } => "soaking",
        StageStatus::RollingBack { .. } => "rolling back",
        StageStatus::RollbackFailed { .. } => "ROLLBACK FAILED",
        StageStatus::Ended { .. } => "ended",
    }
}
