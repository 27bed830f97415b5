//! What a statement does to others, in the words of plans and steps.

use stopover_model::id::MigrationId;
use stopover_model::impact::{LockMode, StatementImpact, WorkKind};
use stopover_model::migration::Variant;
use stopover_model::plan::{Action, TargetPlan};
use stopover_model::report::Inspection;

/// The schema that people leave out is left out here.
#[must_use]
pub fn relation(name: &str) -> &str {
    name.strip_prefix("public.").unwrap_or(name)
}

/// What those who use the relation feel.
#[must_use]
pub fn blocked(mode: LockMode) -> &'static str {
    if mode.blocks_reads() {
        "blocks reads and writes"
    } else if mode.blocks_writes() {
        "blocks writes"
    } else {
        "blocks neither reads nor writes"
    }
}

/// `writes users anew`
#[must_use]
pub fn work(kind: WorkKind, relation: &str) -> String {
    match kind {
        WorkKind::Rewrite => format!("writes {relation} anew"),
        WorkKind::Scan => format!("reads all of {relation}"),
        WorkKind::BuildIndex => format!("builds an index over {relation}"),
        WorkKind::ChangeRows => format!("changes rows of {relation}"),
    }
}

/// The worst that a plan's statements do, in one line; nothing where nobody feels anything.
#[must_use]
pub fn worst(inspection: &Inspection, plan: &TargetPlan) -> Option<String> {
    let runs = |migration: &MigrationId, script: Variant| {
        plan.migrations.iter().any(|m| {
            m.id == *migration && matches!(&m.action, Action::Apply { variant, .. } if *variant == script)
        })
    };
    let scripts = inspection.impacts.iter().filter(|script| runs(&script.migration, script.variant));
    let felt = scripts.flat_map(|script| &script.statements).filter(|impact| strongest(impact).is_some());
    let worst = felt.max_by_key(|impact| weight(impact))?;
    let lock = worst.locks.iter().find(|lock| lock.mode.blocks_writes())?;
    let mut text = format!("strongest lock {} on {}", lock.mode, relation(&lock.relation));
    if let Some(first) = worst.work.first() {
        text.push_str(", ");
        text.push_str(&work(first.kind, relation(&first.relation)));
    }
    Some(text)
}

fn strongest(impact: &StatementImpact) -> Option<LockMode> {
    impact.locks.iter().map(|lock| lock.mode).max().filter(|mode| mode.blocks_writes())
}

/// The strongest lock, and of several the one that is held through the longest work.
fn weight(impact: &StatementImpact) -> (Option<LockMode>, u64) {
    (strongest(impact), impact.work.iter().map(|work| work.bytes).sum())
}
