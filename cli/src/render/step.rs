//! One step: its mark, its name, what it found or did, and how long it took.

use std::time::Duration;

use stopover_model::deployment::{Deployment, Step, StepState};
use stopover_model::duration::human;
use stopover_model::event::{StepKey, StepKind};
use stopover_model::pipeline::BackupLevel;
use stopover_model::plan::{Action, grouped};
use stopover_model::report::{BackupReport, Inspection, MigrateReport, RollbackReport, StepReport};

use super::View;
use super::baseline;
use super::check;
use super::line::{Line, Tone};
use super::number::{between, bytes, count, ticking};
use super::rehearsal;

/// As wide as the longest name.
pub const NAME_WIDTH: usize = 9;

#[must_use]
pub fn mark(step: &Step) -> Line {
    let (tone, mark) = match &step.state {
        StepState::Pending | StepState::Running { behind: true, .. } => (Tone::Dim, "·"),
        StepState::Running { .. } => (Tone::Busy, "▸"),
        StepState::Succeeded { .. } => (Tone::Good, "✓"),
        StepState::Failed { .. } => (Tone::Bad, "✗"),
        StepState::Unknown { .. } => (Tone::Warn, "?"),
        StepState::Skipped => (Tone::Dim, "-"),
    };
    Line::of(tone, mark)
}

/// What the step does, in the words that people use.
#[must_use]
pub fn name(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Inspect => "inspect",
        StepKind::Backup | StepKind::RollbackBackup => "back up",
        StepKind::Rehearse => "rehearse",
        StepKind::Migrate => "migrate",
        StepKind::Verify => "verify",
        StepKind::Monitor => "monitor",
        StepKind::Measure => "compare",
        StepKind::Rollback => "roll back",
    }
}

/// What is known of the step, for the middle of its row.
#[must_use]
pub fn detail(deployment: &Deployment, key: &StepKey, step: &Step) -> Line {
    let migration = Line::new().plain(key.migration.as_ref().map_or("", |m| m.as_str()));
    match &step.state {
        StepState::Pending | StepState::Running { .. } if key.kind == StepKind::RollbackBackup => {
            Line::new().dim("before anything is taken back").then(again(step))
        }
        StepState::Pending | StepState::Running { .. } if key.kind == StepKind::Rehearse => {
            Line::new().dim("up, down and up again, on the restored copy").then(again(step))
        }
        StepState::Pending | StepState::Running { .. } | StepState::Succeeded { .. }
            if key.kind == StepKind::Measure =>
        {
            baseline::summary(deployment, key).then(again(step))
        }
        StepState::Pending | StepState::Running { .. } => migration.then(again(step)),
        StepState::Skipped => Line::new().dim(skip_reason(deployment, key)),
        StepState::Failed { report: Some(StepReport::Verified(report)), .. } => check::summary(report),
        StepState::Failed { .. } => Line::of(Tone::Bad, "failed"),
        StepState::Unknown { .. } => Line::of(Tone::Warn, "its outcome is UNKNOWN"),
        StepState::Succeeded { report, .. } => {
            match key.migration.as_ref().filter(|_| deployment.migrations.len() > 1) {
                Some(id) => Line::new().plain(id.as_str()).dim(": ").then(found(report)),
                None => found(report),
            }
        }
    }
}

/// How long it took, or has been running.
#[must_use]
pub fn time(step: &Step, view: View) -> Line {
    match &step.state {
        StepState::Pending | StepState::Skipped | StepState::Running { behind: true, .. } => Line::new(),
        StepState::Running { since, .. } => Line::of(Tone::Busy, ticking(between(*since, view.now))),
        StepState::Succeeded { since, at, report } => {
            Line::new().dim(human(took(report).unwrap_or_else(|| between(*since, *at))))
        }
        StepState::Failed { since, at, .. } | StepState::Unknown { since, at, .. } => {
            Line::new().dim(human(between(*since, *at)))
        }
    }
}

/// What a finished step found or did.
#[must_use]
pub fn found(report: &StepReport) -> Line {
    match report {
        StepReport::Inspected(inspection) => inspected(inspection),
        StepReport::BackedUp(report) => backed_up(report),
        StepReport::Migrated(report) => migrated(report),
        StepReport::Verified(report) => check::summary(report),
        StepReport::RolledBack(report) => rolled_back(report),
        StepReport::Rehearsed(report) => rehearsal::summary(report),
        StepReport::Measured(_) => Line::new(),
    }
}

#[must_use]
pub fn level(level: BackupLevel) -> &'static str {
    match level {
        BackupLevel::Recorded => "recorded",
        BackupLevel::Decoded => "decoded",
        BackupLevel::Restored => "restored",
    }
}

