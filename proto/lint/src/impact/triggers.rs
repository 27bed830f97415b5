//! Which triggers fire.

use squawk_syntax::ast;
use stopover_model::impact::FiringTrigger;

use super::altered::Altered;
use super::effect::Effect;
use super::facts::Trigger;
use super::names::word_of;
use super::world::World;

pub(super) const ROW: i16 = 1;
pub(super) const INSERT: i16 = 4;
pub(super) const DELETE: i16 = 8;
pub(super) const UPDATE: i16 = 16;
pub(super) const TRUNCATE: i16 = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Insert,
    Update,
    Delete,
    Truncate,
}

impl Event {
    fn bit(self) -> i16 {
        match self {
            Self::Insert => INSERT,
            Self::Update => UPDATE,
            Self::Delete => DELETE,
            Self::Truncate => TRUNCATE,
        }
    }
}

impl Trigger {
    fn fires(&self, event: Event, changed: Option<&[String]>) -> bool {
        let of_columns = event != Event::Update
            || self.columns.is_empty()
            || changed.is_none_or(|changed| changed.iter().any(|column| self.columns.contains(column)));
        matches!(self.enabled, 'O' | 'A') && self.bits & event.bit() != 0 && of_columns
    }
}

/// Those of the rows of a table and of what inherits from it, and those of the statement. `changed`: the columns of an
/// UPDATE.
pub(super) fn fire(world: &World, effect: &mut Effect, oid: u32, event: Event, changed: Option<&[String]>) {
    of_statement(world, effect, oid, event, changed);
    let tree = world.tree(oid);
    // Of a trigger of a partitioned table each partition has a copy, which need not be told of again.
    let mut known: Vec<u32> = Vec::new();
    for oid in tree {
        for trigger in world.relation(oid).into_iter().flat_map(|r| &r.triggers) {
            if trigger.bits & ROW == 0 || !trigger.fires(event, changed) {
                continue;
            }
            known.push(trigger.oid);
            if trigger.parent.is_none_or(|parent| !known.contains(&parent)) {
                effect_of(world, effect, oid, trigger);
            }
        }
    }
}

/// Those that fire once.
pub(super) fn of_statement(
    world: &World,
    effect: &mut Effect,
    oid: u32,
    event: Event,
    changed: Option<&[String]>,
) {
    for trigger in world.relation(oid).into_iter().flat_map(|r| &r.triggers) {
        if trigger.bits & ROW == 0 && trigger.fires(event, changed) {
            effect_of(world, effect, oid, trigger);
        }
    }
}

fn effect_of(world: &World, effect: &mut Effect, oid: u32, trigger: &Trigger) {
    if !world.is_old(oid) {
        return;
    }
    effect.fires(FiringTrigger {
        name: trigger.name.clone(),
        table: world.name(oid),
        for_each_row: trigger.bits & ROW != 0,
        function: format!("{}()", trigger.function),
    });
}

/// ENABLE and DISABLE TRIGGER.
pub(super) fn enable(world: &mut World, altered: Altered, target: Option<&ast::TriggerTarget>, to: char) {
    let name = match target {
        Some(ast::TriggerTarget::TriggerRef(name)) => word_of(name),
        _ => None,
    };
    let Some(relation) = world.relation_mut(altered.oid) else { return };
    let meant = |trigger: &&mut Trigger| name.as_ref().is_none_or(|name| trigger.name == *name);
    let meant: Vec<u32> = relation.triggers.iter_mut().filter(meant).map(|trigger| trigger.oid).collect();
    for oid in world.tree(altered.oid) {
        let triggers = world.relation_mut(oid).into_iter().flat_map(|r| &mut r.triggers);
        triggers
            .filter(|t| meant.contains(&t.oid) || t.parent.is_some_and(|parent| meant.contains(&parent)))
            .for_each(|t| t.enabled = to);
    }
}
