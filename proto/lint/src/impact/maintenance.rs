//! What keeps tables in shape, and what only locks or describes them.

use squawk_syntax::ast;
use stopover_model::impact::{LockMode, WorkKind};

use super::effect::{Effect, below, lock_named};
use super::names::{name_of, relation_of, table_of, table_of_column};
use super::rows;
use super::world::World;

pub(super) fn refresh(world: &World, effect: &mut Effect, refresh: &ast::Refresh) {
    let concurrently = refresh.concurrently_token().is_some();
    let mode = if concurrently { LockMode::Exclusive } else { LockMode::AccessExclusive };
    let Some(oid) = lock_named(world, effect, refresh.view_ref(), mode) else { return };
    if matches!(refresh.data_option(), Some(ast::DataOption::WithNoData(_))) {
        return;
    }
    let kind = if concurrently { WorkKind::ChangeRows } else { WorkKind::Rewrite };
    effect.works_on(world, kind, &[oid]);
    for read in world.relation(oid).map(|r| r.reads.clone()).unwrap_or_default() {
        for table in rows::read_one(world, effect, read.oid) {
            effect.works_through(world, table, WorkKind::Scan);
        }
    }
    if concurrently {
        effect.note("the rows that differ are changed; readers go on meanwhile");
    }
}

pub(super) fn cluster(world: &World, effect: &mut Effect, cluster: &ast::Cluster) {
    let legacy = cluster.cluster_legacy().and_then(|legacy| legacy.on_path()?.table_name_ref());
    let Some(table) = cluster.table_name_ref().or(legacy) else {
        effect.unseen("every table that was clustered before is locked against all and written anew");
        return;
    };
    let Some(oid) = name_of(&table).and_then(|name| world.find(&name)) else { return };
    rewrite_each(world, effect, oid);
}

/// A partitioned table's partitions, each in a transaction of its own.
fn rewrite_each(world: &World, effect: &mut Effect, oid: u32) {
    for stored in partitions(world, oid) {
        if stored == oid {
            effect.lock(world, oid, LockMode::AccessExclusive);
        } else {
            effect.lock_because(world, stored, LockMode::AccessExclusive, below(world, oid));
        }
        effect.works_on(world, WorkKind::Rewrite, &[stored]);
    }
}

/// What is inherited from a plain table is left alone by these commands; by VACUUM, up to PostgreSQL 17.
fn partitions(world: &World, oid: u32) -> Vec<u32> {
    if world.is_partitioned(oid) { world.stored(oid) } else { vec![oid] }
}

pub(super) fn vacuum(world: &World, effect: &mut Effect, vacuum: &ast::Vacuum) {
    let Some(list) = vacuum.table_and_columns_list() else {
        effect.unseen("goes through every table of the database");
        return;
    };
    let tables = list.table_and_columnss().filter_map(|table| table_of(&table.table_relation_name()?));
    for (name, _) in tables {
        let Some(oid) = world.find(&name) else { continue };
        if vacuum.is_full() {
            rewrite_each(world, effect, oid);
            continue;
        }
        effect.lock(world, oid, LockMode::ShareUpdateExclusive);
        let stored = if world.is_since(18) { world.stored(oid) } else { partitions(world, oid) };
        for stored in stored {
            if stored != oid {
                effect.lock_because(world, stored, LockMode::ShareUpdateExclusive, below(world, oid));
            }
            effect.works_on(world, WorkKind::Scan, &[stored]);
        }
    }
}

pub(super) fn analyze(world: &World, effect: &mut Effect, analyze: &ast::Analyze) {
    let Some(list) = analyze.table_and_columns_list() else {
        effect.unseen("reads a part of every table of the database");
        return;
    };
    let tables = list.table_and_columnss().filter_map(|table| table_of(&table.table_relation_name()?));
    for (name, _) in tables {
        let Some(oid) = world.find(&name) else { continue };
        effect.lock(world, oid, LockMode::ShareUpdateExclusive);
        // The rows of what inherits from a plain table count for the whole; from PostgreSQL 18 on it is analyzed itself as well.
        let each = world.is_partitioned(oid) || world.is_since(18);
        let mode = if each { LockMode::ShareUpdateExclusive } else { LockMode::AccessShare };
        for child in world.tree(oid).into_iter().filter(|child| *child != oid) {
            effect.lock_because(world, child, mode, below(world, oid));
        }
        effect.note("reads a part of the rows");
    }
}

pub(super) fn comment(world: &World, effect: &mut Effect, comment: &ast::CommentOn) {
    let mode = LockMode::ShareUpdateExclusive;
    match comment.comment_object() {
        Some(ast::CommentObject::ObjectTable(it)) => {
            lock_named(world, effect, it.table_name_ref(), mode);
        }
        Some(ast::CommentObject::ObjectView(it)) => {
            lock_named(world, effect, it.view_ref(), mode);
        }
        Some(ast::CommentObject::ObjectMaterializedView(it)) => {
            lock_named(world, effect, it.view_ref(), mode);
        }
        Some(ast::CommentObject::ObjectColumn(it)) => {
            if let Some(oid) = table_of_column(&it).and_then(|name| world.find(&name)) {
                effect.lock(world, oid, mode);
            }
        }
        _ => {}
    }
}

pub(super) fn lock(world: &World, effect: &mut Effect, lock: &ast::Lock) {
    let mode = match lock.lock_mode_clause().and_then(|clause| clause.lock_mode()) {
        Some(ast::LockMode::AccessShare(_)) => LockMode::AccessShare,
        Some(ast::LockMode::RowShare(_)) => LockMode::RowShare,
        Some(ast::LockMode::RowExclusive(_)) => LockMode::RowExclusive,
        Some(ast::LockMode::ShareUpdateExclusive(_)) => LockMode::ShareUpdateExclusive,
        Some(ast::LockMode::Share(_)) => LockMode::Share,
        Some(ast::LockMode::ShareRowExclusive(_)) => LockMode::ShareRowExclusive,
        Some(ast::LockMode::Exclusive(_)) => LockMode::Exclusive,
        Some(ast::LockMode::AccessExclusive(_)) | None => LockMode::AccessExclusive,
    };
    for node in lock.relation_list().into_iter().flat_map(|list| list.relation_names()) {
        let Some((name, tree)) = relation_of(&node) else { continue };
        let Some(oid) = world.find(&name) else { continue };
        if tree {
            effect.lock_tree(world, oid, mode);
        } else {
            effect.lock(world, oid, mode);
        }
        // Through a view, what it looks at is locked as well.
        for read in world.relation(oid).filter(|r| r.kind == 'v').map(|r| r.reads.clone()).unwrap_or_default()
        {
            effect.lock_because(world, read.oid, mode, format!("read by {}", world.name(oid)));
        }
    }
}
