//! Partitions that come and go.

use squawk_syntax::ast;
use stopover_model::impact::{LockMode, WorkKind};

use super::effect::{Effect, lock_named};
use super::world::World;

pub(super) fn detach_mode(detach: &ast::DetachPartition) -> LockMode {
    match detach.detach_partition_option() {
        Some(_) => LockMode::ShareUpdateExclusive,
        None => LockMode::AccessExclusive,
    }
}

pub(super) fn attach(world: &mut World, effect: &mut Effect, parent: u32, attach: &ast::AttachPartition) {
    let mode = LockMode::AccessExclusive;
    let Some(child) = lock_named(world, effect, attach.table_name_ref(), mode) else { return };
    for below in world.tree(child).into_iter().filter(|oid| *oid != child) {
        effect.lock_because(world, below, mode, super::effect::below(world, child));
    }
    effect.works_through(world, child, WorkKind::Scan);
    if world.relation(child).is_some_and(|r| !r.checks.is_empty()) {
        effect.note("its rows are not read where a valid CHECK constraint proves that they belong there");
    }
    let is_default = matches!(attach.partition_type(), Some(ast::PartitionType::PartitionDefault(_)));
    default_too(world, effect, parent, Some(child));
    lock_referencing(world, effect, parent);
    let Some(above) = world.relation(parent).cloned() else { return };
    for key in &above.foreign_keys {
        let has = world
            .relation(child)
            .is_some_and(|r| r.foreign_keys.iter().any(|k| k.to == key.to && k.columns == key.columns));
        if !has {
            let mode = LockMode::ShareRowExclusive;
            effect.lock_because(world, key.to, mode, format!("referenced by {}", key.name));
        }
    }
    let Some(relation) = world.relation_mut(child) else { return };
    relation.parents.push(parent);
    relation.partition = true;
    let missing = |index: &&super::facts::Index| {
        !relation.indexes.iter().any(|own| own.key == index.key && (own.unique || !index.unique))
    };
    let missing = above.indexes.iter().filter(missing).count();
    if missing > 0 {
        effect.works_through(world, child, WorkKind::BuildIndex);
    }
    if is_default && let Some(above) = world.relation_mut(parent) {
        above.default_partition = Some(child);
    }
}

/// A new partition may want rows that are in the default one.
pub(super) fn default_too(world: &World, effect: &mut Effect, parent: u32, new: Option<u32>) {
    let default = world.relation(parent).and_then(|r| r.default_partition).filter(|oid| Some(*oid) != new);
    if let Some(default) = default {
        let why = format!("the default partition of {}", world.name(parent));
        effect.lock_because(world, default, LockMode::AccessExclusive, why);
        effect.works_through(world, default, WorkKind::Scan);
    }
}

/// Foreign keys that point to a partitioned table get, or lose, their triggers on the partition.
pub(super) fn lock_referencing(world: &World, effect: &mut Effect, parent: u32) {
    for other in world.referencing(parent) {
        let why = format!("its foreign key to {}", world.name(parent));
        effect.lock_because(world, other, LockMode::ShareRowExclusive, why);
    }
}

pub(super) fn detach(world: &mut World, effect: &mut Effect, parent: u32, detach: &ast::DetachPartition) {
    let concurrently =
        matches!(detach.detach_partition_option(), Some(ast::DetachPartitionOption::DetachConcurrently(_)));
    let default = world.relation(parent).and_then(|r| r.default_partition);
    // Concurrently it is locked against its readers as well, once those of the whole table have ended.
    let mode = LockMode::AccessExclusive;
    let Some(child) = lock_named(world, effect, detach.table_name_ref(), mode) else { return };
    if let Some(default) = default.filter(|oid| *oid != child && !concurrently) {
        let why = format!("the default partition of {}", world.name(parent));
        effect.lock_because(world, default, LockMode::AccessExclusive, why);
    }
    for other in world.referencing(parent) {
        let why = format!("its foreign key to {}", world.name(parent));
        effect.lock_because(world, other, LockMode::AccessExclusive, why);
        effect.works_through(world, other, WorkKind::Scan);
    }
    // The partition keeps the foreign keys as its own.
    for key in world.relation(parent).into_iter().flat_map(|r| &r.foreign_keys) {
        effect.lock_because(
            world,
            key.to,
            LockMode::ShareRowExclusive,
            format!("referenced by {}", key.name),
        );
    }
    if concurrently {
        effect.note("waits for all who use the partitioned table, without blocking anybody meanwhile");
    }
    if let Some(relation) = world.relation_mut(child) {
        relation.parents.retain(|p| *p != parent);
        relation.partition = false;
    }
}
