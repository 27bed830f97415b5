//! Checks: queries and what they must answer.

use stopover_model::migration::{Again, Check, Expectation, FollowUp, Monitor, Scalar};

use super::error::InvalidWire;
use super::field::{direct, duration, message, optional_message, plain};
use crate::v1;

wire_message!(Check { name: plain, sql: plain, expect: message });
wire_message!(Monitor { every: duration, patience: patience, check: message });
wire_message!(FollowUp {
    name: plain,
    after: duration,
    again: optional_message,
    sql: plain,
    expect: optional_message,
});

impl From<Again> for v1::follow_up::Again {
    fn from(again: Again) -> Self {
        Self { every: duration::write(again.every), until: duration::write(again.until) }
    }
}

impl TryFrom<v1::follow_up::Again> for Again {
    type Error = InvalidWire;

    fn try_from(wire: v1::follow_up::Again) -> Result<Self, InvalidWire> {
        Ok(Self { every: duration::read(wire.every, "every")?, until: duration::read(wire.until, "until")? })
    }
}

wire_choice!(Expectation, expectation {
    "value" Value(direct),
    "rows" Rows(plain),
    "between" Between { min: plain, max: plain },
    "row" Row(columns),
    "uses_index" UsesIndex(plain),
});

wire_choice!(Scalar, scalar {
    "bool" Bool(plain),
    "int" Int(plain),
    "float" Float(plain),
    "text" Text(plain),
});

/// Absent on the wire where a failure counts at once.
mod patience {
    use std::time::Duration;

    use crate::convert::InvalidWire;
    use crate::convert::field::optional_duration;

    pub(super) fn write(patience: Duration) -> Option<prost_types::Duration> {
        optional_duration::write(Some(patience).filter(|p| !p.is_zero()))
    }

    pub(super) fn read(wire: Option<prost_types::Duration>, field: &str) -> Result<Duration, InvalidWire> {
        optional_duration::read(wire, field).map(Option::unwrap_or_default)
    }
}

/// The values that a row must have, by column.
mod columns {
    use std::collections::BTreeMap;

    use super::{Scalar, v1};
    use crate::convert::{InField, InvalidWire};

    pub(super) fn write(columns: BTreeMap<String, Scalar>) -> v1::expectation::Row {
        v1::expectation::Row {
            columns: columns.into_iter().map(|(name, value)| (name, value.into())).collect(),
        }
    }

    pub(super) fn read(
        wire: v1::expectation::Row,
        field: &str,
    ) -> Result<BTreeMap<String, Scalar>, InvalidWire> {
        let column = |(name, value): (String, v1::Scalar)| {
            let value = value.try_into().in_field(&format!("{field}.columns[{name:?}]"))?;
            Ok((name, value))
        };
        wire.columns.into_iter().map(column).collect()
    }
}
