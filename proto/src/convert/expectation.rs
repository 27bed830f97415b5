//! Checks: queries and what they must answer.

use stopover_model::migration::{Check, Expectation, FollowUp, Monitor, Scalar};

use super::field::{direct, duration, message, optional_message, plain};
use crate::v1;

wire_message!(Check { name: plain, sql: plain, expect: message });
wire_message!(Monitor { every: duration, check: message });
wire_message!(FollowUp { name: plain, after: duration, sql: plain, expect: optional_message });

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
