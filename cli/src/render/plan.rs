//! A plan: what was found in each database, what would happen there, why, and for how long.

mod alike;
pub mod findings;
pub(in crate::render) mod impact;
mod markdown;
mod place;
mod script;

use stopover_model::migration::Check;
use stopover_model::monitor::StageMonitor;
use stopover_model::pipeline::{
    BackupScope, BackupSettings, DriftPolicy, DriftSettings, OnFailure, SaveSettings, StageSpec,
};
use stopover_model::plan::{Action, MigrationSummary, TargetPlan, Variant};
use stopover_model::report::{Inspection, TableInspection};

pub use markdown::markdown;

use super::View;
use super::line::{Line, Tone};
use super::number::{bytes, count, exact};
use super::{baseline, check, error, estimate, gate, saved, step, window};
use crate::answer::{PlanAnswer, PlanResult, StagePlan, TargetAnswer};

/// The whole plan.
#[must_use]
pub fn lines(answer: &PlanAnswer, view: View) -> Vec<Line> {
    let mut lines = Vec::new();
    for migration in &answer.migrations {
        let about = migration.manifest.description.as_deref().unwrap_or_default();
        lines.push(Line::new().strong(migration.id.as_str()).dim("  ").dim(about).cut(view.width));
    }
    for (n, stage) in answer.stages.iter().enumerate() {
        lines.push(Line::new());
        lines.extend(stage_lines(answer, n, stage, view));
    }
    lines.extend(findings::lines(&answer.lint, view));
    for migration in &answer.migrations {
        lines.extend(migration_lines(answer, migration, view));
    }
    lines.push(Line::new());
    lines.extend(verdict(answer));
    lines.push(Line::new().dim("digest  ").plain(answer.digest.to_string()));
    lines
}

fn stage_lines(answer: &PlanAnswer, n: usize, stage: &StagePlan, view: View) -> Vec<Line> {
    let heading = Line::new().plain(format!("{}. ", n + 1)).strong(stage.environment.as_str());
    let mut lines = vec![heading.cut(view.width)];
    if let Some(why) = &stage.unavailable {
        lines.extend(Line::of(Tone::Warn, "   ! ").plain(why).wrapped(view.width, 5));
    }
    let of_target = |target: &TargetAnswer, view| {
        [target_lines(target, view), findings::of_target(&answer.lint, stage, target, view)].concat()
    };
    for alike in alike::groups(&stage.targets, view, of_target) {
        let Some(target) = alike.example() else { continue };
        if alike.is_group() {
            lines.extend(alike.heading(view));
        } else {
            lines.push(Line::new().plain("   ").strong(target.database.as_str()).cut(view.width));
        }
        lines.extend(of_target(target, view));
    }
    if let Some(spec) = answer.pipeline.stages.iter().find(|s| s.environment == stage.environment) {
        lines.extend(
            window::lines(spec, 1, view.now)
                .into_iter()
                .chain(spec_lines(spec))
                .map(|line| without_way_back(answer, spec, line))
                .flat_map(|(label, text)| labelled(label, &Line::new().plain(text), view)),
        );
    }
    lines
}

fn backup(backup: BackupSettings) -> String {
    let scope = match backup.scope {
        BackupScope::Database => "",
        BackupScope::Touched => ", the rows of the touched tables",
    };
    let point = if backup.restore_point { ", with a restore point" } else { "" };
    format!("{}{scope}, before the first statement{point}", step::level(backup.level))
}

