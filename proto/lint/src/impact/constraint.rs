//! Constraints: which are checked at once, and whom else they lock.

use squawk_syntax::ast::{self, AstNode as _};
use stopover_model::impact::{LockMode, WorkKind};
use stopover_model::sql::Name;

use super::altered::{Altered, tree};
use super::effect::{Effect, below};
use super::facts::{Check, ForeignKey, Index};
use super::names::{name_of, word_of, words_of};
use super::world::World;
use crate::tree::text;

/// Whose constraint it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner<'a> {
    Table(Altered),
    /// Written behind a column that is added.
    Column(Altered, NewColumn<'a>),
    /// Of a table that is created.
    New(u32, Option<&'a str>),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct NewColumn<'a> {
    pub(super) name: &'a str,
    pub(super) has_default: bool,
}

impl Owner<'_> {
    fn altered(self) -> Altered {
        match self {
            Self::Table(altered) | Self::Column(altered, _) => altered,
            Self::New(oid, _) => Altered { oid, tree: false },
        }
    }

    fn column(self) -> Option<String> {
        match self {
            Self::Table(_) => None,
            Self::Column(_, column) => Some(column.name.to_owned()),
            Self::New(_, column) => column.map(str::to_owned),
        }
    }
}

pub(super) fn add(world: &mut World, effect: &mut Effect, owner: Owner<'_>, constraint: &ast::Constraint) {
    let name = constraint.constraint_name().and_then(|name| word_of(&name));
    let valid = !constraint.is_not_valid();
    match constraint {
        ast::Constraint::CheckConstraint(check) => add_check(world, effect, owner, name, check, valid),
        ast::Constraint::ForeignKeyConstraint(key) => {
            let columns =
                key.from_columns().map(|list| words_of(list.column_name_refs())).unwrap_or_default();
            let to_columns =
                key.to_columns().map(|list| words_of(list.column_name_refs())).unwrap_or_default();
            let to = key.table_name_ref().and_then(|node| name_of(&node));
            let actions = key.referential_actions();
            let new = NewKey { name, columns, to, to_columns, valid, actions: actions.collect() };
            add_foreign_key(world, effect, owner, &new);
        }
        ast::Constraint::ReferencesConstraint(key) => {
            let to = key.table().and_then(|node| name_of(&node));
            let to_columns = key.column().and_then(|column| word_of(&column)).into_iter().collect();
            let columns = owner.column().into_iter().collect();
            let actions = key.referential_actions();
            let new = NewKey { name, columns, to, to_columns, valid, actions: actions.collect() };
            add_foreign_key(world, effect, owner, &new);
        }
        ast::Constraint::UniqueConstraint(unique) => {
            let using = unique.using_index().and_then(|using| name_of(&using.index_ref()?));
            add_index(
                world,
                effect,
                owner,
                name,
                columns_of(owner, unique.index_parameters()),
                "key",
                using.as_ref(),
            );
        }
        ast::Constraint::PrimaryKeyConstraint(key) => {
            let using = key.using_index().and_then(|using| name_of(&using.index_ref()?));
            add_index(
                world,
                effect,
                owner,
                name,
                columns_of(owner, key.index_parameters()),
                "pkey",
                using.as_ref(),
            );
        }
        ast::Constraint::ExcludeConstraint(exclude) => {
            let expressions = exclude.constraint_exclusion_list();
            let expressions = expressions.into_iter().flat_map(|list| list.constraint_exclusions());
            let columns = expressions.filter_map(|e| word_of(&e.expr()?)).collect();
            add_index(world, effect, owner, name, columns, "excl", None);
        }
        _ => {}
    }
}

fn columns_of(owner: Owner<'_>, parameters: Option<ast::IndexParameters>) -> Vec<String> {
    let listed = parameters.and_then(|parameters| parameters.column_list());
    match listed {
        Some(list) => words_of(list.column_name_refs()),
        None => owner.column().into_iter().collect(),
    }
}

fn add_check(
    world: &mut World,
    effect: &mut Effect,
    owner: Owner<'_>,
    name: Option<String>,
    check: &ast::CheckConstraint,
    valid: bool,
) {
    let altered = owner.altered();
    if valid {
        effect.works_on(world, WorkKind::Scan, &stored(world, altered));
    }
    let expr = check.expr().map(|expr| text(&expr)).unwrap_or_default();
    let used = check.syntax().descendants().filter_map(ast::NameRef::cast);
    let columns = words_of(used);
    let table = world.relation(altered.oid).map(|r| r.name.clone()).unwrap_or_default();
    let name = name.unwrap_or_else(|| match columns.first() {
        Some(column) => format!("{table}_{column}_check"),
        None => format!("{table}_check"),
    });
    for oid in tree(world, altered) {
        if let Some(relation) = world.relation_mut(oid) {
            let definition = format!("CHECK ({})", normal(&expr));
            relation.checks.push(Check { name: name.clone(), valid, columns: columns.clone(), definition });
        }
    }
}

/// In the case and spacing of `pg_get_constraintdef`, as far as NOT NULL needs it.
fn normal(expr: &str) -> String {
    let words = expr.split_whitespace().map(|word| match word.to_ascii_uppercase() {
        upper if matches!(upper.as_str(), "IS" | "NOT" | "NULL" | "NULL)" | "AND" | "OR") => upper,
        _ if word.contains('"') => word.to_owned(),
        _ => word.to_ascii_lowercase(),
    });
    words.collect::<Vec<_>>().join(" ")
}

struct NewKey {
    name: Option<String>,
    columns: Vec<String>,
    to: Option<Name>,
    to_columns: Vec<String>,
    valid: bool,
    actions: Vec<ast::ReferentialAction>,
}

fn add_foreign_key(world: &mut World, effect: &mut Effect, owner: Owner<'_>, new: &NewKey) {
    let altered = owner.altered();
    let table = world.relation(altered.oid).map(|r| r.name.clone()).unwrap_or_default();
    let name = new.name.clone().unwrap_or_else(|| format!("{table}_{}_fkey", new.columns.join("_")));
    let Some(to) = new.to.as_ref().and_then(|to| world.find(to)) else { return };
    if to != altered.oid {
        lock_referenced(world, effect, to, LockMode::ShareRowExclusive, &name);
    }
    // A new column without a default is NULL everywhere, and refers to nothing.
    let checked = match owner {
        Owner::Table(_) => new.valid,
        Owner::Column(_, column) => column.has_default && new.valid,
        Owner::New(..) => false,
    };
    if checked {
        effect.works_on(world, WorkKind::Scan, &stored(world, altered));
    }
    let action = |on_delete: bool| {
        let found = new.actions.iter().find_map(|action| match action {
            ast::ReferentialAction::OnDeleteAction(it) if on_delete => it.ref_action(),
            ast::ReferentialAction::OnUpdateAction(it) if !on_delete => it.ref_action(),
            _ => None,
        });
        match found {
            Some(ast::RefAction::Cascade(_)) => 'c',
            Some(ast::RefAction::SetNullColumns(_)) => 'n',
            Some(ast::RefAction::SetDefaultColumns(_)) => 'd',
            Some(ast::RefAction::Restrict(_)) => 'r',
            Some(ast::RefAction::NoAction(_)) | None => 'a',
        }
    };
    let key = ForeignKey {
        name,
        to,
        valid: new.valid,
        columns: new.columns.clone(),
        to_columns: new.to_columns.clone(),
        on_delete: action(true),
        on_update: action(false),
        inherited: false,
    };
    for oid in tree(world, altered) {
        if let Some(relation) = world.relation_mut(oid) {
            relation.foreign_keys.push(key.clone());
        }
    }
}

/// The table that a foreign key points to, with its partitions.
pub(super) fn lock_referenced(world: &World, effect: &mut Effect, to: u32, mode: LockMode, key: &str) {
    effect.lock_because(world, to, mode, format!("referenced by {key}"));
    if world.is_partitioned(to) {
        for partition in world.tree(to).into_iter().filter(|oid| *oid != to) {
            effect.lock_because(world, partition, mode, format!("referenced by {key}"));
        }
    }
}

fn add_index(
    world: &mut World,
    effect: &mut Effect,
    owner: Owner<'_>,
    name: Option<String>,
    columns: Vec<String>,
    suffix: &str,
    using: Option<&Name>,
) {
    let altered = owner.altered();
    let is_primary = suffix == "pkey";
    let columns = match using.and_then(|using| world.index(using)) {
        Some((_, index)) => index.key.iter().flatten().cloned().collect(),
        None => columns,
    };
    if is_primary {
        become_not_null(world, effect, altered, &columns);
    }
    let builds_below = using.is_none() && world.is_partitioned(altered.oid);
    // The partitions' indexes are built as CREATE INDEX builds them. From PostgreSQL 18 on every constraint locks all that
    // inherits from the table as it does the table.
    let mode = match () {
        () if world.is_since(18) => Some(LockMode::AccessExclusive),
        () if builds_below => Some(LockMode::Share),
        () => None,
    };
    let descendants = world.tree(altered.oid).into_iter().filter(|oid| *oid != altered.oid);
    for (mode, oid) in descendants.filter_map(|oid| Some((mode?, oid))) {
        effect.lock_because(world, oid, mode, below(world, altered.oid));
    }
    if builds_below {
        effect.works_through(world, altered.oid, WorkKind::BuildIndex);
    } else if using.is_none() {
        effect.works_on(world, WorkKind::BuildIndex, &[altered.oid]);
    }
    let table = world.relation(altered.oid).map(|r| r.name.clone()).unwrap_or_default();
    let generated =
        if is_primary { format!("{table}_pkey") } else { format!("{table}_{}_{suffix}", columns.join("_")) };
    let name = name.or(using.map(|using| using.name.clone())).unwrap_or(generated);
    let oid = world.new_oid();
    let Some(relation) = world.relation_mut(altered.oid) else { return };
    relation.indexes.retain(|index| using.is_none_or(|using| index.name != using.name));
    relation.indexes.push(Index {
        oid,
        name,
        key: columns.iter().cloned().map(Some).collect(),
        columns,
        unique: suffix != "excl",
        primary: is_primary,
        partial: false,
        constraint: true,
    });
}

/// The columns of a primary key become NOT NULL, which is checked like SET NOT NULL.
fn become_not_null(world: &mut World, effect: &mut Effect, altered: Altered, columns: &[String]) {
    for oid in world.tree(altered.oid) {
        let Some(relation) = world.relation_mut(oid) else { continue };
        let mut unproven = false;
        for name in columns {
            let proven = relation.checks.iter().any(|check| check.proves_not_null(name));
            let Some(column) = relation.columns.iter_mut().find(|c| c.name == *name) else { continue };
            unproven |= !column.not_null && !proven;
            column.not_null = true;
        }
        if unproven && relation.has_storage() {
            effect.works_on(world, WorkKind::Scan, &[oid]);
        }
    }
}

/// Whether a primary key on these columns changes what inherits from the table.
pub(super) fn makes_not_null(world: &World, oid: u32, key: &ast::PrimaryKeyConstraint) -> bool {
    let columns = key.index_parameters().and_then(|p| p.column_list());
    let columns = columns.map(|list| words_of(list.column_name_refs())).unwrap_or_default();
    let nullable = |oid: &u32| {
        world.relation(*oid).is_some_and(|r| columns.iter().any(|c| r.column(c).is_some_and(|c| !c.not_null)))
    };
    world.tree(oid).iter().any(nullable)
}

pub(super) fn validate(world: &mut World, effect: &mut Effect, altered: Altered, name: &str) {
    for oid in tree(world, altered) {
        let Some(relation) = world.relation(oid) else { continue };
        let check = relation.checks.iter().any(|check| check.name == name && !check.valid);
        let key = relation.foreign_keys.iter().find(|key| key.name == name && !key.valid);
        let to = key.map(|key| key.to);
        if check || to.is_some() {
            effect.works_on(world, WorkKind::Scan, &stored_of(world, oid));
        }
        if let Some(to) = to {
            effect.lock_because(world, to, LockMode::RowShare, format!("referenced by {name}"));
        }
        let Some(relation) = world.relation_mut(oid) else { continue };
        relation.checks.iter_mut().filter(|check| check.name == name).for_each(|check| check.valid = true);
        relation.foreign_keys.iter_mut().filter(|key| key.name == name).for_each(|key| key.valid = true);
    }
}

pub(super) fn drop(world: &mut World, effect: &mut Effect, oid: u32, name: &str) {
    for oid in world.tree(oid) {
        let Some(relation) = world.relation(oid) else { continue };
        for key in relation.foreign_keys.iter().filter(|key| key.name == name) {
            lock_referenced(world, effect, key.to, LockMode::AccessExclusive, name);
        }
        let index = relation.indexes.iter().find(|index| index.name == name).cloned();
        if let Some(index) = index.filter(|index| index.unique) {
            drop_referencing(world, effect, oid, &index.columns);
        }
        let Some(relation) = world.relation_mut(oid) else { continue };
        relation.foreign_keys.retain(|key| key.name != name);
        relation.checks.retain(|check| check.name != name);
        relation.indexes.retain(|index| index.name != name || !index.constraint);
    }
}

/// With the key that they point to go the foreign keys of others (CASCADE; else the statement fails).
fn drop_referencing(world: &mut World, effect: &mut Effect, to: u32, columns: &[String]) {
    for other in world.referencing(to) {
        let name = world.name(to);
        let points = |key: &ForeignKey| key.to == to && key.to_columns.iter().all(|c| columns.contains(c));
        let Some(relation) = world.relation_mut(other) else { continue };
        let before = relation.foreign_keys.len();
        relation.foreign_keys.retain(|key| !points(key));
        if relation.foreign_keys.len() < before {
            effect.lock_because(
                world,
                other,
                LockMode::AccessExclusive,
                format!("its foreign key to {name} goes"),
            );
        }
    }
}

/// The constraints that go with a column.
pub(super) fn drop_those_of(world: &mut World, effect: &mut Effect, oid: u32, column: &str) {
    let Some(relation) = world.relation(oid) else { return };
    let of_it = |columns: &[String]| columns.iter().any(|c| c == column);
    let keys: Vec<(String, u32)> = relation
        .foreign_keys
        .iter()
        .filter(|key| of_it(&key.columns))
        .map(|key| (key.name.clone(), key.to))
        .collect();
    for (name, to) in &keys {
        lock_referenced(world, effect, *to, LockMode::AccessExclusive, name);
    }
    let unique: Vec<Vec<String>> = relation
        .indexes
        .iter()
        .filter(|index| index.unique && of_it(&index.columns))
        .map(|index| index.columns.clone())
        .collect();
    for columns in unique {
        drop_referencing(world, effect, oid, &columns);
    }
    if let Some(relation) = world.relation_mut(oid) {
        relation.foreign_keys.retain(|key| !keys.iter().any(|(name, _)| *name == key.name));
    }
}

/// The foreign keys of a column whose type changes are dropped and made again, on both sides.
pub(super) fn depend_on(world: &World, effect: &mut Effect, oid: u32, column: &str) {
    for oid in world.tree(oid) {
        let Some(relation) = world.relation(oid) else { continue };
        for key in relation.foreign_keys.iter().filter(|key| key.columns.iter().any(|c| c == column)) {
            lock_referenced(world, effect, key.to, LockMode::AccessExclusive, &key.name);
        }
        for other in world.referencing(oid) {
            let keys = world.relation(other).into_iter().flat_map(|r| &r.foreign_keys);
            if keys.into_iter().any(|key| key.to == oid && key.to_columns.iter().any(|c| c == column)) {
                let why = format!("its foreign key to {} is made again", world.name(oid));
                effect.lock_because(world, other, LockMode::AccessExclusive, why);
                effect.works_on(world, WorkKind::Scan, &stored_of(world, other));
            }
        }
    }
}

pub(super) fn rename(world: &mut World, oid: u32, rename: &ast::RenameConstraint) {
    let from = rename.constraint_name_ref().and_then(|name| word_of(&name));
    let (Some(from), Some(to)) = (from, rename.constraint_name().and_then(|name| word_of(&name))) else {
        return;
    };
    for oid in world.tree(oid) {
        let Some(relation) = world.relation_mut(oid) else { continue };
        let checks = relation.checks.iter_mut().map(|check| &mut check.name);
        let keys = relation.foreign_keys.iter_mut().map(|key| &mut key.name);
        let indexes = relation.indexes.iter_mut().map(|index| &mut index.name);
        checks.chain(keys).chain(indexes).filter(|name| **name == from).for_each(|name| to.clone_into(name));
    }
}

fn stored(world: &World, altered: Altered) -> Vec<u32> {
    tree(world, altered).into_iter().flat_map(|oid| stored_of(world, oid)).collect()
}

fn stored_of(world: &World, oid: u32) -> Vec<u32> {
    world.relation(oid).filter(|r| r.has_storage()).map(|r| r.oid).into_iter().collect()
}
