//! What databases' statistics say, and how much more of it a stage allows.

use stopover_model::baseline::{BaselineLimits, IndexMetrics, Metrics, StatementMetrics, TableMetrics};

use super::field::{duration, messages, optional_text, optional_timestamp, plain, timestamp};
use crate::v1;

wire_message!(Metrics {
    at: timestamp,
    since: optional_timestamp,
    since_of_server: plain,
    tables: messages,
    statements: messages,
    statements_since: optional_timestamp,
    statements_note: optional_text,
    connections: plain,
    deadlocks: plain,
    temp_bytes: plain,
});

wire_message!(TableMetrics {
    oid: plain,
    table: plain,
    bytes: plain,
    rows: plain,
    dead_rows: plain,
    seq_scans: plain,
    indexes: messages,
});

wire_message!(IndexMetrics { index: plain, bytes: plain, scans: plain });
wire_message!(StatementMetrics { id: plain, calls: plain, took: duration });

wire_message!(BaselineLimits {
    seq_scans: factor,
    mean_time: factor,
    dead_rows: factor,
    size: factor,
    connections: factor,
    deadlocks: factor,
    temp_bytes: factor,
});

mod factor {
    use stopover_model::baseline::Factor;

    use crate::convert::InvalidWire;

    pub(super) fn write(factor: Option<Factor>) -> String {
        factor.map(String::from).unwrap_or_default()
    }

    pub(super) fn read(wire: String, field: &str) -> Result<Option<Factor>, InvalidWire> {
        let read = |text: String| text.parse().map_err(|e| InvalidWire::new(field, format!("{e}")));
        Some(wire).filter(|text| !text.is_empty()).map(read).transpose()
    }
}
