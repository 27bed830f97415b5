//! What several kinds of statements are made of: a table with its name in the statement, a condition, an assignment.

use super::statement::Refusal;
use super::tokens::Tokens;
use crate::sql::{Name, quoted};

/// `[ONLY] name [*] [[AS] alias]`.
pub(super) struct TableRef {
    pub(super) table: Name,
    pub(super) only: bool,
    pub(super) alias: Option<String>,
    /// The token behind it.
    pub(super) next: usize,
}

impl TableRef {
    pub(super) fn qualifier(&self) -> String {
        quoted(self.alias.as_deref().unwrap_or(&self.table.name))
    }
}

pub(super) fn table_at(tokens: &Tokens<'_>, mut at: usize) -> Option<TableRef> {
    let only = tokens.is(at, "only");
    at += usize::from(only);
    let mut table = Name { schema: None, name: tokens.identifier(at)? };
    at += 1;
    while tokens.symbol(at, b'.') {
        table = Name { schema: Some(table.name), name: tokens.identifier(at + 1)? };
        at += 2;
    }
    at += usize::from(tokens.symbol(at, b'*'));
    let named = tokens.is(at, "as");
    at += usize::from(named);
    let alias = tokens.identifier(at).filter(|_| named || !tokens.is_any(at, NO_ALIAS));
    at += usize::from(alias.is_some());
    Some(TableRef { table, only, alias, next: at })
}

/// What may follow a table's name without being its alias.
const NO_ALIAS: &[&str] = &[
    "set",
    "using",
    "where",
    "returning",
    "join",
    "inner",
    "left",
    "right",
    "full",
    "cross",
    "natural",
    "on",
    "group",
    "having",
    "window",
    "union",
    "intersect",
    "except",
    "order",
    "limit",
    "offset",
    "fetch",
    "for",
    "tablesample",
    "default",
    "values",
    "select",
    "overriding",
    "with",
];

/// What stands behind WHERE.
pub(super) struct Condition {
    pub(super) bytes: std::ops::Range<usize>,
    pub(super) tokens: std::ops::Range<usize>,
}

/// Of a WHERE at `at`, up to the token `end`.
pub(super) fn condition_between(tokens: &Tokens<'_>, at: usize, end: usize) -> Condition {
    Condition { bytes: tokens.start(at + 1)..tokens.end(end - 1), tokens: at + 1..end }
}

/// `column = value`, or `(columns) = (values)`.
pub(super) struct Assignment {
    pub(super) columns: Vec<String>,
    pub(super) value: std::ops::Range<usize>,
}

/// What differs from one batch to the next without being wrong.
pub(super) fn notes(tokens: &Tokens<'_>) -> Vec<String> {
    let times = [
        "now",
        "current_timestamp",
        "current_date",
        "current_time",
        "localtimestamp",
        "transaction_timestamp",
    ];
    let found = (0..tokens.len())
        .find(|i| tokens.is_any(*i, &times) && (!tokens.is(*i, "now") || tokens.symbol(i + 1, b'(')));
    let note =
        |at| format!("{} is the time of its batch, and so not the same in all rows", tokens.text_of(at));
    found.map(note).into_iter().collect()
}

pub(super) fn unreadable(tokens: &Tokens<'_>, at: usize) -> Refusal {
    Refusal::new(
        tokens.start(at),
        "it is not written as an UPDATE, a DELETE or an INSERT ... SELECT that can be taken apart",
        "remove the directive, or write the statement in its usual form",
    )
}
