//! What a rollback would take from a database.

use stopover_model::rollback::{
    Fate, Held, LaterMigration, MigrationRollback, RollbackPlan, Taken, Taking, WrittenSince,
};

use super::field::{
    enumeration, message, messages, name, optional_duration, optional_message, optional_timestamp, plain,
    timestamp,
};
use crate::v1;

wire_message!(RollbackPlan { migrations: messages, later: messages, warnings: plain });

wire_message!(LaterMigration { migration: name, deployment: name, at: timestamp });

wire_message!(MigrationRollback {
    migration: name,
    applied: optional_timestamp,
    takes: messages,
    statements: messages,
});

wire_message!(Taken {
    statement: plain,
    object: plain,
    how: enumeration,
    held: optional_message,
    along: plain,
    in_the_way: plain,
    notes: plain,
    fate: optional_message,
});

wire_enum!(Taking { Dropped, Emptied, Converted, Hidden });

wire_message!(Held { rows: plain, counted: plain, bytes: plain, since: message });

wire_choice!(WrittenSince, written_since {
    "rows" Rows { rows: plain, basis: plain },
    "unknown" Unknown { why = plain },
});

wire_choice!(Fate, fate {
    "saved" Saved { keep_for: optional_duration },
    "lost" Lost { why: plain },
});
