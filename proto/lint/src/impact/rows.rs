//! Statements that read and change rows: locks that block nobody who only reads and writes, but are in the way of DDL; the
//! work that grows with the table; and the triggers.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};
use stopover_model::impact::{LockMode, Work, WorkKind};

use super::effect::Effect;
use super::facts::{ForeignKey, Relation};
use super::names::{calls, name_of, read_relations, relation_of, table_of, word_of, words_of};
use super::triggers::{self, Event};
use super::world::World;

/// Everything below a statement: a WITH may change rows as well.
pub(super) fn statement(world: &World, effect: &mut Effect, node: &SyntaxNode) {
    for node in node.descendants() {
        if let Some(insert) = ast::Insert::cast(node.clone()) {
            self::insert(world, effect, &insert);
        } else if let Some(update) = ast::Update::cast(node.clone()) {
            self::update(world, effect, &update);
        } else if let Some(delete) = ast::Delete::cast(node.clone()) {
            self::delete(world, effect, &delete);
        } else if let Some(merge) = ast::Merge::cast(node) {
            self::merge(world, effect, &merge);
        }
    }
    read(world, effect, node);
    for locking in node.descendants().filter_map(ast::LockingClause::cast) {
        let Some(select) = locking.syntax().parent() else { continue };
        for oid in locked_rows(world, &select, &locking) {
            effect.lock_tree(world, oid, LockMode::RowShare);
        }
    }
}

/// The tables of a query's FOR UPDATE.
fn locked_rows(world: &World, select: &SyntaxNode, locking: &ast::LockingClause) -> Vec<u32> {
    let of: Vec<String> = locking
        .locking_of()
        .map(|of| of.exprs().filter_map(|expr| word_of(&expr)).collect())
        .unwrap_or_default();
    let items = select.descendants().filter_map(ast::RelationFromItem::cast);
    let wanted = items.filter_map(|item| {
        let name = name_of(&item.relation_name_ref()?)?;
        let alias =
            item.alias().and_then(|alias| alias.syntax().descendants().find_map(|n| word_of_kind(&n)));
        let called = alias.unwrap_or_else(|| name.name.clone());
        (of.is_empty() || of.contains(&called)).then_some(name)
    });
    wanted.filter_map(|name| world.find(&name)).collect()
}

fn word_of_kind(node: &SyntaxNode) -> Option<String> {
    let is_leaf = node.first_child().is_none();
    let text = node.text().to_string();
    let bare =
        text.trim().strip_prefix("as ").or_else(|| text.trim().strip_prefix("AS ")).unwrap_or(text.trim());
    is_leaf.then(|| bare.parse::<stopover_model::sql::Name>().ok()).flatten().map(|name| name.name)
}

/// Locks what is read; the tables themselves, seen through views.
pub(super) fn read(world: &World, effect: &mut Effect, node: &SyntaxNode) -> Vec<u32> {
    let found: Vec<u32> = read_relations(node).iter().filter_map(|name| world.find(name)).collect();
    found.into_iter().flat_map(|oid| read_one(world, effect, oid)).collect()
}

pub(super) fn read_one(world: &World, effect: &mut Effect, oid: u32) -> Vec<u32> {
    effect.lock_tree(world, oid, LockMode::AccessShare);
    let Some(relation) = world.relation(oid).filter(|r| r.kind == 'v') else { return vec![oid] };
    relation.reads.iter().flat_map(|seen| read_one(world, effect, seen.oid)).collect()
}

/// Functions that are no part of PostgreSQL may do anything.
pub(super) fn functions(world: &World, effect: &mut Effect, node: &SyntaxNode) {
    for (name, _) in calls(node) {
        let known = |built_in: bool| {
            let named = |f: &&super::facts::Function| {
                f.name == name.name && name.schema.as_ref().is_none_or(|schema| *schema == f.schema)
            };
            world.facts.functions.iter().filter(named).any(|f| f.built_in == built_in && f.volatility == 'v')
        };
        if known(false) && !known(true) {
            effect.unseen(format!("calls {name}(): what it locks and changes can't be seen from outside"));
        }
    }
}