/// What the pipeline asks of a stage, each with a label.
#[must_use]
pub fn spec_lines(spec: &StageSpec) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("backup", backup(spec.backup)),
        (
            "locks",
            format!(
                "waited for {} (CONCURRENTLY for {}), then others go first",
                exact(spec.locks.lock_timeout),
                exact(spec.locks.concurrent_lock_timeout)
            ),
        ),
        (
            "",
            format!(
                "tried again for {}; not beside a dump or a transaction over {}",
                exact(spec.locks.lock_retry_for),
                exact(spec.locks.oldest_transaction)
            ),
        ),
    ];
    if spec.rehearse {
        lines.insert(1, ("first", rehearsal_words(spec).to_owned()));
    }
    let before = gate::of_spec(spec).into_iter();
    lines.splice(0..0, before.enumerate().map(|(n, text)| (if n == 0 { "gates" } else { "" }, text)));
    lines.extend(drift_lines(&spec.drift));
    lines.extend(saving(&spec.saving).map(|text| ("drops", text)));
    if spec.locks.show_queries {
        lines.push(("", "the queries of sessions that block are shown".to_owned()));
    }
    lines.extend(findings::settings(&spec.lint).map(|text| ("lint", text)));
    lines.push(match spec.on_failure {
        OnFailure::Rollback => ("fails", "then this stage is rolled back".to_owned()),
        OnFailure::Pause => ("fails", "then everything pauses for a person".to_owned()),
    });
    let hooks = gate::hooks_of_spec(spec).enumerate();
    lines.extend(hooks.map(|(n, text)| (if n == 0 { "hooks" } else { "" }, text)));
    if !spec.soak.is_zero() {
        lines.push(("rests", format!("{} under observation", exact(spec.soak))));
        lines.extend(spec.monitors.iter().map(|m| ("", watched(m))));
        lines.extend(baseline::limits(&spec.baseline).map(|text| ("", text)));
    }
    lines
}

fn watched(monitor: &StageMonitor) -> String {
    let (probe, every) = (&monitor.probe, exact(monitor.every));
    let name = &probe.name;
    match monitor.patience {
        patience if patience.is_zero() => format!("{name}: {}, every {every}", probe.question),
        patience => {
            format!("{name}: {}, every {every}; a failure counts after {}", probe.question, exact(patience))
        }
    }
}

fn rehearsal_words(spec: &StageSpec) -> &'static str {
    if spec.allow_cluster_effects {
        "rehearsed on the restored copy: up, verify, down, up again; with what reaches beyond the database"
    } else {
        "rehearsed on the restored copy: up, verify, down, up again"
    }
}

/// What the stage does about drift, where it is not the usual.
fn drift_lines(settings: &DriftSettings) -> Vec<(&'static str, String)> {
    if *settings == DriftSettings::default() {
        return Vec::new();
    }
    let text = match settings.policy {
        DriftPolicy::Refuse => "refused: nothing is applied to a schema that others have changed",
        DriftPolicy::Warn => "warned of",
        DriftPolicy::Allow => "allowed",
    };
    let mut lines = vec![("drift", text.to_owned())];
    if !settings.ignore.is_empty() {
        let globs: Vec<_> = settings.ignore.iter().map(ToString::to_string).collect();
        lines.push(("", format!("not counted: {}", globs.join(", "))));
    }
    lines
}

/// What becomes of that which is dropped, where it is not the usual.
fn saving(settings: &SaveSettings) -> Option<String> {
    match (settings.save, settings.keep_for) {
        (false, _) => Some("nothing of what is dropped is saved".to_owned()),
        (true, Some(time)) => Some(format!("saved for {}, and then purged", exact(time))),
        (true, None) => None,
    }
}

