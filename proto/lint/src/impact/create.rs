//! What is created, and the older things that it hangs on.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode as _};
use stopover_model::impact::{LockMode, WorkKind};

use super::constraint::{self, Owner};
use super::effect::{Effect, below, lock_named};
use super::facts::{Column, Seen, Trigger};
use super::names::{all_relations, name_of, word_of, words_of};
use super::world::World;
use super::{partition, rows, triggers, types};

pub(super) fn table(world: &mut World, effect: &mut Effect, create: &ast::CreateTable) {
    let Some(name) = create.table_name().and_then(|name| name_of(&name)) else { return };
    if world.find(&name).is_some() && create.if_not_exists().is_some() {
        return;
    }
    let kind = if create.partition_by().is_some() { 'p' } else { 'r' };
    let oid = world.create(&name, kind);
    let mut parents = Vec::new();
    let of = create.partition_of().and_then(|of| of.table_name_ref());
    if let Some(parent) = lock_named(world, effect, of, LockMode::AccessExclusive) {
        partition::default_too(world, effect, parent, None);
        like_its_parent(world, effect, oid, parent);
        parents.push(parent);
    }
    for parent in create.inherits().into_iter().flat_map(|inherits| inherits.table_name_refs()) {
        let parent = lock_named(world, effect, Some(parent), LockMode::ShareUpdateExclusive);
        if let Some(parent) = parent {
            let columns = world.relation(parent).map(|r| r.columns.clone()).unwrap_or_default();
            if let Some(relation) = world.relation_mut(oid) {
                relation.columns.extend(columns);
            }
            parents.push(parent);
        }
    }
    if let Some(relation) = world.relation_mut(oid) {
        relation.partition = create.partition_of().is_some();
        relation.parents = parents;
    }
    for arg in create.table_arg_list().into_iter().flat_map(|list| list.args()) {
        match arg {
            ast::TableArg::Column(column) => add_column(world, effect, oid, &column),
            ast::TableArg::LikeClause(like) => {
                let like = lock_named(world, effect, like.relation_name_ref(), LockMode::AccessShare);
                let columns = like.and_then(|like| world.relation(like)).map(|r| r.columns.clone());
                if let (Some(columns), Some(relation)) = (columns, world.relation_mut(oid)) {
                    relation.columns.extend(columns);
                }
            }
            ast::TableArg::TableConstraint(constraint) => {
                if let Some(constraint) = ast::Constraint::cast(constraint.syntax().clone()) {
                    constraint::add(world, effect, Owner::New(oid, None), &constraint);
                }
            }
        }
    }
}

/// A partition has its parent's columns, and keeps its parent's foreign keys.
fn like_its_parent(world: &mut World, effect: &mut Effect, oid: u32, parent: u32) {
    let Some(above) = world.relation(parent).cloned() else { return };
    for key in &above.foreign_keys {
        constraint::lock_referenced(world, effect, key.to, LockMode::ShareRowExclusive, &key.name);
    }
    partition::lock_referencing(world, effect, parent);
    if let Some(relation) = world.relation_mut(oid) {
        relation.columns = above.columns;
        relation.foreign_keys = above.foreign_keys;
        relation.indexes = above.indexes;
    }
}

fn add_column(world: &mut World, effect: &mut Effect, oid: u32, column: &ast::Column) {
    let Some(name) = column.name().and_then(|name| word_of(&name)) else { return };
    let ty = column.ty().and_then(|ty| types::read(&ty));
    let type_oid = ty.as_ref().and_then(|ty| world.facts.type_named(ty)).map_or(0, |ty| ty.oid);
    let constraints: Vec<ast::Constraint> =
        column.clauses().filter_map(|clause| ast::Constraint::cast(clause.syntax().clone())).collect();
    let not_null = constraints.iter().any(|c| matches!(c, ast::Constraint::NotNullConstraint(_)));
    if let Some(relation) = world.relation_mut(oid) {
        let typmod = ty.map_or(-1, |ty| ty.typmod);
        let column = Column { name: name.clone(), type_oid, typmod, not_null, ..Column::default() };
        relation.columns.push(column);
    }
    for constraint in &constraints {
        constraint::add(world, effect, Owner::New(oid, Some(&name)), constraint);
    }
}

pub(super) fn table_as(world: &mut World, effect: &mut Effect, create: &ast::CreateTableAs) {
    let Some(name) = create.table_name().and_then(|name| name_of(&name)) else { return };
    if world.find(&name).is_some() && create.if_not_exists().is_some() {
        return;
    }
    fill(world, effect, create.syntax(), has_data(create.data_option().as_ref()));
    world.create(&name, 'r');
}

pub(super) fn select_into(world: &mut World, effect: &mut Effect, select: &ast::SelectInto) {
    fill(world, effect, select.syntax(), true);
    if let Some(name) = select.into_clause().and_then(|into| name_of(&into.table_name()?)) {
        world.create(&name, 'r');
    }
}

pub(super) fn materialized_view(
    world: &mut World,
    effect: &mut Effect,
    create: &ast::CreateMaterializedView,
) {
    let Some(name) = create.view().and_then(|name| name_of(&name)) else { return };
    if world.find(&name).is_some() && create.if_not_exists().is_some() {
        return;
    }
    fill(world, effect, create.syntax(), has_data(create.data_option().as_ref()));
    let reads = reads(world, create.syntax());
    let oid = world.create(&name, 'm');
    if let Some(relation) = world.relation_mut(oid) {
        relation.reads = reads;
    }
}

