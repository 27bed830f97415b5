//! What came of a rehearsal.

use stopover_model::report::{
    ChangedRows, HeldLock, RehearsalReport, RehearsedMigration, RehearsedRun, RehearsedStatement,
};

use super::field::{duration, enumeration, messages, name, optional_message, optional_text, plain};
use crate::v1;

wire_message!(RehearsalReport { copy_of: plain, took: duration, migrations: messages });

wire_message!(RehearsedMigration {
    migration: name,
    variant: enumeration,
    not_run: optional_text,
    up: optional_message,
    down: optional_message,
    again: optional_message,
    checks: messages,
    schema_restored: plain,
    differences: plain,
    changed_rows: messages,
    tables_compared: plain,
    notes: plain,
});

wire_message!(RehearsedRun {
    took: duration,
    rows: plain,
    wal_bytes: plain,
    statements: messages,
    locks: messages,
});

wire_message!(RehearsedStatement { index: plain, rows: plain, took: duration, wal_bytes: plain });

wire_message!(HeldLock { relation: plain, mode: enumeration, statement: plain, held: duration });

wire_message!(ChangedRows { table: plain, rows_before: plain, rows_after: plain, differ: plain });