/// A rollback that can't happen is not promised.
fn without_way_back(
    answer: &PlanAnswer,
    spec: &StageSpec,
    (label, text): (&'static str, String),
) -> (&'static str, String) {
    match answer.migrations.iter().find(|m| m.down.is_none()) {
        Some(migration) if label == "fails" && spec.on_failure == OnFailure::Rollback => {
            let id = &migration.id;
            (label, format!("then everything pauses for a person once {id} is begun: it has no way back"))
        }
        _ => (label, text),
    }
}

fn target_lines(target: &TargetAnswer, view: View) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(inspection) = &target.inspection {
        lines.extend(labelled("found", &found(inspection), view));
        for table in &inspection.tables {
            lines.extend(labelled("", &table_line(table), view));
        }
        lines.extend(in_the_way(inspection).into_iter().flat_map(|l| labelled("", &l, view)));
        let checks = inspection.checks.iter().flat_map(|asked| check::lines(&asked.result));
        lines.extend(
            checks.enumerate().flat_map(|(n, l)| labelled(if n == 0 { "checks" } else { "" }, &l, view)),
        );
    }
    let saved = target.inspection.iter().flat_map(|inspection| &inspection.saved);
    for saved in saved {
        lines.extend(labelled("saved", &Line::new().plain(saved::offer(saved)), view));
    }
    match &target.result {
        PlanResult::Plan(plan) => lines.extend(plan_lines(plan, target.inspection.as_ref(), view)),
        PlanResult::Refused(refused) => {
            let inner = error::lines(refused, view.width.saturating_sub(5));
            lines.push(Line::of(Tone::Bad, "     refused"));
            lines.extend(inner.into_iter().map(|l| l.indented(5)));
        }
    }
    lines
}

fn found(inspection: &Inspection) -> Line {
    let version = inspection.server_version.split(' ').next().unwrap_or_default();
    let size = bytes(inspection.database_bytes);
    let line = Line::new().plain(format!("PostgreSQL {version}, database {} of {size}", inspection.database));
    if inspection.in_recovery { line.with(Tone::Bad, ", a standby") } else { line }
}

fn table_line(table: &TableInspection) -> Line {
    if !table.exists {
        return Line::new().plain(format!("table {}: not there", table.table));
    }
    let about = if table.rows_counted { "" } else { "about " };
    let rows = count(table.rows, "row");
    Line::new().plain(format!(
        "table {}: {about}{rows}, {} with its indexes",
        table.table,
        bytes(table.total_bytes)
    ))
}

/// Long transactions, locks and objects that are there already. The plan's own warnings say the same in its words, so
/// these lines stand only where there is no plan.
fn in_the_way(inspection: &Inspection) -> Vec<Line> {
    let mut lines = Vec::new();
    if inspection.long_running.is_empty() && inspection.locks.is_empty() {
        lines.push(Line::new().plain("no long transaction and no strong lock is in the way"));
    }
    for lock in &inspection.locks {
        let verb = if lock.granted { "holds" } else { "waits for" };
        let text = format!("{} {verb} {} on {}", lock.holder, lock.mode, lock.table);
        lines.push(Line::of(Tone::Warn, text));
    }
    for long in &inspection.long_running {
        lines.push(Line::of(Tone::Warn, format!("long transaction: {long}")));
    }
    if let Some(drift) = inspection.drift.as_ref().filter(|drift| !drift.is_none()) {
        let objects = count(drift.objects.len() as u64 + drift.more, "object");
        lines.push(Line::of(
            Tone::Warn,
            format!("drift: {objects}, since the schema was {}", drift.last_known()),
        ));
    }
    for object in &inspection.existing {
        lines.push(Line::of(Tone::Warn, format!("already there, not by the ledger: {}", object.object)));
    }
    lines
}

fn plan_lines(plan: &TargetPlan, inspection: Option<&Inspection>, view: View) -> Vec<Line> {
    let mut lines = Vec::new();
    for migration in &plan.migrations {
        let name = if plan.migrations.len() > 1 { format!("{}: ", migration.id) } else { String::new() };
        let line = match &migration.action {
            Action::Skip => Line::new().plain(name).plain("nothing to do: ").plain(&migration.reason),
            Action::Apply { variant, .. } => {
                Line::new().plain(name).strong(variant.file()).plain(": ").plain(&migration.reason)
            }
        };
        lines.extend(labelled("runs", &line, view));
        let takes = estimate::takes(&migration.action);
        lines.extend(takes.iter().flat_map(|(label, line)| labelled(label, line, view)));
    }
    // What the inspection's lines above have shown is not said twice.
    let shown = inspection.map_or(0, |i| i.existing.len() + i.long_running.len() + i.locks.len());
    let own = plan.warnings.len().saturating_sub(shown);
    for warning in plan.warnings.iter().take(own) {
        lines.extend(labelled("warning", &Line::of(Tone::Warn, warning), view));
    }
    lines
}