/// The table behind the name; nothing for a view, whose rows are another's.
fn target(world: &World, effect: &mut Effect, oid: u32, tree: bool) -> Option<u32> {
    if tree {
        effect.lock_tree(world, oid, LockMode::RowExclusive);
    } else {
        effect.lock(world, oid, LockMode::RowExclusive);
    }
    let relation = world.relation(oid)?;
    if relation.rules && relation.kind != 'v' {
        effect.unseen(format!("{} has rules, which may do something else instead", relation.shown()));
    }
    if relation.kind != 'v' {
        return Some(oid);
    }
    match relation.reads.as_slice() {
        [one] if relation.triggers.is_empty() => {
            let one = one.oid;
            effect.lock_because(
                world,
                one,
                LockMode::RowExclusive,
                format!("behind the view {}", relation.shown()),
            );
            target(world, effect, one, tree)
        }
        _ => {
            effect.unseen(format!(
                "{} is a view: what it changes can't be seen from outside",
                relation.shown()
            ));
            None
        }
    }
}

fn insert(world: &World, effect: &mut Effect, insert: &ast::Insert) {
    let Some(oid) = insert.relation_name_ref().and_then(|node| world.find(&name_of(&node)?)) else { return };
    let columns = inserted_columns(world, oid, insert);
    let Some(oid) = target(world, effect, oid, false) else { return };
    let rows = match insert.insert_source() {
        Some(ast::InsertSource::SelectVariant(ast::SelectVariant::Values(values))) => {
            Some(values.row_list().map_or(0, |list| list.rows().count() as u64))
        }
        Some(ast::InsertSource::SelectVariant(query)) => read_relations(query.syntax())
            .iter()
            .filter_map(|name| world.find(name))
            .map(|oid| world.size(oid).0)
            .max(),
        Some(ast::InsertSource::DefaultValues(_)) | None => Some(1),
    };
    let rows = rows.unwrap_or(1);
    changes(world, effect, oid, rows);
    added(world, effect, oid, Some(&columns));
    triggers::fire(world, effect, oid, Event::Insert, None);
    let conflict = insert.on_conflict_clause().and_then(|clause| clause.conflict_action());
    if let Some(ast::ConflictAction::ConflictDoUpdateSet(update)) = conflict {
        let changed = set_columns(update.set_clause());
        triggers::fire(world, effect, oid, Event::Update, Some(&changed));
        pointed_to(world, effect, oid, Event::Update, Some(&changed), 0);
    }
}

/// Those that get a value, their own or a default.
fn inserted_columns(world: &World, oid: u32, insert: &ast::Insert) -> Vec<String> {
    let Some(relation) = world.relation(oid) else { return Vec::new() };
    let listed = insert
        .column_target_list()
        .map(|list| words_of(list.column_targets().filter_map(|target| target.name())));
    let given = listed.unwrap_or_else(|| relation.columns.iter().map(|column| column.name.clone()).collect());
    let defaults =
        relation.columns.iter().filter(|column| column.has_default).map(|column| column.name.clone());
    given.into_iter().chain(defaults).collect()
}

/// The relation that an INSERT, UPDATE or DELETE is about.
pub(super) fn changed_by(node: &SyntaxNode) -> Option<stopover_model::sql::Name> {
    if let Some(insert) = ast::Insert::cast(node.clone()) {
        return name_of(&insert.relation_name_ref()?);
    }
    if let Some(update) = ast::Update::cast(node.clone()) {
        return relation_of(&update.relation_name()?).map(|(name, _)| name);
    }
    let delete = ast::Delete::cast(node.clone())?;
    relation_of(&delete.relation_name()?).map(|(name, _)| name)
}

/// So many rows of it, or as many as it has.
fn changes(world: &World, effect: &mut Effect, oid: u32, rows: u64) {
    if world.is_old(oid) {
        let (all, bytes) = world.size(oid);
        let width = bytes.checked_div(all).unwrap_or(100);
        let relation = world.name(oid);
        effect.work(Work { kind: WorkKind::ChangeRows, relation, rows, bytes: rows.saturating_mul(width) });
    }
}

