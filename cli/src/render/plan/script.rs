//! A script that would run: its statements, what shares a transaction, and what each statement does where.

use stopover_model::migration::ScriptSummary;
use stopover_model::plan::{Action, MigrationSummary, Variant};

use super::super::View;
use super::super::line::Line;
use super::super::number::count;
use super::impact;
use super::place::{Place, named};
use crate::answer::{PlanAnswer, PlanResult};

/// The databases where this variant would run.
pub(super) fn places<'a>(
    answer: &'a PlanAnswer,
    migration: &MigrationSummary,
    wanted: Variant,
) -> Vec<Place<'a>> {
    let mut places = Vec::new();
    for stage in &answer.stages {
        for target in &stage.targets {
            let PlanResult::Plan(plan) = &target.result else { continue };
            let action = plan.migrations.iter().find(|m| m.id == migration.id).map(|m| &m.action);
            if !matches!(action, Some(Action::Apply { variant, .. }) if *variant == wanted) {
                continue;
            }
            let mut impacts = target.inspection.iter().flat_map(|inspection| &inspection.impacts);
            let of_it = impacts.find(|script| script.migration == migration.id && script.variant == wanted);
            places.push(Place {
                environment: Some(&stage.environment),
                name: format!("{}/{}", stage.environment, target.database),
                statements: of_it.map_or(&[], |script| &script.statements),
            });
        }
    }
    places
}

pub(super) fn lines_of_way_back(name: &str, script: &ScriptSummary, view: View) -> Vec<Line> {
    described(name, script, "only to roll back", &[], view)
}

pub(super) fn lines(name: &str, script: &ScriptSummary, places: &[Place<'_>], view: View) -> Vec<Line> {
    described(name, script, &named(places), places, view)
}

fn described(
    name: &str,
    script: &ScriptSummary,
    where_it_runs: &str,
    places: &[Place<'_>],
    view: View,
) -> Vec<Line> {
    let blocks = script.statements.iter().any(|statement| statement.block.is_some());
    let how = match (script.one_transaction, blocks) {
        (true, _) => "in one transaction",
        (false, false) => "each on its own",
        (false, true) => "in the file's own transactions, the others each on its own",
    };
    let number = count(script.statements.len() as u64, "statement");
    let mut lines = Line::new().strong(name).plain(format!(": {number}, {how}")).wrapped(view.width, 2);
    lines.extend(Line::new().dim(format!("  {where_it_runs}")).wrapped(view.width, 2));
    let mut before = None;
    for (index, statement) in script.statements.iter().enumerate() {
        if let Some(block) = statement.block.filter(|block| before != Some(*block)) {
            let many = script.statements.iter().filter(|s| s.block == Some(block)).count() as u64;
            let text = format!("        one transaction, {}:", count(many, "statement"));
            lines.push(Line::new().dim(text).cut(view.width));
        }
        before = statement.block;
        let indent = if statement.block.is_some() { "  " } else { "" };
        let left = Line::new().dim(format!("{:>6}  {indent}", statement.line)).plain(&statement.text);
        lines.push(left.cut(view.width));
        if let Some(why) = statement.own_transaction.as_ref().filter(|_| !script.one_transaction) {
            lines.extend(Line::new().dim(format!("        alone: {why}")).wrapped(view.width, 15));
        }
        let said = impact::lines(index, places);
        lines.extend(said.into_iter().flat_map(|line| line.indented(10).wrapped(view.width, 12)));
    }
    lines
}
