//! A step's address, and the small words that steps are spoken of with.

use stopover_model::event::{Resolution, StageIndex, StepKey, StepKind};
use stopover_model::id::{Attempt, Epoch, Seq};
use stopover_model::pipeline::{BackupLevel, BackupScope, BackupSettings};
use stopover_model::plan::Variant;

use super::error::InvalidWire;
use super::field::{enumeration, name, optional_name, plain};
use crate::v1;

wire_enum!(StepKind {
    Inspect,
    Backup,
    Migrate,
    Verify,
    Monitor,
    RollbackBackup,
    Rollback,
    Rehearse,
    Measure
});
wire_enum!(Variant { Standard, Batched });
wire_enum!(BackupLevel { Recorded, Decoded, Restored });
wire_enum!(BackupScope { Database, Touched });
wire_message!(BackupSettings { level: enumeration, scope: enumeration, restore_point: plain });
wire_enum!(Resolution { Applied, NotApplied });

impl From<StepKey> for v1::StepKey {
    fn from(key: StepKey) -> Self {
        Self {
            stage: stage::write(key.stage),
            database: name::write(key.database),
            kind: enumeration::write(key.kind),
            migration: optional_name::write(key.migration),
        }
    }
}

impl TryFrom<v1::StepKey> for StepKey {
    type Error = InvalidWire;

    fn try_from(wire: v1::StepKey) -> Result<Self, InvalidWire> {
        let key = Self {
            stage: stage::read(wire.stage, "stage")?,
            database: name::read(wire.database, "database")?,
            kind: enumeration::read(wire.kind, "kind")?,
            migration: optional_name::read(wire.migration, "migration")?,
        };
        match (concerns_one_migration(key.kind), &key.migration) {
            _ if key.kind == StepKind::Monitor => Ok(key),
            (true, None) => {
                Err(InvalidWire::new("migration", format!("is empty; a step of kind {} has one", key.kind)))
            }
            (false, Some(_)) => {
                Err(InvalidWire::new("migration", format!("is set; a step of kind {} has none", key.kind)))
            }
            _ => Ok(key),
        }
    }
}

fn concerns_one_migration(kind: StepKind) -> bool {
    match kind {
        StepKind::Migrate | StepKind::Verify | StepKind::Monitor | StepKind::Rollback => true,
        StepKind::Inspect
        | StepKind::Backup
        | StepKind::Rehearse
        | StepKind::Measure
        | StepKind::RollbackBackup => false,
    }
}

/// The place of a stage in its pipeline.
pub(super) mod stage {
    use super::{InvalidWire, StageIndex};

    pub(in crate::convert) fn write(stage: StageIndex) -> u32 {
        stage.0
    }

    pub(in crate::convert) fn read(stage: u32, field: &str) -> Result<StageIndex, InvalidWire> {
        // Each stage has an environment of its own, and nobody has so many: the number is something else's.
        const MOST: u32 = 10_000;
        if stage < MOST {
            Ok(StageIndex(stage))
        } else {
            Err(InvalidWire::new(field, format!("{stage} is not a stage; no pipeline has so many")))
        }
    }
}

/// From 1.
pub(super) mod attempt {
    use super::{Attempt, InvalidWire};
    use crate::convert::field::from_one;

    pub(in crate::convert) fn write(attempt: Attempt) -> u32 {
        attempt.0
    }

    pub(in crate::convert) fn read(attempt: u32, field: &str) -> Result<Attempt, InvalidWire> {
        from_one::read(attempt, field).map(Attempt)
    }
}

pub(super) mod epoch {
    use super::{Epoch, InvalidWire};

    pub(in crate::convert) fn write(epoch: Epoch) -> u64 {
        epoch.0
    }

    #[expect(clippy::unnecessary_wraps, reason = "every way to travel has the same form")]
    pub(in crate::convert) fn read(epoch: u64, _field: &str) -> Result<Epoch, InvalidWire> {
        Ok(Epoch(epoch))
    }
}

/// From 1.
pub(super) mod seq {
    use super::{InvalidWire, Seq};
    use crate::convert::field::from_one;

    pub(in crate::convert) fn write(seq: Seq) -> u64 {
        seq.0
    }

    pub(in crate::convert) fn read(seq: u64, field: &str) -> Result<Seq, InvalidWire> {
        from_one::read(seq, field).map(Seq)
    }
}
