//! Columns that are added, dropped and changed.

use squawk_syntax::ast::{self, AlterColumnOption as To, AstNode as _};
use stopover_model::impact::{LockMode, WorkKind};

use super::altered::{Altered, tree};
use super::constraint::{self, NewColumn, Owner};
use super::effect::Effect;
use super::facts::{Column, Function, Index};
use super::names::{calls, word_of};
use super::types::{self, Change};
use super::world::World;
use crate::tree::text;

pub(super) fn need(alter: &ast::AlterColumn) -> (LockMode, bool) {
    match alter.option() {
        Some(To::SetStatistics(_)) => (LockMode::ShareUpdateExclusive, true),
        Some(To::SetOptions(_) | To::ResetOptions(_) | To::SetOptionsList(_)) => {
            (LockMode::ShareUpdateExclusive, false)
        }
        Some(
            To::AddGenerated(_)
            | To::DropIdentity(_)
            | To::SetGenerated(_)
            | To::SetGeneratedOptions(_)
            | To::SetSequenceOption(_)
            | To::Restart(_)
            | To::SetCompression(_),
        ) => (LockMode::AccessExclusive, false),
        _ => (LockMode::AccessExclusive, true),
    }
}

pub(super) fn add(world: &mut World, effect: &mut Effect, altered: Altered, add: &ast::AddColumn) {
    let Some(name) = add.column_name().and_then(|name| word_of(&name)) else { return };
    let there = world.relation(altered.oid).is_some_and(|r| r.column(&name).is_some());
    if there && add.if_not_exists().is_some() {
        return;
    }
    let constraints: Vec<ast::Constraint> = add.constraints().collect();
    let default = constraints.iter().find_map(|c| match c {
        ast::Constraint::DefaultConstraint(default) => default.expr(),
        _ => None,
    });
    let ty = add.ty().and_then(|ty| types::read(&ty));
    let why = ty.as_ref().and_then(|ty| rewrite_for(world, ty, default.as_ref(), &constraints));
    let has_default = default.is_some_and(|d| !text(&d).eq_ignore_ascii_case("null"));
    let rewrites = why.is_some();
    if let Some(why) = why {
        effect.works_through(world, altered.oid, WorkKind::Rewrite);
        effect.note(why);
    }
    let not_null = constraints.iter().any(|c| {
        matches!(c, ast::Constraint::NotNullConstraint(_) | ast::Constraint::PrimaryKeyConstraint(_))
    });
    if not_null && !has_default && !rewrites {
        effect.works_through(world, altered.oid, WorkKind::Scan);
        effect
            .note(format!("{name} has no default and must not be NULL: this fails unless there are no rows"));
    }
    let found = ty.as_ref().and_then(|ty| world.facts.type_named(ty)).map_or(0, |ty| ty.oid);
    for oid in tree(world, altered) {
        if let Some(relation) = world.relation_mut(oid) {
            let typmod = ty.as_ref().map_or(-1, |ty| ty.typmod);
            let column = Column {
                name: name.clone(),
                type_oid: found,
                typmod,
                not_null,
                has_default,
                ..Column::default()
            };
            relation.columns.push(column);
        }
    }
    let column = NewColumn { name: &name, has_default };
    for constraint in &constraints {
        constraint::add(world, effect, Owner::Column(altered, column), constraint);
    }
}

/// Why a new column gives each row a value of its own, if it does.
fn rewrite_for(
    world: &World,
    ty: &types::TypeName,
    default: Option<&ast::Expr>,
    constraints: &[ast::Constraint],
) -> Option<String> {
    if ty.serial {
        return Some("each row gets a number of its own from the new sequence".to_owned());
    }
    for constraint in constraints {
        let ast::Constraint::GeneratedConstraint(generated) = constraint else { continue };
        return match generated.generated_as()? {
            ast::GeneratedAs::GeneratedIdentity(_) => {
                Some("each row gets a number of its own from the new sequence".to_owned())
            }
            ast::GeneratedAs::GeneratedStored(stored)
                if text(&stored).to_ascii_lowercase().ends_with("stored") =>
            {
                Some("each row's value is computed".to_owned())
            }
            ast::GeneratedAs::GeneratedStored(_) => None,
        };
    }
    if world.facts.type_named(ty).is_some_and(|ty| world.facts.is_constrained(ty)) {
        return Some("the domain's constraints are checked for each row".to_owned());
    }
    let volatile = calls(default?.syntax()).into_iter().find(|(name, n)| is_volatile(world, name, *n))?;
    Some(format!("{}() may differ from row to row", volatile.0))
}

fn is_volatile(world: &World, name: &stopover_model::sql::Name, arguments: i32) -> bool {
    let fits = |f: &&Function| {
        f.name == name.name
            && name.schema.as_ref().is_none_or(|schema| *schema == f.schema)
            && (f.least..=f.most).contains(&arguments)
    };
    world.facts.functions.iter().filter(fits).any(|f| f.volatility == 'v')
}

pub(super) fn drop(world: &mut World, effect: &mut Effect, altered: Altered, drop: &ast::DropColumn) {
    let Some(name) = drop.column_name_ref().and_then(|name| word_of(&name)) else { return };
    let mut dropped: Vec<String> = Vec::new();
    for oid in tree(world, altered) {
        constraint::drop_those_of(world, effect, oid, &name);
        if matches!(drop.drop_behavior(), Some(ast::DropBehavior::Cascade(_))) {
            super::drops::drop_views_of_column(world, effect, oid, &name);
        }
        let Some(relation) = world.relation_mut(oid) else { continue };
        let of_it = relation.indexes.iter().filter(|index| index.columns.contains(&name));
        dropped.extend(of_it.filter(|index| !index.constraint).map(|index| index.name.clone()));
        relation.columns.retain(|column| column.name != name);
        relation.indexes.retain(|index| !index.columns.contains(&name));
        relation.checks.retain(|check| !check.columns.contains(&name));
    }
    if !dropped.is_empty() {
        effect.note(format!("drops what indexes the column: {}", dropped.join(", ")));
    }
}

