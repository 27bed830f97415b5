//! The plan: what would happen to one database, why, and for how long, from what was found there.

mod backed;
mod check;
mod disk;
mod drift;
mod estimate;
mod gap;
mod linted;
mod measured;
mod rates;
mod span;
mod touched;
mod wish;

use serde::{Deserialize, Serialize};

use self::estimate::Subject;
pub use self::estimate::{Estimate, Spread, StatementEstimate};
pub(crate) use self::measured::size_of;
pub use self::measured::{Known, Measured, MeasuredKind, Measurement, main_work};
pub use self::touched::Touched;
use crate::digest::Digest;
use crate::id::{DatabaseName, MigrationId};
pub use crate::migration::Variant;
use crate::migration::{FollowUp, Manifest, Migration, ScriptSummary};
use crate::pipeline::{DriftSettings, OutOfOrder};
use crate::report::{ErrorClass, Inspection, LedgerEntry, LedgerState, StepError};

/// What a deployment needs to know of a migration; the SQL itself is kept beside the log, by its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MigrationSummary {
    pub id: MigrationId,
    pub digest: Digest,
    pub manifest: Manifest,
    pub standard: ScriptSummary,
    pub batched: Option<ScriptSummary>,
    pub down: Option<ScriptSummary>,
    /// Those of one series follow one another in the deployment's order.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub series: u32,
}

/// What will happen to one database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetPlan {
    pub database: DatabaseName,
    /// In the deployment's order.
    pub migrations: Vec<MigrationPlan>,
    /// Worth knowing before it starts.
    pub warnings: Vec<String>,
}

/// What will happen for one migration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MigrationPlan {
    pub id: MigrationId,
    pub action: Action,
    /// Why this action, in a sentence.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    Apply {
        variant: Variant,
        estimate: Option<Estimate>,
        /// What is missing for one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missing: Option<String>,
    },
    /// It is there already, with the same content.
    Skip,
}

impl MigrationSummary {
    #[must_use]
    pub fn of(migration: &Migration) -> Self {
        Self {
            id: migration.id.clone(),
            digest: migration.digest,
            manifest: migration.manifest.clone(),
            standard: migration.up.summary(),
            batched: migration.batch.as_ref().map(super::migration::Script::summary),
            down: migration.down.as_ref().map(super::migration::Script::summary),
            series: migration.series,
        }
    }

    #[must_use]
    pub fn script(&self, variant: Variant) -> &ScriptSummary {
        match (variant, &self.batched) {
            (Variant::Batched, Some(batched)) => batched,
            _ => &self.standard,
        }
    }

    #[must_use]
    pub fn follow_ups(&self) -> &[FollowUp] {
        &self.manifest.follow_ups
    }
}

impl TargetPlan {
    /// Plans one database from what was found in it, or says why nothing may happen there.
    pub fn make(
        database: &DatabaseName,
        migrations: &[MigrationSummary],
        inspection: &Inspection,
        known: &Known<'_>,
        out_of_order: OutOfOrder,
        drift: &DriftSettings,
    ) -> Result<Self, StepError> {
        if inspection.in_recovery {
            let message = format!("{database} is a standby (in recovery), where nothing can be written");
            return Err(StepError::new(ErrorClass::Setup, message).with_hint(
                "point the agent's url at the primary: add target_session_attrs=read-write, or its own host",
            ));
        }
        let ledger = inspection.entries();
        let plans = migrations
            .iter()
            .map(|m| plan_one(database, m, ledger.get(&m.id).copied(), inspection, known))
            .collect::<Result<Vec<_>, StepError>>()?;
        if out_of_order == OutOfOrder::Refuse {
            gap::refuse(database, migrations, &ledger)?;
        }
        check::refuse(database, &plans, inspection)?;
        let mut plan = Self { database: database.clone(), migrations: plans, warnings: Vec::new() };
        let drifted = drift::check(database, inspection, drift, plan.applies_anything())?;
        plan.warnings = warnings(inspection, drifted);
        Ok(plan)
    }

    /// Whether anything would be applied.
    #[must_use]
    pub fn applies_anything(&self) -> bool {
        self.migrations.iter().any(|m| matches!(m.action, Action::Apply { .. }))
    }
}

