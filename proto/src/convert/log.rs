//! What comes from a running step: durable lines, and progress.

use stopover_model::report::{BackfillProgress, LogLine, Progress, ProgressUnit};

use super::field::{duration, enumeration, from_one, messages, optional_duration, optional_message, plain};
use crate::v1;

wire_choice!(LogLine, log_line {
    "message" Message { text = plain },
    "notice" Notice { severity: plain, code: plain, text: plain },
    "statement_started" StatementStarted { index: plain },
    "statement_finished" StatementFinished { index: plain, rows: plain, took: duration },
    "lock_wait" LockWait { index: plain, retry: from_one, again_in: duration, blockers: messages },
});

wire_message!(Progress {
    doing: plain,
    done: plain,
    total: plain,
    unit: enumeration,
    backfill: optional_message,
});

wire_message!(BackfillProgress {
    touched: plain,
    rows_per_second: plain,
    batch_rows: plain,
    wal_bytes: plain,
    dead_rows: plain,
    holds: plain,
    held_for: optional_duration,
    left: optional_duration,
    left_basis: plain,
});

wire_enum!(ProgressUnit { Rows, Bytes, Blocks, Percent, Checks });
