//! ALTER TABLE: one lock for all of its actions, the strongest that one of them needs.

use squawk_syntax::ast::{self, AlterTableAction as Action};
use stopover_model::impact::{LockMode, WorkKind};

use super::alter_column as column;
use super::altered::Altered;
use super::constraint::{self, Owner};
use super::effect::{Effect, lock_named};
use super::names::{name_of, table_of, word_of};
use super::partition;
use super::world::World;
use crate::tree::text;

pub(super) fn table(world: &mut World, effect: &mut Effect, alter: &ast::AlterTable) {
    let Some((name, tree)) = alter.table_relation_name().and_then(|node| table_of(&node)) else { return };
    let Some(oid) = world.find(&name) else { return };
    let altered = Altered { oid, tree };
    let actions: Vec<Action> = alter.actions().collect();
    let needs = actions.iter().map(|action| need(world, altered, action)).collect::<Vec<_>>();
    if let Some(mode) = needs.iter().map(|need| need.mode).max() {
        if tree && needs.iter().any(|need| need.tree) {
            effect.lock_tree(world, oid, mode);
        } else {
            effect.lock(world, oid, mode);
        }
    }
    for action in &actions {
        act(world, effect, altered, action);
    }
}

pub(super) fn view(world: &World, effect: &mut Effect, view: Option<ast::ViewRef>) {
    lock_named(world, effect, view, LockMode::AccessExclusive);
}

/// Nobody has asked which tables have columns of a domain.
pub(super) fn domain(effect: &mut Effect, alter: &ast::AlterDomain) {
    use ast::AlterDomainAction as On;
    let checks = match alter.action() {
        Some(On::AddConstraint(added)) => !added.constraint().is_some_and(|c| c.is_not_valid()),
        Some(On::SetNotNull(_) | On::ValidateConstraint(_)) => true,
        _ => false,
    };
    if checks {
        effect.unseen(
            "reads all of each table with a column of this domain, under SHARE, which blocks its writers",
        );
    }
}

/// The lock that an action needs, and whether it goes down to what inherits from the table.
#[derive(Debug, Clone, Copy)]
struct Need {
    mode: LockMode,
    tree: bool,
}

fn need(world: &World, altered: Altered, action: &Action) -> Need {
    use LockMode::{AccessExclusive, ShareRowExclusive, ShareUpdateExclusive};
    let is_partitioned = world.is_partitioned(altered.oid);
    let (mode, tree) = match action {
        Action::AddColumn(_)
        | Action::DropColumn(_)
        | Action::RenameColumn(_)
        | Action::DropConstraint(_)
        | Action::AlterConstraint(_)
        | Action::RenameConstraint(_) => (AccessExclusive, true),
        Action::AlterColumn(alter) => column::need(alter),
        Action::AddConstraint(added) => match added.constraint() {
            Some(ast::Constraint::ForeignKeyConstraint(_)) => (ShareRowExclusive, is_partitioned),
            Some(ast::Constraint::CheckConstraint(_) | ast::Constraint::NotNullConstraint(_)) => {
                (AccessExclusive, true)
            }
            // The partitions' indexes are built under weaker locks, unless their columns become NOT NULL.
            Some(ast::Constraint::PrimaryKeyConstraint(key)) => {
                (AccessExclusive, constraint::makes_not_null(world, altered.oid, &key))
            }
            _ => (AccessExclusive, false),
        },
        Action::ValidateConstraint(_) => (ShareUpdateExclusive, true),
        Action::EnableTrigger(_)
        | Action::DisableTrigger(_)
        | Action::EnableAlwaysTrigger(_)
        | Action::EnableReplicaTrigger(_) => (ShareRowExclusive, is_partitioned),
        Action::SetOptions(set) => (options(set.attribute_list()), false),
        Action::ResetOptions(reset) => (options(reset.attribute_list()), false),
        Action::ClusterOn(_) | Action::SetWithoutCluster(_) | Action::AttachPartition(_) => {
            (ShareUpdateExclusive, false)
        }
        Action::DetachPartition(detach) => (partition::detach_mode(detach), false),
        _ => (AccessExclusive, false),
    };
    Need { mode, tree }
}