/// New values of the foreign keys are looked up where they point to.
fn added(world: &World, effect: &mut Effect, oid: u32, changed: Option<&[String]>) {
    for oid in world.tree(oid) {
        for key in world.relation(oid).into_iter().flat_map(|r| &r.foreign_keys) {
            let concerned = changed.is_none_or(|changed| changed.iter().any(|c| key.columns.contains(c)));
            if concerned {
                effect.lock_because(world, key.to, LockMode::RowShare, format!("referenced by {}", key.name));
            }
        }
    }
}

fn update(world: &World, effect: &mut Effect, update: &ast::Update) {
    let Some((name, tree)) = update.relation_name().and_then(|node| relation_of(&node)) else { return };
    let Some(oid) = world.find(&name) else { return };
    let Some(oid) = target(world, effect, oid, tree) else { return };
    let changed = set_columns(update.set_clause());
    changed_rows(world, effect, oid, update.where_clause_or_current_of(), update.from_clause().is_some());
    added(world, effect, oid, Some(&changed));
    triggers::fire(world, effect, oid, Event::Update, Some(&changed));
    pointed_to(world, effect, oid, Event::Update, Some(&changed), 0);
}

fn delete(world: &World, effect: &mut Effect, delete: &ast::Delete) {
    let Some((name, tree)) = delete.relation_name().and_then(|node| relation_of(&node)) else { return };
    let Some(oid) = world.find(&name) else { return };
    let Some(oid) = target(world, effect, oid, tree) else { return };
    changed_rows(world, effect, oid, delete.where_clause_or_current_of(), delete.using_clause().is_some());
    triggers::fire(world, effect, oid, Event::Delete, None);
    pointed_to(world, effect, oid, Event::Delete, None, 0);
}

fn changed_rows(
    world: &World,
    effect: &mut Effect,
    oid: u32,
    condition: Option<ast::WhereClauseOrCurrentOf>,
    joins: bool,
) {
    let (all, _) = world.size(oid);
    let one = match condition {
        Some(ast::WhereClauseOrCurrentOf::WhereCurrentOf(_)) => true,
        Some(ast::WhereClauseOrCurrentOf::WhereClause(clause)) if !joins => {
            clause.expr().is_some_and(|expr| world.relation(oid).is_some_and(|r| is_key(r, &expr)))
        }
        _ => false,
    };
    changes(world, effect, oid, if one { all.min(1) } else { all });
}

/// `key = literal`, for a column that is unique by itself.
fn is_key(relation: &Relation, condition: &ast::Expr) -> bool {
    let ast::Expr::BinExpr(both) = condition else { return false };
    let equals = matches!(both.op(), Some(ast::BinOp::Eq(_)));
    let (Some(ast::Expr::NameRef(column)), Some(ast::Expr::Literal(_))) = (both.lhs(), both.rhs()) else {
        return false;
    };
    let column = word_of(&column);
    equals
        && relation.indexes.iter().any(|i| i.unique && !i.partial && i.key.len() == 1 && i.key[0] == column)
}

fn merge(world: &World, effect: &mut Effect, merge: &ast::Merge) {
    let Some((name, tree)) = merge.table_relation_name().and_then(|node| table_of(&node)) else { return };
    let Some(oid) = world.find(&name) else { return };
    let Some(oid) = target(world, effect, oid, tree) else { return };
    changes(world, effect, oid, world.size(oid).0);
    for clause in merge.merge_when_clauses() {
        for node in clause.syntax().descendants() {
            if let Some(update) = ast::MergeUpdate::cast(node.clone()) {
                let changed = set_columns(update.set_clause());
                added(world, effect, oid, Some(&changed));
                triggers::fire(world, effect, oid, Event::Update, Some(&changed));
                pointed_to(world, effect, oid, Event::Update, Some(&changed), 0);
            } else if ast::MergeInsert::can_cast(node.kind()) {
                added(world, effect, oid, None);
                triggers::fire(world, effect, oid, Event::Insert, None);
            } else if ast::MergeDelete::can_cast(node.kind()) {
                triggers::fire(world, effect, oid, Event::Delete, None);
                pointed_to(world, effect, oid, Event::Delete, None, 0);
            }
        }
    }
}

