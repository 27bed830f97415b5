//! Whether a statement can be run in batches without changing what it does in all.

use super::clauses::{delete, unreadable, update};
use super::insert::insert;
use super::statement::{Action, Batchable, Refusal, quoted};
use super::tokens::Tokens;
use crate::sql::Name;

/// Takes a statement's text apart, or says why that can't be done.
pub fn analyse(text: &str) -> Result<Batchable<'_>, Refusal> {
    let tokens = Tokens::of(text);
    let verb = if tokens.is(0, "with") { behind_with(&tokens)? } else { 0 };
    let batchable = if tokens.is(verb, "update") {
        update(&tokens, verb)?
    } else if tokens.is(verb, "delete") {
        delete(&tokens, verb)?
    } else if tokens.is(verb, "insert") {
        insert(&tokens, verb)?
    } else {
        return Err(Refusal::new(
            tokens.start(verb),
            "only an UPDATE, a DELETE and an INSERT ... SELECT can be run in batches",
            "put the directive above such a statement, or remove it",
        ));
    };
    refuse_own_reads(&tokens, &batchable)?;
    Ok(batchable)
}

/// The place of the main verb behind WITH. Its queries run again with each batch, so they must only read.
fn behind_with(tokens: &Tokens<'_>) -> Result<usize, Refusal> {
    let verbs = ["update", "delete", "insert", "merge", "select", "values"];
    let verb = tokens.find_at_top(1, |i| tokens.is_any(i, &verbs)).ok_or_else(|| unreadable(tokens, 0))?;
    let writes = (1..verb).find(|i| {
        let first = tokens.symbol(i.saturating_sub(1), b'(');
        first && tokens.is_any(*i, &["update", "delete", "insert", "merge"])
    });
    match writes {
        None => Ok(verb),
        Some(at) => Err(Refusal::new(
            tokens.start(at),
            "a WITH that writes would write again in every batch",
            "make it a statement of its own before this one",
        )),
    }
}

/// What an earlier batch has changed, a later one would read.
fn refuse_own_reads(tokens: &Tokens<'_>, batchable: &Batchable<'_>) -> Result<(), Refusal> {
    let target = &batchable.target.name;
    // The table that is changed stands behind UPDATE, DELETE FROM or INSERT INTO itself, at the top.
    let own = |at: usize| tokens.depth(at) == 0 && batchable.action != Action::Insert && is_own(tokens, at);
    let mut from = 0;
    while let Some(at) = tokens.reads_table(from..tokens.len(), target) {
        if !own(at) {
            return Err(Refusal::new(
                tokens.start(at),
                format!(
                    "it reads {target} besides changing it: a later batch would see what the earlier ones did"
                ),
                "compute what it needs into a table of its own first, and read that",
            ));
        }
        from = at + 1;
    }
    Ok(())
}

fn is_own(tokens: &Tokens<'_>, at: usize) -> bool {
    let mut first = at;
    if first >= 2 && tokens.symbol(first - 1, b'.') {
        first -= 2;
    }
    if first >= 1 && tokens.is(first - 1, "only") {
        first -= 1;
    }
    first >= 1
        && (tokens.is(first - 1, "update")
            || (first >= 2 && tokens.is(first - 1, "from") && tokens.is(first - 2, "delete")))
}

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
