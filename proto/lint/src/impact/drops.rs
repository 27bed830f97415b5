//! What is dropped or emptied, with what goes along.

use squawk_syntax::ast::{self};
use stopover_model::impact::LockMode;

use super::constraint::lock_referenced;
use super::effect::{Effect, below, lock_named};
use super::names::{name_of, table_of, word_of};
use super::triggers::{self, Event};
use super::world::World;
use crate::tree::text;

const MODE: LockMode = LockMode::AccessExclusive;

pub(super) fn table(world: &mut World, effect: &mut Effect, drop: &ast::DropTable) {
    let cascades = matches!(drop.drop_behavior(), Some(ast::DropBehavior::Cascade(_)));
    let named = drop.table_name_refs().filter_map(|node| world.find(&name_of(&node)?));
    let named: Vec<u32> = named.collect();
    for oid in &named {
        effect.lock(world, *oid, MODE);
        drop_one(world, effect, *oid, cascades);
    }
    for oid in named {
        let gone: Vec<u32> = world.tree(oid);
        for oid in gone {
            world.forget(oid);
        }
    }
}

fn drop_one(world: &World, effect: &mut Effect, oid: u32, cascades: bool) {
    let Some(relation) = world.relation(oid) else { return };
    if relation.kind == 'p' || cascades {
        for child in world.tree(oid).into_iter().filter(|child| *child != oid) {
            effect.lock_because(world, child, MODE, below(world, oid));
        }
    }
    if relation.partition {
        for parent in &relation.parents {
            let why = format!("{} is one of its partitions", relation.shown());
            effect.lock_because(world, *parent, MODE, why);
            let default = world.relation(*parent).and_then(|r| r.default_partition).filter(|d| *d != oid);
            if let Some(default) = default {
                let why = format!("the default partition of {}", world.name(*parent));
                effect.lock_because(world, default, MODE, why);
            }
        }
    }
    for gone in world.tree(oid) {
        let keys = world.relation(gone).into_iter().flat_map(|r| &r.foreign_keys);
        for key in keys.filter(|key| !key.inherited) {
            lock_referenced(world, effect, key.to, MODE, &key.name);
        }
        if cascades {
            for other in world.referencing(gone) {
                for other in world.tree(other) {
                    let why = format!("its foreign key to {} goes", world.name(gone));
                    effect.lock_because(world, other, MODE, why);
                }
            }
            drop_views_of(world, effect, gone);
        }
    }
}

fn drop_views_of(world: &World, effect: &mut Effect, oid: u32) {
    drop_views(world, effect, oid, world.views_of(oid));
}

/// The views that use a column that is dropped.
pub(super) fn drop_views_of_column(world: &World, effect: &mut Effect, oid: u32, column: &str) {
    let sees = |view: &u32| {
        let seen = world.relation(*view).into_iter().flat_map(|r| &r.reads);
        seen.into_iter().any(|seen| seen.oid == oid && seen.columns.iter().any(|c| c == column))
    };
    drop_views(world, effect, oid, world.views_of(oid).into_iter().filter(sees).collect());
}

fn drop_views(world: &World, effect: &mut Effect, oid: u32, mut left: Vec<u32>) {
    let mut seen = Vec::new();
    while let Some(view) = left.pop() {
        if seen.contains(&view) {
            continue;
        }
        seen.push(view);
        effect.lock_because(world, view, MODE, format!("dropped with {}", world.name(oid)));
        left.extend(world.views_of(view));
    }
}

pub(super) fn views(
    world: &mut World,
    effect: &mut Effect,
    views: ast::AstChildren<ast::ViewRef>,
    behavior: Option<&ast::DropBehavior>,
) {
    let found: Vec<u32> = views.filter_map(|node| world.find(&name_of(&node)?)).collect();
    for oid in found {
        effect.lock(world, oid, MODE);
        if matches!(behavior, Some(ast::DropBehavior::Cascade(_))) {
            drop_views_of(world, effect, oid);
        }
        world.forget(oid);
    }
}

pub(super) fn truncate(world: &mut World, effect: &mut Effect, truncate: &ast::Truncate) {
    let cascades = matches!(truncate.drop_behavior(), Some(ast::DropBehavior::Cascade(_)));
    let tables = truncate.table_list().into_iter().flat_map(|list| list.table_relation_names());
    let named: Vec<_> = tables.filter_map(|node| table_of(&node)).collect();
    let mut emptied: Vec<u32> = Vec::new();
    for (name, with_children) in named {
        let Some(oid) = world.find(&name) else { continue };
        let tree = if with_children { world.tree(oid) } else { vec![oid] };
        if with_children {
            effect.lock_tree(world, oid, MODE);
        } else {
            effect.lock(world, oid, MODE);
        }
        emptied.extend(tree);
    }
    let mut at = 0;
    while cascades && at < emptied.len() {
        for other in world.referencing(emptied[at]) {
            for other in world.tree(other) {
                let why = format!("refers to {}, and is emptied too", world.name(emptied[at]));
                effect.lock_because(world, other, MODE, why);
                if !emptied.contains(&other) {
                    emptied.push(other);
                }
            }
        }
        at += 1;
    }
    for oid in emptied {
        triggers::of_statement(world, effect, oid, Event::Truncate, None);
        if let Some(relation) = world.relation_mut(oid) {
            (relation.rows, relation.heap_bytes, relation.index_bytes) = (0, 0, 0);
        }
    }
}

pub(super) fn trigger(world: &mut World, effect: &mut Effect, drop: &ast::DropTrigger) {
    let node = drop.on_relation().and_then(|on| on.relation_name_ref());
    let Some(oid) = node.and_then(|node| world.find(&name_of(&node)?)) else { return };
    let Some(name) = drop.trigger_ref().and_then(|name| word_of(&name)) else { return };
    let known = world.relation(oid).and_then(|r| r.triggers.iter().find(|t| t.name == name)).map(|t| t.oid);
    effect.lock(world, oid, MODE);
    for child in world.tree(oid) {
        let is_copy = world
            .relation(child)
            .is_some_and(|r| r.triggers.iter().any(|t| t.parent.is_some() && t.name == name));
        if child != oid && is_copy {
            effect.lock_because(world, child, MODE, below(world, oid));
        }
        if let Some(relation) = world.relation_mut(child) {
            relation.triggers.retain(|t| Some(t.oid) != known && (t.parent.is_none() || t.name != name));
        }
    }
}

pub(super) fn statistics(world: &World, effect: &mut Effect, drop: &ast::DropStatistics) {
    for name in drop.statistics_refs().filter_map(|node| word_of(&node)) {
        let of = world.facts.relations.iter().find(|r| r.statistics.contains(&name)).map(|r| r.oid);
        if let Some(oid) = of {
            effect.lock_because(world, oid, LockMode::ShareUpdateExclusive, format!("the table of {name}"));
        }
    }
}

/// Rules and triggers that change.
pub(super) fn on(world: &World, effect: &mut Effect, on: Option<ast::OnRelation>) {
    lock_named(world, effect, on.and_then(|on| on.relation_name_ref()), MODE);
}

/// What goes with a schema, a type or a function is known to the database alone.
pub(super) fn opaque(effect: &mut Effect, tree: &ast::Stmt) {
    if text(tree).to_ascii_lowercase().ends_with("cascade") {
        effect.unseen(
            "CASCADE drops, under ACCESS EXCLUSIVE, whatever depends on it; what that is was not looked at",
        );
    }
}
