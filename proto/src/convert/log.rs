//! What comes from a running step: durable lines, and progress.

use stopover_model::report::{LogLine, Progress, ProgressUnit};

use super::field::{duration, enumeration, from_one, messages, plain};
use crate::v1;

wire_choice!(LogLine, log_line {
    "message" Message { text = plain },
    "notice" Notice { severity: plain, code: plain, text: plain },
    "statement_started" StatementStarted { index: plain },
    "statement_finished" StatementFinished { index: plain, rows: plain, took: duration },
    "lock_wait" LockWait { index: plain, retry: from_one, again_in: duration, blockers: messages },
});

wire_message!(Progress { doing: plain, done: plain, total: plain, unit: enumeration });

wire_enum!(ProgressUnit { Rows, Bytes, Blocks, Percent, Checks });
