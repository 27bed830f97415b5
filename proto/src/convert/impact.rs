//! What a script's statements would do to a database.

use stopover_model::impact::{
    FiringTrigger, LockMode, LockTaken, Sample, SampleWish, ScriptImpact, StatementImpact, Work, WorkKind,
};

use super::error::InvalidWire;
use super::field::{
    duration, enumeration, enumerations, messages, name, names, optional_message, optional_text, plain,
};
use crate::v1;

wire_message!(ScriptImpact { migration: name, variant: enumeration, statements: messages });

wire_message!(StatementImpact {
    index: plain,
    locks: messages,
    work: messages,
    triggers: messages,
    notes: plain,
    sample: optional_message,
    unseen: plain,
});

wire_message!(SampleWish { migrations: names, measured: enumerations });

wire_message!(LockTaken { relation: plain, mode: enumeration, why: optional_text });

wire_enum!(LockMode {
    AccessShare,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
});

wire_message!(Work { kind: enumeration, relation: plain, rows: plain, bytes: plain });

wire_enum!(WorkKind { Rewrite, Scan, BuildIndex, ChangeRows });

wire_message!(FiringTrigger { name: plain, table: plain, for_each_row: plain, function: plain });

impl From<Sample> for v1::WorkSample {
    fn from(Sample { rows, took, fixed }: Sample) -> Self {
        Self { rows, took: duration::write(took), fixed: duration::write(fixed) }
    }
}

impl TryFrom<v1::WorkSample> for Sample {
    type Error = InvalidWire;

    fn try_from(wire: v1::WorkSample) -> Result<Self, InvalidWire> {
        let (took, fixed) = (duration::read(wire.took, "took")?, duration::read(wire.fixed, "fixed")?);
        Ok(Self { rows: wire.rows, took, fixed })
    }
}