fn migration_lines(answer: &PlanAnswer, migration: &MigrationSummary, view: View) -> Vec<Line> {
    let mut lines = Vec::new();
    if is_done_everywhere(answer, migration) {
        return lines;
    }
    for variant in [Variant::Standard, Variant::Batched] {
        let places = script::places(answer, migration, variant);
        if !places.is_empty() {
            lines.push(Line::new());
            let name = migration.manifest.file_name(&migration.id, variant.file());
            lines.extend(script::lines(&name, migration.script(variant), &places, view));
        }
    }
    let manifest = &migration.manifest;
    let check = |c: &Check| Line::new().plain(&c.name).dim(format!(": {}", c.expect));
    let monitors =
        manifest.monitors.iter().map(|m| check(&m.check).dim(format!(", every {}", exact(m.every))));
    let follow_ups = manifest.follow_ups.iter().map(|f| {
        let expect = f.expect.as_ref().map_or(String::new(), |e| format!(": {e}"));
        let when = match f.again {
            None => format!("after {}: ", exact(f.after)),
            Some(again) => format!("every {} for {}: ", exact(again.every), exact(again.until)),
        };
        Line::new().dim(when).plain(&f.name).dim(expect)
    });
    lines.extend(section("verified after it", manifest.verify.iter().map(check), view));
    lines.extend(section("watched during the soak", monitors, view));
    lines.extend(section("to be asked later", follow_ups, view));
    lines.extend(match &migration.down {
        Some(down) => {
            let name = manifest.file_name(&migration.id, "down.sql");
            [vec![Line::new()], script::lines_of_way_back(&name, down, view)].concat()
        }
        None => vec![Line::new(), Line::of(Tone::Warn, "! ").plain("no down.sql: it can't be rolled back")],
    });
    lines
}

/// Of a directory of many migrations most were applied long ago: the new ones are what the plan is read for.
fn is_done_everywhere(answer: &PlanAnswer, migration: &MigrationSummary) -> bool {
    let skips = |target: &TargetAnswer| match &target.result {
        PlanResult::Plan(plan) => {
            plan.migrations.iter().any(|m| m.id == migration.id && matches!(m.action, Action::Skip))
        }
        PlanResult::Refused(_) => false,
    };
    let is_done = |stage: &StagePlan| !stage.targets.is_empty() && stage.targets.iter().all(skips);
    !answer.stages.is_empty() && answer.stages.iter().all(is_done)
}

fn section(title: &str, rows: impl Iterator<Item = Line>, view: View) -> Vec<Line> {
    let rows: Vec<_> = rows.flat_map(|l| Line::new().dim("  - ").then(l).wrapped(view.width, 4)).collect();
    if rows.is_empty() { rows } else { [vec![Line::new(), Line::new().strong(title)], rows].concat() }
}

fn labelled(label: &str, text: &Line, view: View) -> Vec<Line> {
    Line::new().dim(format!("     {label:8}")).then(text.clone()).wrapped(view.width, 13)
}

fn verdict(answer: &PlanAnswer) -> Option<Line> {
    if answer.is_refused() {
        return Some(Line::of(Tone::Bad, "refused: a deployment would stop at what is refused above"));
    }
    answer
        .stages
        .iter()
        .any(|s| s.unavailable.is_some())
        .then(|| Line::of(Tone::Warn, "incomplete: a deployment would wait where nothing could be inspected"))
}

#[cfg(test)]
mod tests;
