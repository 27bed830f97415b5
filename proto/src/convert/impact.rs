//! What a script's statements would do to a database.

use stopover_model::impact::{
    FiringTrigger, LockMode, LockTaken, Sample, ScriptImpact, StatementImpact, Work, WorkKind,
};

use super::error::InvalidWire;
use super::field::{duration, enumeration, messages, name, optional_message, optional_text, plain};
use crate::v1;

wire_message!(ScriptImpact { migration: name, variant: enumeration, statements: messages });

wire_message!(StatementImpact {
    index: plain,
    locks: messages,
    work: messages,
    triggers: messages,
    notes: plain,
    sample: optional_message,
});

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
    fn from(sample: Sample) -> Self {
        Self { rows: sample.rows, took: duration::write(sample.took) }
    }
}

impl TryFrom<v1::WorkSample> for Sample {
    type Error = InvalidWire;

    fn try_from(wire: v1::WorkSample) -> Result<Self, InvalidWire> {
        Ok(Self { rows: wire.rows, took: duration::read(wire.took, "took")? })
    }
}
