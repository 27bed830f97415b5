//! Which part of this module knows a command.

use squawk_syntax::ast::{self, AstNode as _};
use stopover_model::impact::LockMode;
use stopover_model::sql::StatementKind;

use super::effect::Effect;
use super::world::World;
use super::{alter, create, drops, index, maintenance, question, rows};
use crate::reading::{Read, Reading};

pub(super) fn see(world: &mut World, effect: &mut Effect, reading: &Reading<'_>, statement: &Read<'_>) {
    let Some(tree) = &statement.tree else {
        return unread(world, effect, reading, statement);
    };
    match tree {
        ast::Stmt::AlterTable(it) => alter::table(world, effect, it),
        ast::Stmt::AlterIndex(it) => index::alter(world, effect, it),
        ast::Stmt::CreateIndex(it) => index::create(world, effect, it),
        ast::Stmt::DropIndex(it) => index::drop(world, effect, it),
        ast::Stmt::Reindex(it) => index::reindex(world, effect, it),
        ast::Stmt::CreateTable(it) => create::table(world, effect, it),
        ast::Stmt::CreateTableAs(it) => create::table_as(world, effect, it),
        ast::Stmt::SelectInto(it) => create::select_into(world, effect, it),
        ast::Stmt::CreateView(it) => create::view(world, effect, it),
        ast::Stmt::CreateMaterializedView(it) => create::materialized_view(world, effect, it),
        ast::Stmt::CreateTrigger(it) => create::trigger(world, effect, it),
        ast::Stmt::CreateRule(it) => create::rule(world, effect, it),
        ast::Stmt::CreatePolicy(it) => create::policy(world, effect, it.on_table()),
        ast::Stmt::AlterPolicy(it) => create::policy(world, effect, it.on_table()),
        ast::Stmt::CreateStatistics(it) => create::statistics(world, effect, it),
        ast::Stmt::CreatePublication(_) | ast::Stmt::AlterPublication(_) => {
            create::publication(world, effect, tree);
        }
        ast::Stmt::DropTable(it) => drops::table(world, effect, it),
        ast::Stmt::Truncate(it) => drops::truncate(world, effect, it),
        ast::Stmt::DropView(it) => drops::views(world, effect, it.view_refs(), it.drop_behavior().as_ref()),
        ast::Stmt::DropMaterializedView(it) => {
            drops::views(world, effect, it.view_refs(), it.drop_behavior().as_ref());
        }
        ast::Stmt::DropStatistics(it) => drops::statistics(world, effect, it),
        ast::Stmt::DropTrigger(it) => drops::trigger(world, effect, it),
        ast::Stmt::DropRule(it) => drops::on(world, effect, it.on_relation()),
        ast::Stmt::DropPolicy(it) => create::policy(world, effect, it.on_table()),
        ast::Stmt::AlterTrigger(it) => drops::on(world, effect, it.on_relation()),
        ast::Stmt::AlterRule(it) => drops::on(world, effect, it.on_relation()),
        ast::Stmt::DropSchema(_)
        | ast::Stmt::DropType(_)
        | ast::Stmt::DropFunction(_)
        | ast::Stmt::DropOwned(_)
        | ast::Stmt::DropDomain(_)
        | ast::Stmt::DropExtension(_) => drops::opaque(effect, tree),
        ast::Stmt::AlterView(it) => alter::view(world, effect, it.view_ref()),
        ast::Stmt::AlterMaterializedView(it) => alter::view(world, effect, it.view_ref()),
        ast::Stmt::AlterDomain(it) => alter::domain(effect, it),
        ast::Stmt::Refresh(it) => maintenance::refresh(world, effect, it),
        ast::Stmt::Cluster(it) => maintenance::cluster(world, effect, it),
        ast::Stmt::Vacuum(it) => maintenance::vacuum(world, effect, it),
        ast::Stmt::Analyze(it) => maintenance::analyze(world, effect, it),
        ast::Stmt::CommentOn(it) => maintenance::comment(world, effect, it),
        ast::Stmt::Lock(it) => maintenance::lock(world, effect, it),
        ast::Stmt::Do(_) => effect.unseen("what a DO block locks and changes can't be seen from outside"),
        ast::Stmt::Call(_) => effect.unseen("what a procedure locks and changes can't be seen from outside"),
        ast::Stmt::Copy(it) => rows::copy(world, effect, it),
        ast::Stmt::Select(_)
        | ast::Stmt::Insert(_)
        | ast::Stmt::Update(_)
        | ast::Stmt::Delete(_)
        | ast::Stmt::Merge(_)
        | ast::Stmt::Values(_)
        | ast::Stmt::CompoundSelect(_)
        | ast::Stmt::ParenSelect(_)
        | ast::Stmt::Table(_) => {
            rows::statement(world, effect, tree.syntax());
            rows::functions(world, effect, tree.syntax());
        }
        _ => {}
    }
    if reading.source.script.backfill(&statement.at).is_some() {
        effect.note("runs in batches, each of which holds the locks of its own rows for a moment");
    }
}

/// The kind alone tells the least.
fn unread(world: &World, effect: &mut Effect, reading: &Reading<'_>, statement: &Read<'_>) {
    let mode = match &statement.kind {
        StatementKind::Insert { .. }
        | StatementKind::Update { .. }
        | StatementKind::Delete { .. }
        | StatementKind::Copy { .. } => LockMode::RowExclusive,
        StatementKind::AlterTable { .. }
        | StatementKind::DropTable { .. }
        | StatementKind::Truncate { .. } => LockMode::AccessExclusive,
        StatementKind::CreateIndex { concurrently: false, .. } => LockMode::Share,
        StatementKind::CreateIndex { .. } => LockMode::ShareUpdateExclusive,
        _ => return,
    };
    let found = question::of_kind(&statement.kind).into_iter().filter_map(|name| world.find(&name));
    let found: Vec<u32> = found.filter(|oid| world.is_old(*oid)).collect();
    for oid in &found {
        effect.lock(world, *oid, mode);
    }
    let index = reading.statements.iter().position(|other| std::ptr::eq(other, statement));
    if let Some((_, why)) = reading.unread.iter().find(|(n, _)| Some(*n) == index && !found.is_empty()) {
        effect.note(format!("what else it does is not known: {why}"));
    }
}