pub(super) fn rename(world: &mut World, altered: Altered, rename: &ast::RenameColumn) {
    let from = rename.column_name_ref().and_then(|name| word_of(&name));
    let (Some(from), Some(to)) = (from, rename.column_name().and_then(|name| word_of(&name))) else { return };
    let change = |name: &mut String| {
        if *name == from {
            to.clone_into(name);
        }
    };
    for oid in tree(world, altered) {
        let Some(relation) = world.relation_mut(oid) else { continue };
        relation.columns.iter_mut().for_each(|column| change(&mut column.name));
        relation.indexes.iter_mut().flat_map(|i| &mut i.columns).for_each(change);
        relation.indexes.iter_mut().flat_map(|i| i.key.iter_mut().flatten()).for_each(change);
        relation.foreign_keys.iter_mut().flat_map(|key| &mut key.columns).for_each(change);
        relation.checks.iter_mut().flat_map(|check| &mut check.columns).for_each(change);
    }
}

pub(super) fn alter(world: &mut World, effect: &mut Effect, altered: Altered, alter: &ast::AlterColumn) {
    let Some(name) = alter.column_name_ref().and_then(|name| word_of(&name)) else { return };
    match alter.option() {
        Some(To::SetNotNull(_)) => set_not_null(world, effect, altered, &name),
        Some(To::DropNotNull(_)) => each(world, altered, &name, |column| column.not_null = false),
        Some(To::SetType(set)) => set_type(world, effect, altered, &name, &set),
        Some(To::SetExpression(_)) => {
            effect.works_through(world, altered.oid, WorkKind::Rewrite);
            effect.note("each row's value is computed anew");
        }
        _ => {}
    }
}

fn set_not_null(world: &mut World, effect: &mut Effect, altered: Altered, name: &str) {
    let needs = |oid: &u32| {
        let relation = world.relation(*oid).filter(|r| r.has_storage());
        relation.is_some_and(|r| {
            r.column(name).is_some_and(|column| !column.not_null)
                && !r.checks.iter().any(|check| check.proves_not_null(name))
        })
    };
    let unproven: Vec<u32> = tree(world, altered).into_iter().filter(needs).collect();
    effect.works_on(world, WorkKind::Scan, &unproven);
    if unproven.is_empty() {
        effect.note("no row is read: it is known already that none is NULL");
    }
    each(world, altered, name, |column| column.not_null = true);
}

fn set_type(world: &mut World, effect: &mut Effect, altered: Altered, name: &str, set: &ast::SetType) {
    let Some(wanted) = set.ty().and_then(|ty| types::read(&ty)) else { return };
    let old = world.relation(altered.oid).and_then(|r| r.column(name)).cloned();
    let change = match &old {
        _ if set.using_expr().is_some_and(|using| computes(&using, name)) => {
            Some(Change::Rewrite("USING computes each value".to_owned()))
        }
        Some(old) => world.facts.change(old, &wanted),
        None => None,
    };
    match change {
        Some(Change::Rewrite(why)) => {
            effect.works_through(world, altered.oid, WorkKind::Rewrite);
            effect.note(why);
        }
        Some(Change::Catalog { indexes_stay }) => stays(world, effect, altered, name, indexes_stay),
        Some(Change::Nothing) => stays(world, effect, altered, name, true),
        None => effect.note("whether the table is written anew can't be told: the types are not known"),
    }
    constraint::depend_on(world, effect, altered.oid, name);
    let ty = world.facts.type_named(&wanted).map(|ty| ty.oid);
    each(world, altered, name, |column| {
        column.type_oid = ty.unwrap_or(0);
        column.typmod = wanted.typmod;
    });
}

/// The rows stay as they are; what depends on the column is made again.
fn stays(world: &World, effect: &mut Effect, altered: Altered, name: &str, indexes_stay: bool) {
    let tree = tree(world, altered);
    for oid in tree {
        let Some(relation) = world.relation(oid).filter(|r| r.has_storage()) else { continue };
        if relation.checks.iter().any(|check| check.columns.iter().any(|c| c == name)) {
            effect.works_on(world, WorkKind::Scan, &[oid]);
        }
        // Of an expression and of a WHERE nobody proves that they stay the same.
        let is_built_again = |index: &Index| {
            index.columns.iter().any(|c| c == name)
                && (!indexes_stay || index.partial || index.key.contains(&None))
        };
        if relation.indexes.iter().any(is_built_again) {
            effect.works_on(world, WorkKind::BuildIndex, &[oid]);
        }
    }
}

/// Whether USING says more than the column itself, with or without a cast.
fn computes(using: &ast::UsingExpr, column: &str) -> bool {
    let mut expr = using.expr();
    loop {
        expr = match expr {
            Some(ast::Expr::CastExpr(cast)) => cast.expr(),
            Some(ast::Expr::ParenExpr(paren)) => paren.expr(),
            Some(ast::Expr::NameRef(name)) => return word_of(&name).as_deref() != Some(column),
            _ => return true,
        };
    }
}

fn each(world: &mut World, altered: Altered, name: &str, change: impl Fn(&mut Column)) {
    for oid in tree(world, altered) {
        let columns = world.relation_mut(oid).into_iter().flat_map(|r| &mut r.columns);
        columns.filter(|column| column.name == name).for_each(&change);
    }
}
