//! How steps end: their reports and their errors.

use stopover_model::report::{
    BackupReport, CheckResult, Effect, ErrorClass, MigrateReport, Outcome, RestorePoint, RestoreProof,
    RollbackReport, SqlPlace, StepError, StepReport, VerifyReport,
};

use super::field::{
    digest, direct, duration, enumeration, from_one, message, messages, optional_digest, optional_message,
    optional_name, optional_text, plain,
};
use crate::v1;

wire_choice!(Outcome, outcome {
    "succeeded" Succeeded { report = direct },
    "failed" Failed { error: message, report: optional_message },
    "unknown" Unknown { error = direct },
    "not_begun" NotBegun { why: plain },
});

wire_choice!(StepReport, step_report {
    "inspected" Inspected(direct),
    "backed_up" BackedUp(direct),
    "migrated" Migrated(direct),
    "verified" Verified(direct),
    "rolled_back" RolledBack(direct),
    "rehearsed" Rehearsed(direct),
    "measured" Measured(direct),
});

wire_message!(StepError {
    class: enumeration,
    message: plain,
    hint: optional_text,
    sqlstate: optional_text,
    place: optional_message,
    effect: enumeration,
});

wire_enum!(ErrorClass { Transient, Sql, Lock, Check, Drift, Setup, Cancelled, Fenced, Internal });
wire_enum!(Effect { None, Partial, Possible });

wire_message!(SqlPlace { file: plain, line: from_one, column: from_one, text: plain });

wire_message!(BackupReport {
    path: plain,
    bytes: plain,
    sha256: digest,
    level: enumeration,
    database_bytes: plain,
    took: duration,
    restore_command: plain,
    id: optional_name,
    encrypted: plain,
    proof: optional_message,
    only_tables: plain,
    whole_because: optional_text,
    restore_point: optional_message,
    command_output: plain,
});

wire_message!(RestoreProof {
    tables: plain,
    rows: plain,
    sequences: plain,
    large_objects: plain,
    dumped_in: duration,
    restored_in: duration,
    compared_in: duration,
});

wire_message!(RestorePoint { name: plain, lsn: plain });

wire_message!(MigrateReport {
    variant: enumeration,
    already_applied: plain,
    statements: plain,
    rows: plain,
    took: duration,
    lock_retries: plain,
    fingerprint_before: optional_digest,
    fingerprint_after: optional_digest,
});

wire_message!(VerifyReport { checks: messages });

wire_message!(CheckResult {
    name: plain,
    passed: plain,
    unanswered: plain,
    expected: plain,
    observed: plain,
    note: optional_text,
    took: duration,
});

wire_message!(RollbackReport {
    nothing_to_do: plain,
    statements: plain,
    took: duration,
    schema_restored: plain,
    differences: plain,
    takes: messages,
    done: plain,
});
