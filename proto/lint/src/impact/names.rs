//! The relations, functions and types that a statement's tree names.

use std::collections::BTreeSet;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};
use stopover_model::sql::Name;

use crate::tree::text;

/// As SQL reads it.
pub(super) fn name_of(node: &impl AstNode) -> Option<Name> {
    text(node).parse().ok()
}

/// A single name: of a column, a constraint.
pub(super) fn word_of(node: &impl AstNode) -> Option<String> {
    name_of(node).map(|name| name.name)
}

/// The constraint's name, which grammar allows a schema.
pub(super) fn words_of<N: AstNode>(nodes: impl Iterator<Item = N>) -> Vec<String> {
    nodes.filter_map(|node| word_of(&node)).collect()
}

/// The relation behind `ONLY`, `*` and brackets, and whether what inherits from it is meant too.
pub(super) fn table_of(node: &ast::TableRelationName) -> Option<(Name, bool)> {
    Some((name_of(&node.table_name_ref()?)?, node.only_token().is_none()))
}

pub(super) fn relation_of(node: &ast::RelationName) -> Option<(Name, bool)> {
    Some((name_of(&node.relation_name_ref()?)?, node.only_token().is_none()))
}

/// The relations that are named anywhere below, whatever for.
pub(super) fn all_relations(node: &SyntaxNode) -> Vec<Name> {
    let is_relation = |kind| {
        matches!(
            kind,
            SyntaxKind::TABLE_NAME_REF
                | SyntaxKind::RELATION_NAME_REF
                | SyntaxKind::VIEW_REF
                | SyntaxKind::INDEX_REF
                | SyntaxKind::STATISTICS_REF
                | SyntaxKind::TABLE_NAME
                | SyntaxKind::VIEW
        )
    };
    let nodes = node.descendants().filter(|n| is_relation(n.kind()));
    let mut names: Vec<Name> = nodes.filter_map(|n| n.text().to_string().trim().parse().ok()).collect();
    let columns = node.descendants().filter_map(ast::ObjectColumn::cast);
    names.extend(columns.filter_map(|column| table_of_column(&column)));
    names
}

/// The table of COMMENT ON COLUMN.
pub(super) fn table_of_column(column: &ast::ObjectColumn) -> Option<Name> {
    let written = text(&column.name()?);
    let mut parts: Vec<&str> = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, c) in written.char_indices() {
        quoted ^= c == '"';
        if c == '.' && !quoted {
            parts.push(&written[start..at]);
            start = at + 1;
        }
    }
    parts.join(".").parse().ok()
}

/// The relations that are read in FROM, USING and TABLE, with the names that WITH gives left out.
pub(super) fn read_relations(node: &SyntaxNode) -> BTreeSet<Name> {
    let common: BTreeSet<String> =
        node.descendants().filter_map(ast::CteName::cast).filter_map(|name| word_of(&name)).collect();
    let from = node.descendants().filter_map(ast::RelationFromItem::cast);
    let from = from.filter_map(|item| name_of(&item.relation_name_ref()?));
    let tables = node.descendants().filter_map(ast::Table::cast);
    let tables = tables.filter_map(|table| relation_of(&table.relation_name()?).map(|(name, _)| name));
    let is_common = |name: &Name| name.schema.is_none() && common.contains(&name.name);
    from.chain(tables).filter(|name| !is_common(name)).collect()
}

/// The functions that are called, each with the number of its arguments.
pub(super) fn calls(node: &SyntaxNode) -> Vec<(Name, i32)> {
    let calls = node.descendants().filter_map(ast::CallExpr::cast);
    let call = |call: ast::CallExpr| {
        let name = name_of(&call.expr()?)?;
        let arguments = call.arg_list().map_or(0, |list| list.args().count());
        Some((name, i32::try_from(arguments).unwrap_or(i32::MAX)))
    };
    calls.filter_map(call).collect()
}
