//! What other tools' histories say, and what is recorded from them.

use stopover_model::history::{
    AppliedMigration, Histories, HistoryRow, HistoryTable, Origin, Recorded, RowState, Tool as HistoryTool,
};

use super::field::{digest, enumeration, messages, name, names, optional_text, optional_timestamp, plain};
use crate::v1;

wire_message!(Histories { tables: messages, ledger: messages });

wire_message!(HistoryTable { tool: enumeration, table: plain, rows: messages });

wire_enum!(HistoryTool { GolangMigrate, Rails, Dbmate, Flyway, Sqlx, Diesel, Goose, Liquibase, Sqitch });

wire_message!(HistoryRow {
    version: optional_text,
    name: optional_text,
    scope: optional_text,
    state: enumeration,
    at: optional_timestamp,
    checksum: optional_text,
});

wire_enum!(RowState { Applied, NotApplied, Baseline, Failed, Dirty });

wire_message!(AppliedMigration { migration: name, digest: digest });

wire_choice!(Origin, origin {
    "adopted" Adopted { from: plain, by: name },
    "baseline" Baseline { by = name },
});

wire_message!(Recorded { written: names, already: names });
