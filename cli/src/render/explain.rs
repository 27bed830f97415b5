//! What a deployment waits for: since when, until when, who can resolve it and how; and what it will wait for later.

use jiff::Timestamp;
use serde::Serialize;
use stopover_model::deployment::{Deployment, Stage, StageStatus};
use stopover_model::digest::Digest;
use stopover_model::event::Waiting;
use stopover_model::gate::GateWait;

use super::line::{Line, Tone};
use super::{View, gate, tree, waiting};

/// For programs. The keys are a promise: none is renamed or dropped.
#[derive(Debug, Serialize)]
pub struct Explanation {
    deployment: String,
    waits: Vec<Wait>,
    passed: Vec<Passed>,
    /// What an approval of the stage that waits is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_digest: Option<Digest>,
    later: Vec<Later>,
}

#[derive(Debug, Serialize)]
struct Wait {
    what: String,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    who: Option<String>,
    ways: Vec<String>,
}

/// What somebody has opened already, in the stage that waits.
#[derive(Debug, Serialize)]
struct Passed {
    what: String,
    by: String,
    at: Timestamp,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

/// A stage to come, and what it will wait for.
#[derive(Debug, Serialize)]
struct Later {
    environment: String,
    waits: Vec<String>,
}

impl Explanation {
    #[must_use]
    pub fn of(deployment: &Deployment, plan_digest: Option<Digest>, view: View) -> Self {
        let stage = waiting_stage(deployment);
        Self {
            deployment: deployment.id.to_string(),
            waits: waits(deployment, view),
            passed: stage.map(passed).unwrap_or_default(),
            plan_digest,
            later: later(deployment, view),
        }
    }

    #[must_use]
    pub fn lines(&self, deployment: &Deployment, view: View) -> Vec<Line> {
        let mut lines = tree::header(deployment, view);
        let stages = deployment.stages.iter().filter(|s| s.status != StageStatus::Pending);
        lines.extend(stages.map(|stage| tree::stage_row(deployment, stage, view)));
        lines.extend(self.passed.iter().flat_map(|passed| passed.line().wrapped(view.width, 6)));
        if let Some(digest) = self.plan_digest {
            lines.push(Line::new().dim("    plan ").plain(digest.to_string()));
        }
        let footer = tree::footer(deployment, view);
        if footer.is_empty() {
            lines.push(Line::new().plain("waits for nothing: it is at work"));
        }
        lines.extend(footer);
        for later in &self.later {
            let line = Line::new().dim("then ").plain(&later.environment).plain(" will wait for ");
            lines.extend(line.plain(later.waits.join("; ")).wrapped(view.width, 2));
        }
        lines
    }
}

impl Passed {
    fn line(&self) -> Line {
        let line =
            Line::new().plain("    ").with(Tone::Good, "✓").plain(format!(" {}, by {}", self.what, self.by));
        if self.reason.is_empty() { line } else { line.dim(format!(": {}", self.reason)) }
    }
}

/// The stage in front of whose gates the deployment waits.
fn waiting_stage(deployment: &Deployment) -> Option<&Stage> {
    match &deployment.waiting {
        Some(Waiting::Gates { environment, .. }) => {
            deployment.stages.iter().find(|s| s.spec.environment == *environment)
        }
        _ => None,
    }
}

fn waits(deployment: &Deployment, view: View) -> Vec<Wait> {
    let since = deployment.waiting_since;
    match (&deployment.waiting, waiting_stage(deployment)) {
        (None, _) => Vec::new(),
        (Some(Waiting::Gates { gates, .. }), Some(stage)) => {
            let one = |wait: &GateWait| {
                let closed = gate::closed(deployment, stage, wait, view);
                Wait { what: closed.what, since, until: wait.until(), who: closed.who, ways: closed.ways }
            };
            gates.iter().map(one).collect()
        }
        (Some(other), _) => {
            let until = match other {
                Waiting::Soak { until, .. } => Some(*until),
                Waiting::Retry { at, .. } => Some(*at),
                _ => None,
            };
            let what = waiting::reason(other, view).paint(false);
            vec![Wait { what, since, until, who: None, ways: waiting::advice(deployment, other) }]
        }
    }
}

fn passed(stage: &Stage) -> Vec<Passed> {
    let approvals = stage.gates.approvals.iter().map(|approval| Passed {
        what: "approved".to_owned(),
        by: approval.by.to_string(),
        at: approval.at,
        reason: approval.reason.clone(),
    });
    let ticks = stage.gates.ticked.iter().map(|(item, tick)| Passed {
        what: item.clone(),
        by: tick.by.to_string(),
        at: tick.at,
        reason: String::new(),
    });
    approvals.chain(ticks).collect()
}

fn later(deployment: &Deployment, view: View) -> Vec<Later> {
    if deployment.outcome.is_some() {
        return Vec::new();
    }
    let pending = deployment.stages.iter().filter(|s| s.status == StageStatus::Pending);
    let one = |stage: &Stage| {
        let closed = stage.gates.closed(&stage.spec);
        let waits = closed.iter().map(|wait| gate::closed(deployment, stage, wait, view).what).collect();
        Later { environment: stage.spec.environment.to_string(), waits }
    };
    pending.map(one).filter(|later| !later.waits.is_empty()).collect()
}