fn has_data(option: Option<&ast::DataOption>) -> bool {
    !matches!(option, Some(ast::DataOption::WithNoData(_)))
}

/// What a query gives is put into something new.
fn fill(world: &World, effect: &mut Effect, query: &SyntaxNode, with_data: bool) {
    for oid in rows::read(world, effect, query) {
        if with_data {
            effect.works_through(world, oid, WorkKind::Scan);
        }
    }
}

fn reads(world: &World, query: &SyntaxNode) -> Vec<Seen> {
    let found = super::names::read_relations(query).into_iter().filter_map(|name| world.find(&name));
    found.map(|oid| Seen { oid, columns: Vec::new() }).collect()
}

pub(super) fn view(world: &mut World, effect: &mut Effect, create: &ast::CreateView) {
    let Some(name) = create.view().and_then(|name| name_of(&name)) else { return };
    let reads = reads(world, create.syntax());
    for seen in &reads {
        effect.lock(world, seen.oid, LockMode::AccessShare);
    }
    let there = world.find(&name).filter(|_| create.or_replace().is_some());
    if let Some(oid) = there {
        effect.lock(world, oid, LockMode::AccessExclusive);
    }
    let oid = there.unwrap_or_else(|| world.create(&name, 'v'));
    if let Some(relation) = world.relation_mut(oid) {
        relation.reads = reads;
    }
}

pub(super) fn trigger(world: &mut World, effect: &mut Effect, create: &ast::CreateTrigger) {
    let node = create.on_relation().and_then(|on| on.relation_name_ref());
    let Some(oid) = lock_named(world, effect, node, LockMode::ShareRowExclusive) else { return };
    let for_each_row = matches!(create.trigger_level(), Some(ast::TriggerLevel::ForEachRow(_)));
    if for_each_row && world.is_partitioned(oid) {
        for child in world.tree(oid).into_iter().filter(|child| *child != oid) {
            effect.lock_because(world, child, LockMode::ShareRowExclusive, below(world, oid));
        }
    }
    let from = create.from_table().and_then(|from| from.table_name_ref());
    lock_named(world, effect, from, LockMode::AccessShare);
    let (Some(name), Some(events)) =
        (create.trigger().and_then(|name| word_of(&name)), create.trigger_event_list())
    else {
        return;
    };
    let mut columns = Vec::new();
    let mut bits = if for_each_row { triggers::ROW } else { 0 };
    for event in events.trigger_events() {
        bits |= match event {
            ast::TriggerEvent::TriggerEventInsert(_) => triggers::INSERT,
            ast::TriggerEvent::TriggerEventDelete(_) => triggers::DELETE,
            ast::TriggerEvent::TriggerEventTruncate(_) => triggers::TRUNCATE,
            ast::TriggerEvent::TriggerEventUpdate(update) => {
                columns.extend(words_of(update.column_name_refs()));
                triggers::UPDATE
            }
        };
    }
    let call = create.call_expr().and_then(|call| name_of(&call.expr()?));
    let function = call.map(|name| name.to_string()).unwrap_or_default();
    let new = Trigger { oid: world.new_oid(), name, bits, enabled: 'O', function, columns, parent: None };
    if let Some(relation) = world.relation_mut(oid) {
        relation.triggers.retain(|known| known.name != new.name);
        relation.triggers.push(new);
    }
}

pub(super) fn rule(world: &mut World, effect: &mut Effect, create: &ast::CreateRule) {
    let node = create.rule_on().and_then(|on| on.relation_name_ref());
    let on = lock_named(world, effect, node, LockMode::AccessExclusive);
    // What its actions name is looked up as if they were run, and left alone.
    let changed = create.syntax().descendants().filter_map(|node| rows::changed_by(&node));
    for oid in changed.filter_map(|name| world.find(&name)) {
        effect.lock(world, oid, LockMode::RowExclusive);
    }
    for name in all_relations(create.syntax()) {
        if let Some(oid) = world.find(&name).filter(|oid| Some(*oid) != on) {
            effect.lock(world, oid, LockMode::AccessShare);
        }
    }
    if let Some(relation) = on.and_then(|oid| world.relation_mut(oid)) {
        relation.rules = true;
    }
}

pub(super) fn policy(world: &World, effect: &mut Effect, on: Option<ast::OnTable>) {
    lock_named(world, effect, on.and_then(|on| on.table_name_ref()), LockMode::AccessExclusive);
}

pub(super) fn statistics(world: &World, effect: &mut Effect, create: &ast::CreateStatistics) {
    let node = create.from_table().and_then(|from| from.table_name_ref());
    lock_named(world, effect, node, LockMode::ShareUpdateExclusive);
}

/// Whatever tables it publishes or no longer does.
pub(super) fn publication(world: &World, effect: &mut Effect, tree: &ast::Stmt) {
    for name in all_relations(tree.syntax()) {
        if let Some(oid) = world.find(&name) {
            effect.lock(world, oid, LockMode::ShareUpdateExclusive);
        }
    }
}
