//! What was dropped and is kept.

use stopover_model::saved::{RestoredValues, Saved, SavedColumn, SavedPurged, SavedRestored, SavedWhat};

use super::field::{enumeration, messages, name, optional_message, optional_text, plain, timestamp};
use crate::v1;

wire_message!(Saved {
    id: name,
    at: timestamp,
    deployment: name,
    migration: name,
    by_rollback: plain,
    what: enumeration,
    table: plain,
    columns: messages,
    key: plain,
    rows: plain,
    bytes: plain,
    holder: optional_text,
    restored: optional_message,
    purged: optional_message,
    definition: plain,
});

wire_enum!(SavedWhat { Columns, Table, Emptied });

wire_message!(SavedColumn { name: plain, type_name: plain });

wire_message!(SavedRestored { at: timestamp, by: plain, rows: plain });

wire_message!(SavedPurged { at: timestamp, by: plain });

wire_message!(RestoredValues {
    restored: plain,
    kept: plain,
    missing: plain,
    more: plain,
    made: optional_text,
    notes: plain,
});