/// Those that autovacuum and the planner look at later do not disturb anybody now.
fn options(list: Option<ast::AttributeList>) -> LockMode {
    let strong = ["user_catalog_table", "security_barrier", "security_invoker", "check_option"];
    let written = list.map(|list| text(&list).to_ascii_lowercase()).unwrap_or_default();
    if strong.iter().any(|option| written.contains(option)) {
        LockMode::AccessExclusive
    } else {
        LockMode::ShareUpdateExclusive
    }
}

fn act(world: &mut World, effect: &mut Effect, altered: Altered, action: &Action) {
    let oid = altered.oid;
    match action {
        Action::AddColumn(add) => column::add(world, effect, altered, add),
        Action::DropColumn(drop) => column::drop(world, effect, altered, drop),
        Action::AlterColumn(alter) => column::alter(world, effect, altered, alter),
        Action::RenameColumn(rename) => column::rename(world, altered, rename),
        Action::AddConstraint(add) => {
            if let Some(added) = add.constraint() {
                constraint::add(world, effect, Owner::Table(altered), &added);
            }
        }
        Action::ValidateConstraint(validate) => {
            if let Some(name) = validate.constraint_name_ref().and_then(|name| word_of(&name)) {
                constraint::validate(world, effect, altered, &name);
            }
        }
        Action::DropConstraint(drop) => {
            if let Some(name) = drop.constraint_name_ref().and_then(|name| word_of(&name)) {
                constraint::drop(world, effect, oid, &name);
            }
        }
        Action::RenameConstraint(rename) => constraint::rename(world, oid, rename),
        Action::AttachPartition(attach) => partition::attach(world, effect, oid, attach),
        Action::DetachPartition(detach) => partition::detach(world, effect, oid, detach),
        Action::InheritTable(inherit) => {
            let mode = LockMode::ShareUpdateExclusive;
            let parent = lock_named(world, effect, inherit.table_name_ref(), mode);
            if let (Some(parent), Some(relation)) = (parent, world.relation_mut(oid)) {
                relation.parents.push(parent);
            }
        }
        Action::NoInheritTable(inherit) => {
            let mode = LockMode::AccessShare;
            let parent = lock_named(world, effect, inherit.table_name_ref(), mode);
            if let Some(relation) = world.relation_mut(oid) {
                relation.parents.retain(|known| Some(*known) != parent);
            }
        }
        Action::SetLogged(_) | Action::SetUnlogged(_) | Action::SetAccessMethod(_) => {
            effect.works_on(world, WorkKind::Rewrite, &own(world, oid));
        }
        Action::SetTablespace(_) => {
            effect.works_on(world, WorkKind::Rewrite, &own(world, oid));
            effect.note(
                "the table's files are copied to the other tablespace; its indexes stay where they are",
            );
        }
        Action::DisableTrigger(it) => {
            super::triggers::enable(world, altered, it.trigger_target().as_ref(), 'D');
        }
        Action::EnableTrigger(it) => {
            super::triggers::enable(world, altered, it.trigger_target().as_ref(), 'O');
        }
        Action::TableRenameTo(rename) => {
            if let (Some(name), Some(relation)) =
                (rename.table_name().and_then(|n| word_of(&n)), world.relation_mut(oid))
            {
                relation.name = name;
            }
        }
        Action::SetSchema(set) => {
            if let (Some(name), Some(relation)) =
                (set.schema_ref().and_then(|n| name_of(&n)), world.relation_mut(oid))
            {
                relation.schema = name.name;
            }
        }
        _ => {}
    }
}

/// It, if it has rows of its own.
fn own(world: &World, oid: u32) -> Vec<u32> {
    world.relation(oid).filter(|r| r.has_storage()).map(|r| r.oid).into_iter().collect()
}
