//! What is shown of a deployment: the whole of it, but for the ordinary ones of a stage's many databases.
//!
//! ```text
//! ten thousand databases -> where each stands, and a few of them in full -> a screen
//! ```
//!
//! It is no state to go on from: nothing is applied to it, and nothing is decided by it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::targets::Outline;
use super::{Deployment, Set, Stage, Step, StepState, Target, Targets};
use crate::digest::Digest;
use crate::event::{StageIndex, StepKey, Waiting};
use crate::id::DatabaseName;

/// A stage of so many databases has each of them in full.
const FEW: usize = 64;
/// Of a larger one so many of each sort.
const MOST: usize = 16;

/// A deployment to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Glance {
    deployment: Deployment,
    /// The databases of the stages that have too many.
    outlines: BTreeMap<StageIndex, Outline>,
    plan_digest: Option<Digest>,
}

impl Glance {
    /// The deployment, to be shown: of most databases of its large stages nothing but the name and where they stand is
    /// known. With it comes what an approval is bound to, of a stage that waits for its gates.
    #[must_use]
    pub fn into_shown(self) -> (Deployment, Option<Digest>) {
        let mut shown = self.deployment;
        for (index, outline) in self.outlines {
            if let Some(stage) = shown.stages.get_mut(index.0 as usize) {
                stage.targets = outline.into_targets();
            }
        }
        (shown, self.plan_digest)
    }
}

impl Deployment {
    /// What there is to be shown of it, with these databases in full.
    #[must_use]
    pub fn glance(&self, also: &BTreeSet<DatabaseName>) -> Glance {
        let large = self.indexed_stages().filter(|(_, stage)| is_cut(stage));
        let outlines: BTreeMap<_, _> = large
            .map(|(index, stage)| {
                let named = also.iter().chain(self.waited_for(stage)).filter_map(|d| stage.targets.place(d));
                (index, stage.targets.outline(worth_a_look(stage).into_iter().chain(named)))
            })
            .collect();
        Glance {
            deployment: self.without_databases(|index| outlines.contains_key(&index)),
            plan_digest: self.waiting_plan(),
            outlines,
        }
    }

    /// What an approval of the stage that waits for its gates is bound to.
    #[must_use]
    pub fn waiting_plan(&self) -> Option<Digest> {
        let Some(Waiting::Gates { environment, .. }) = &self.waiting else { return None };
        let (index, _) = self.indexed_stages().find(|(_, stage)| stage.spec.environment == *environment)?;
        self.plan_digest(index)
    }

    fn waited_for(&self, stage: &Stage) -> Option<&DatabaseName> {
        match &self.waiting {
            Some(
                Waiting::NoAgent { environment, database: Some(database) }
                | Waiting::AgentAway { environment, database, .. },
            ) if *environment == stage.spec.environment => Some(database),
            Some(Waiting::Retry { step: StepKey { database, .. }, .. }) => Some(database),
            _ => None,
        }
    }

    fn without_databases(&self, of: impl Fn(StageIndex) -> bool) -> Self {
        let stage = |(index, stage): (StageIndex, &Stage)| Stage {
            targets: if of(index) { Targets::default() } else { stage.targets.clone() },
            spec: stage.spec.clone(),
            status: stage.status.clone(),
            gates: stage.gates.clone(),
            rollback: stage.rollback.clone(),
            changed: stage.changed.clone(),
        };
        Self {
            id: self.id.clone(),
            seq: self.seq,
            created_at: self.created_at,
            updated_at: self.updated_at,
            pipeline: self.pipeline.clone(),
            migrations: self.migrations.clone(),
            digest: self.digest,
            by: self.by.clone(),
            lint: self.lint.clone(),
            again: self.again.clone(),
            restore_saved: self.restore_saved,
            kind: self.kind,
            stages: self.indexed_stages().map(stage).collect(),
            waiting: self.waiting.clone(),
            waiting_since: self.waiting_since,
            paused: self.paused.clone(),
            cancelling: self.cancelling.clone(),
            throttle: self.throttle.clone(),
            outcome: self.outcome,
        }
    }
}

/// What a stage was taken back to is told of each of its databases.
fn is_cut(stage: &Stage) -> bool {
    stage.targets.len() > FEW && stage.rollback.is_none()
}

/// Those that failed, those that are at work for longest, and those that the stage as a whole goes by: the one that most
/// is in, and in the soak the one that ends last.
fn worth_a_look(stage: &Stage) -> Vec<usize> {
    let targets = &stage.targets;
    let mut at_work: Vec<_> = targets.that_are(Set::Running).map(|t| (begun(t), &t.database)).collect();
    at_work.sort_unstable();
    let effects = |t: &&Target| t.migrations.iter().filter(|m| m.has_effect()).count();
    let most_in_it = targets.that_are(Set::Affected).max_by_key(effects);
    let last_to_end = targets.iter().max_by_key(|t| t.missed());
    let last_counted = targets.iter().max_by_key(|t| t.baseline.begin.as_ref().map(|begin| begin.at));
    let failed = targets.that_are(Set::Failed).take(MOST);
    let unknown = targets.that_are(Set::Affected).filter(|t| is_unknown(t)).take(MOST);
    let some = failed.chain(unknown).chain(targets.that_are(Set::LeftOut).take(MOST));
    let names = some.chain(most_in_it).chain(last_to_end).chain(last_counted).map(|t| &t.database);
    let names = names.chain(at_work.into_iter().take(MOST).map(|(_, name)| name));
    names.filter_map(|name| targets.place(name)).collect()
}

fn begun(target: &Target) -> Option<Timestamp> {
    let since = |key: StepKey| match target.step(&key)?.state {
        StepState::Running { since, behind: false, .. } => Some(since),
        _ => None,
    };
    target.running(StageIndex(0)).filter_map(since).min()
}

fn is_unknown(target: &Target) -> bool {
    let unknown = |step: &Step| matches!(step.state, StepState::Unknown { .. });
    target.migrations.iter().any(|m| unknown(&m.migrate) || unknown(&m.rollback))
}
