//! Indexes that are built, dropped and built again.

use squawk_syntax::ast::{self, AstNode as _};
use stopover_model::impact::{LockMode, WorkKind};
use stopover_model::sql::Name;

use super::effect::{Effect, below};
use super::facts::Index;
use super::names::{name_of, table_of, word_of};
use super::world::World;

pub(super) fn create(world: &mut World, effect: &mut Effect, create: &ast::CreateIndex) {
    let Some((name, tree)) = create.table_relation_name().and_then(|node| table_of(&node)) else { return };
    let Some(oid) = world.find(&name) else { return };
    let concurrently = create.concurrently_token().is_some();
    let index_name = create.index().and_then(|name| word_of(&name));
    let schema = world.relation(oid).map(|r| r.schema.clone());
    if create.if_not_exists().is_some()
        && let Some(name) = &index_name
    {
        let name = Name { schema: schema.clone(), name: name.clone() };
        if world.index(&name).is_some() || world.find(&name).is_some() {
            effect.lock(world, oid, mode(concurrently));
            return;
        }
    }
    let items: Vec<ast::Expr> = create
        .partition_item_list()
        .into_iter()
        .flat_map(|list| list.partition_items())
        .filter_map(|item| item.expr())
        .collect();
    effect.lock(world, oid, mode(concurrently));
    let is_partitioned = world.is_partitioned(oid);
    if !is_partitioned {
        effect.works_on(world, WorkKind::BuildIndex, &[oid]);
    } else if tree {
        effect.lock_tree(world, oid, mode(concurrently));
        effect.works_through(world, oid, WorkKind::BuildIndex);
    }
    if concurrently {
        effect.note("waits for every transaction that uses the table or is older, blocking nobody meanwhile");
    }
    let key: Vec<Option<String>> = items
        .iter()
        .map(|item| if matches!(item, ast::Expr::NameRef(_)) { word_of(item) } else { None })
        .collect();
    let used = items.iter().flat_map(|item| item.syntax().descendants().filter_map(ast::NameRef::cast));
    let columns: Vec<String> = used.filter_map(|name| word_of(&name)).collect();
    let table = world.relation(oid).map(|r| r.name.clone()).unwrap_or_default();
    let new = Index {
        oid: world.new_oid(),
        name: index_name.unwrap_or_else(|| format!("{table}_{}_idx", columns.join("_"))),
        key,
        columns,
        unique: create.unique_token().is_some(),
        primary: false,
        partial: create.where_clause().is_some(),
        constraint: false,
    };
    if let Some(relation) = world.relation_mut(oid) {
        relation.indexes.push(new);
    }
}

fn mode(concurrently: bool) -> LockMode {
    if concurrently { LockMode::ShareUpdateExclusive } else { LockMode::Share }
}

pub(super) fn drop(world: &mut World, effect: &mut Effect, drop: &ast::DropIndex) {
    let concurrently = drop.concurrently_token().is_some();
    for node in drop.index_refs() {
        let Some(name) = name_of(&node) else { continue };
        let Some((oid, index)) = world.index(&name).map(|(oid, index)| (oid, index.name.clone())) else {
            continue;
        };
        if concurrently {
            effect.lock_because(world, oid, LockMode::ShareUpdateExclusive, format!("the table of {index}"));
            effect.note("waits for every transaction that uses the table, blocking nobody meanwhile");
        } else {
            effect.lock_because(world, oid, LockMode::AccessExclusive, format!("the table of {index}"));
            if world.is_partitioned(oid) {
                for child in world.tree(oid).into_iter().filter(|child| *child != oid) {
                    effect.lock_because(world, child, LockMode::AccessExclusive, below(world, oid));
                }
            }
        }
        if let Some(relation) = world.relation_mut(oid) {
            relation.indexes.retain(|known| known.name != index);
        }
    }
}