pub(super) fn copy(world: &World, effect: &mut Effect, copy: &ast::Copy) {
    if let Some(query) = copy.copy_query() {
        statement(world, effect, query.syntax());
    }
    let Some(table) = copy.copy_table().and_then(|table| table.table_name_ref()) else { return };
    let Some(oid) = name_of(&table).and_then(|name| world.find(&name)) else { return };
    if matches!(copy.copy_direction(), Some(ast::CopyDirection::CopyTo(_))) {
        effect.lock(world, oid, LockMode::AccessShare);
        return;
    }
    if let Some(oid) = target(world, effect, oid, false) {
        changes(world, effect, oid, 0);
        effect.note("how many rows come in can't be known");
        added(world, effect, oid, None);
        triggers::fire(world, effect, oid, Event::Insert, None);
    }
}

fn set_columns(clause: Option<ast::SetClause>) -> Vec<String> {
    let set =
        clause.and_then(|clause| clause.set_column_list()).into_iter().flat_map(|list| list.set_columns());
    set.flat_map(|column| match column {
        ast::SetColumn::SetSingleColumn(one) => {
            one.column_target().and_then(|target| word_of(&target.name()?)).into_iter().collect()
        }
        ast::SetColumn::SetMultipleColumns(many) => {
            let targets = many.column_target_list().into_iter().flat_map(|list| list.column_targets());
            words_of(targets.filter_map(|target| target.name()))
        }
    })
    .collect()
}

/// The foreign keys of others that point to rows that are deleted, or whose key changes: looked up, or followed.
fn pointed_to(
    world: &World,
    effect: &mut Effect,
    oid: u32,
    event: Event,
    changed: Option<&[String]>,
    depth: u32,
) {
    if depth > 16 {
        return;
    }
    let mut pointed_at = world.ancestors(oid);
    pointed_at.extend(world.tree(oid));
    let pairs = world.facts.relations.iter().flat_map(|r| r.foreign_keys.iter().map(move |key| (r, key)));
    let concerned = pairs.filter(|(_, key)| {
        pointed_at.contains(&key.to)
            && changed.is_none_or(|changed| changed.iter().any(|c| key.to_columns.contains(c)))
    });
    for (other, key) in concerned {
        // The foreign key of a partitioned table stands for those of its partitions.
        if other.partition {
            continue;
        }
        let action = if event == Event::Delete { key.on_delete } else { key.on_update };
        if ForeignKey::acts(action) {
            followed(world, effect, other, key, (event, action), depth);
        } else {
            let why = format!("its {} points here", key.name);
            effect.lock_because(world, other.oid, LockMode::RowShare, why);
        }
        if event == Event::Delete && !is_indexed(other, key) && other.rows > 0 {
            let columns = key.columns.join(", ");
            effect.note(format!(
                "{} has no index on {columns}: it is read as a whole for each row deleted",
                other.shown()
            ));
        }
    }
}

fn followed(
    world: &World,
    effect: &mut Effect,
    other: &Relation,
    key: &ForeignKey,
    (event, action): (Event, char),
    depth: u32,
) {
    let deletes = event == Event::Delete && action == 'c';
    let does = if deletes { "deletes" } else { "changes" };
    for oid in world.tree(other.oid) {
        effect.lock_because(world, oid, LockMode::RowExclusive, format!("{} {does} its rows too", key.name));
    }
    let event = if deletes { Event::Delete } else { Event::Update };
    let changed = (!deletes).then_some(key.columns.as_slice());
    triggers::fire(world, effect, other.oid, event, changed);
    if !deletes && action == 'd' {
        effect.lock_because(world, key.to, LockMode::RowShare, format!("referenced by {}", key.name));
    }
    pointed_to(world, effect, other.oid, event, changed, depth + 1);
}

fn is_indexed(relation: &Relation, key: &ForeignKey) -> bool {
    relation.indexes.iter().any(|index| {
        let first: Vec<_> = index.key.iter().take(key.columns.len()).flatten().collect();
        !index.partial && first.len() == key.columns.len() && key.columns.iter().all(|c| first.contains(&c))
    })
}
