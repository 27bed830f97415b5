//! From a log to a state.

use super::{Deployment, IllegalEvent, Stage, StageStatus};
use crate::event::{Event, Record};

impl Deployment {
    /// The state after the first event, which is Created.
    pub fn open(record: &Record) -> Result<Self, IllegalEvent> {
        let Event::Created { pipeline, migrations, digest, by, lint, again, kind, restore_saved } =
            &record.event
        else {
            return Err(IllegalEvent::NotCreated);
        };
        if record.seq.0 != 1 {
            return Err(IllegalEvent::Gap { expected: crate::id::Seq(1), got: record.seq });
        }
        if *digest != Self::digest_of(pipeline, migrations) {
            return Err(IllegalEvent::Digest);
        }
        if pipeline.stages.is_empty() || migrations.is_empty() {
            return Err(IllegalEvent::Empty);
        }
        let stage = |spec: &crate::pipeline::StageSpec| Stage {
            spec: spec.clone(),
            status: StageStatus::Pending,
            gates: crate::gate::GateState::default(),
            targets: super::Targets::default(),
            rollback: None,
            changed: None,
        };
        Ok(Self {
            id: record.deployment.clone(),
            seq: record.seq,
            created_at: record.at,
            updated_at: record.at,
            stages: pipeline.stages.iter().map(stage).collect(),
            pipeline: pipeline.clone(),
            migrations: migrations.clone(),
            digest: *digest,
            by: by.clone(),
            lint: lint.clone(),
            again: again.clone(),
            kind: *kind,
            restore_saved: *restore_saved,
            waiting: None,
            waiting_since: None,
            paused: None,
            cancelling: None,
            throttle: crate::backfill::Throttle::default(),
            outcome: None,
        })
    }

    /// Folds a log; None for an empty one.
    pub fn fold<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Option<Self>, IllegalEvent> {
        let mut records = records.into_iter();
        let Some(first) = records.next() else {
            return Ok(None);
        };
        let mut deployment = Self::open(first)?;
        for record in records {
            deployment.apply(record)?;
        }
        Ok(Some(deployment))
    }
}