/// The index itself is locked, and with it whoever plans a query of its table.
pub(super) fn alter(world: &mut World, effect: &mut Effect, alter: &ast::AlterIndex) {
    use ast::AlterIndexAction as To;
    let Some(name) = alter.index_ref().and_then(|node| name_of(&node)) else { return };
    let Some((table, index)) = world.index(&name).map(|(oid, index)| (oid, index.clone())) else { return };
    if !world.is_old(table) {
        return;
    }
    let shown = shown(world, table, &index.name);
    match alter.action() {
        Some(To::IndexRenameTo(rename)) => {
            effect.lock_named(shown, index.oid, LockMode::ShareUpdateExclusive);
            let to = rename.index().and_then(|name| word_of(&name));
            if let (Some(to), Some(relation)) = (to, world.relation_mut(table)) {
                relation
                    .indexes
                    .iter_mut()
                    .filter(|i| i.oid == index.oid)
                    .for_each(|i| to.clone_into(&mut i.name));
            }
        }
        Some(To::SetTablespace(_)) => {
            effect.lock_named(shown, index.oid, LockMode::AccessExclusive);
            effect.note("the index's file is copied to the other tablespace; its table's queries wait");
        }
        Some(To::AttachIndexPartition(attach)) => {
            effect.lock_named(shown, index.oid, LockMode::ShareUpdateExclusive);
            let child = attach.index_ref().and_then(|node| name_of(&node));
            let child = child.and_then(|name| world.index(&name).map(|(oid, index)| (oid, index.clone())));
            if let Some((oid, child)) = child {
                effect.lock(world, oid, LockMode::AccessShare);
                let shown = self::shown(world, oid, &child.name);
                effect.lock_named(shown, child.oid, LockMode::AccessExclusive);
            }
            effect.lock(world, table, LockMode::AccessShare);
        }
        Some(To::SetOptions(_) | To::ResetOptions(_) | To::AlterSetStatistics(_)) => {
            effect.lock_named(shown, index.oid, LockMode::ShareUpdateExclusive);
        }
        _ => {}
    }
}

fn shown(world: &World, table: u32, index: &str) -> String {
    let schema = world.relation(table).map(|r| r.schema.clone());
    Name { schema, name: index.to_owned() }.to_string()
}

pub(super) fn reindex(world: &World, effect: &mut Effect, reindex: &ast::Reindex) {
    let concurrently = reindex.is_concurrently();
    match reindex.reindex_target() {
        Some(ast::ReindexTarget::ReindexTargetTable(target)) => {
            let found = target.table_name_ref().and_then(|node| name_of(&node));
            let Some(oid) = found.and_then(|name| world.find(&name)) else { return };
            let is_partitioned = world.is_partitioned(oid);
            if is_partitioned {
                // Each partition in a transaction of its own.
                for child in world.stored(oid) {
                    effect.lock_because(world, child, mode(concurrently), below(world, oid));
                    effect.works_on(world, WorkKind::BuildIndex, &[child]);
                }
            } else {
                effect.lock(world, oid, mode(concurrently));
                effect.works_on(world, WorkKind::BuildIndex, &[oid]);
            }
            wait_note(effect, concurrently, "the table's indexes are locked: its queries wait as well");
        }
        Some(ast::ReindexTarget::ReindexTargetIndex(target)) => {
            let name = target.index_ref().and_then(|node| name_of(&node));
            let found = name.and_then(|name| world.index(&name).map(|(oid, index)| (oid, index.clone())));
            let Some((oid, index)) = found else { return };
            if !world.is_old(oid) {
                return;
            }
            let why = format!("the table of {}", index.name);
            effect.lock_because(world, oid, mode(concurrently), why);
            if !concurrently {
                effect.lock_named(shown(world, oid, &index.name), index.oid, LockMode::AccessExclusive);
            }
            effect.works_through(world, oid, WorkKind::BuildIndex);
            wait_note(
                effect,
                concurrently,
                "the index is locked: queries of the table that may use it wait as well",
            );
        }
        Some(_) => {
            let mode = mode(concurrently);
            effect.unseen(format!(
                "every table of the schema or database is locked with {mode} in turn, and gone through"
            ));
        }
        None => {}
    }
}

fn wait_note(effect: &mut Effect, concurrently: bool, otherwise: &str) {
    if concurrently {
        effect.note("waits for every transaction that uses the table, blocking nobody meanwhile");
    } else {
        effect.note(otherwise);
    }
}