fn plan_one(
    database: &DatabaseName,
    migration: &MigrationSummary,
    entry: Option<&LedgerEntry>,
    inspection: &Inspection,
    known: &Known<'_>,
) -> Result<MigrationPlan, StepError> {
    let other = entry.filter(|e| e.digest != migration.digest && e.state == LedgerState::Applied);
    if let Some(entry) = other.filter(|_| migration.manifest.is_repeatable()) {
        let (variant, table_rows, _) = pick_variant(migration, inspection)?;
        let reason = format!("its content is not what ran on {}: it runs again", date(entry.at));
        let action = apply(&Subject { database, migration, variant, table_rows, inspection, known });
        return Ok(MigrationPlan { id: migration.id.clone(), action, reason });
    }
    if let Some(entry) = entry.filter(|e| e.digest != migration.digest) {
        let message = format!(
            "{} is in the database's ledger with other content: {} there, {} here ({})",
            migration.id,
            entry.digest.short(),
            migration.digest.short(),
            whence(entry)
        );
        return Err(StepError::new(ErrorClass::Drift, message).with_hint(
            "a migration that was applied is never edited: restore its files, and put the change into a new migration",
        ));
    }
    let plan = |action, reason| Ok(MigrationPlan { id: migration.id.clone(), action, reason });
    match entry {
        Some(e) if e.state == LedgerState::Applied => {
            let already = if e.origin.is_none() { "already applied " } else { "" };
            plan(Action::Skip, format!("{already}{}", whence(e)))
        }
        Some(e) => {
            let reason = format!(
                "deployment {} began it, {}; it goes on from its last statement",
                e.deployment,
                date(e.at)
            );
            let missing = Some("how far it got is seen when it goes on".to_owned());
            plan(Action::Apply { variant: e.variant, estimate: None, missing }, reason)
        }
        None => {
            let (variant, table_rows, reason) = pick_variant(migration, inspection)?;
            plan(apply(&Subject { database, migration, variant, table_rows, inspection, known }), reason)
        }
    }
}

/// With the estimate, or with what is missing for one.
fn apply(subject: &Subject<'_>) -> Action {
    let (estimate, missing) = match subject.estimate() {
        Ok(estimate) => (Some(estimate), None),
        Err(missing) => (None, Some(missing)),
    };
    Action::Apply { variant: subject.variant, estimate, missing }
}

/// Whose row it is, and since when.
fn whence(entry: &LedgerEntry) -> String {
    let whose = entry.origin.clone().unwrap_or_else(|| format!("by deployment {}", entry.deployment));
    format!("{whose}, {}", date(entry.at))
}

fn pick_variant(
    migration: &MigrationSummary,
    inspection: &Inspection,
) -> Result<(Variant, Option<u64>, String), StepError> {
    let Some(name) = &migration.manifest.table else {
        return Ok((Variant::Standard, None, "the migration has one variant".to_owned()));
    };
    let table = inspection.tables.iter().find(|t| t.table == *name && t.exists);
    let Some(table) = table else {
        if migration.batched.is_none() {
            return Ok((Variant::Standard, None, format!("{name} is not there yet")));
        }
        let message = format!("{} names the table {name}, which is not in the database", migration.id);
        return Err(StepError::new(ErrorClass::Setup, message)
            .with_hint("check `table` in migration.toml, and the database that the agent's url names"));
    };
    let rows =
        if table.rows_counted { grouped(table.rows) } else { format!("about {}", grouped(table.rows)) };
    let (variant, reason) = match migration.manifest.batch_above_rows {
        Some(limit) if table.rows >= limit => (
            Variant::Batched,
            format!("{name} has {rows} rows, from {} on the batched script runs", grouped(limit)),
        ),
        Some(limit) => (Variant::Standard, format!("{name} has {rows} rows, fewer than {}", grouped(limit))),
        None => (Variant::Standard, format!("{name} has {rows} rows; the migration has one variant")),
    };
    Ok((variant, Some(table.rows), reason))
}

fn warnings(inspection: &Inspection, drifted: Option<String>) -> Vec<String> {
    let mut warnings = inspection.warnings.clone();
    warnings.extend(drifted);
    for object in &inspection.existing {
        warnings.push(format!(
            "{}: {} is there already, and the ledger does not know why",
            object.migration, object.object
        ));
    }
    for session in &inspection.long_running {
        let state = if session.is_prepared() { String::new() } else { format!(", {},", session.state) };
        let age = crate::duration::human(session.transaction_age);
        warnings.push(format!("{}{state} has had a transaction open for {age}", session.who()));
    }
    for lock in &inspection.locks {
        warnings.push(format!(
            "pid {} {} {} on {}",
            lock.holder.pid,
            if lock.granted { "holds" } else { "waits for" },
            lock.mode,
            lock.table
        ));
    }
    warnings
}

/// 300000 as 300,000.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn date(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests;