/// Measured where the work is done, without the way there and back.
fn took(report: &StepReport) -> Option<Duration> {
    match report {
        StepReport::BackedUp(report) => Some(report.took),
        StepReport::Migrated(report) if !report.already_applied => Some(report.took),
        StepReport::RolledBack(report) => Some(report.took),
        StepReport::Rehearsed(report) => Some(report.took),
        StepReport::Inspected(_)
        | StepReport::Migrated(_)
        | StepReport::Verified(_)
        | StepReport::Measured(_) => None,
    }
}

fn again(step: &Step) -> Line {
    match (&step.state, step.attempts) {
        (StepState::Running { attempt, .. }, _) if attempt.0 > 1 => {
            Line::of(Tone::Warn, format!("  attempt {attempt}"))
        }
        (StepState::Pending, 1..) if step.attempts > step.not_begun => {
            Line::of(Tone::Warn, "  to be tried again")
        }
        _ => Line::new(),
    }
}

fn skip_reason(deployment: &Deployment, key: &StepKey) -> String {
    let plan =
        deployment.stage(key.stage).and_then(|s| s.target(&key.database)).and_then(|t| t.plan.as_ref());
    let reason = plan.and_then(|p| p.migrations.iter().find(|m| Some(&m.id) == key.migration.as_ref()));
    match (key.kind, reason) {
        (StepKind::Migrate, Some(planned)) => format!("{}: {}", planned.id, planned.reason),
        (StepKind::Verify, Some(planned)) if matches!(planned.action, Action::Apply { .. }) => {
            "no checks".to_owned()
        }
        _ => "nothing to do".to_owned(),
    }
}

fn inspected(inspection: &Inspection) -> Line {
    let version = inspection.server_version.split(' ').next().unwrap_or_default();
    let mut line = Line::new().plain(format!("PostgreSQL {version}"));
    for table in inspection.tables.iter().filter(|t| t.exists) {
        let about = if table.rows_counted { "" } else { "about " };
        let size = bytes(table.total_bytes);
        line.push(Tone::Plain, format!(", {}: {about}{}, {size}", table.table, count(table.rows, "row")));
    }
    if inspection.tables.is_empty() {
        line.push(Tone::Plain, format!(", {}", bytes(inspection.database_bytes)));
    }
    if let Some(drift) = inspection.drift.as_ref().filter(|drift| !drift.is_none()) {
        let objects = count(drift.objects.len() as u64 + drift.more, "object");
        line.push(Tone::Warn, format!(", drift: {objects}"));
    }
    line
}

fn backed_up(report: &BackupReport) -> Line {
    let mut line = Line::new();
    if report.command_output.is_some() {
        line = line.plain("by the agent's own command");
    } else {
        let file = if report.encrypted { "an encrypted file" } else { "a file" };
        line = line.plain(format!("{} in {file} of {}", bytes(report.database_bytes), bytes(report.bytes)));
    }
    if !report.only_tables.is_empty() {
        let tables = count(report.only_tables.len() as u64, "table");
        line = line.plain(format!(", only the rows of {tables}"));
    }
    line = line.plain(format!(", {}", level(report.level)));
    match &report.proof {
        Some(proof) => {
            line.plain(format!(": {} of {} equal", count(proof.rows, "row"), count(proof.tables, "table")))
        }
        None => line,
    }
}

fn migrated(report: &MigrateReport) -> Line {
    let line = Line::new().plain(report.variant.file());
    if report.already_applied {
        return line.dim(", already in the ledger");
    }
    let line = line.plain(format!(", {}", count(report.statements.into(), "statement")));
    let line =
        if report.rows > 0 { line.plain(format!(", {} rows touched", grouped(report.rows))) } else { line };
    match report.lock_retries {
        0 => line,
        n => line.with(
            Tone::Warn,
            format!(", waited for a lock {}", if n == 1 { "once".to_owned() } else { format!("{n} times") }),
        ),
    }
}

fn rolled_back(report: &RollbackReport) -> Line {
    if report.nothing_to_do {
        return Line::new().dim("there was nothing to take back");
    }
    let line = Line::new().plain(count(report.statements.into(), "statement"));
    match report.schema_restored {
        Some(true) => line.plain(", the schema is as it was before"),
        Some(false) => {
            let differences = count(report.differences.len() as u64, "difference");
            line.with(Tone::Bad, format!(", the schema is not as it was: {differences}"))
        }
        None => line.with(Tone::Warn, ", whether the schema is as it was before is not known"),
    }
}
