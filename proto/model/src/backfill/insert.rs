//! INSERT ... SELECT: the batches walk along the first table of its FROM.

use super::parts::{condition_between, notes, table_at, unreadable};
use super::statement::{Action, Batchable, Refusal};
use super::tokens::Tokens;

/// Reads an INSERT whose key word stands at `at`.
pub(super) fn insert<'a>(tokens: &Tokens<'a>, at: usize) -> Result<Batchable<'a>, Refusal> {
    if !tokens.is(at + 1, "into") {
        return Err(unreadable(tokens, at));
    }
    let target = table_at(tokens, at + 2).ok_or_else(|| unreadable(tokens, at))?;
    let select = behind_columns(tokens, target.next);
    if !tokens.is(select, "select") {
        return Err(Refusal::new(
            tokens.start(select),
            "only an INSERT whose rows come from a plain SELECT can be run in batches",
            "write INSERT INTO ... SELECT ... FROM table, without parentheses or WITH around the SELECT",
        ));
    }
    refuse(tokens, select)?;
    let from = tokens.find_at_top(select, |i| tokens.is_from_clause(i)).ok_or_else(|| {
        Refusal::new(
            tokens.start(select),
            "its SELECT reads no table",
            "remove the directive: there is nothing to batch",
        )
    })?;
    let walked = table_at(tokens, from + 1)
        .filter(|found| !tokens.symbol(found.next, b'(') && !tokens.is(from + 1, "lateral"))
        .ok_or_else(|| {
            let hint = "begin the FROM with a table that has a key, and join the rest to it";
            Refusal::new(
                tokens.start(from + 1),
                "the batches walk along the first table of the FROM, and this is none",
                hint,
            )
        })?;
    let end = tokens
        .find_at_top(from, |i| {
            (tokens.is(i, "on") && tokens.is(i + 1, "conflict")) || tokens.is(i, "returning")
        })
        .unwrap_or(tokens.len());
    let filter = tokens.find_at_top(from, |i| i < end && tokens.is(i, "where"));
    let qualifier = walked.qualifier();
    Ok(Batchable {
        text: tokens.text,
        action: Action::Insert,
        target: target.table,
        table: walked.table,
        only: walked.only,
        qualifier,
        condition: filter.map(|at| condition_between(tokens, at, end).bytes),
        behind_tables: tokens.end(filter.unwrap_or(end) - 1),
        set: Vec::new(),
        leaves: false,
        notes: notes(tokens),
    })
}

/// The token behind the list of columns and OVERRIDING.
fn behind_columns(tokens: &Tokens<'_>, at: usize) -> usize {
    let list = tokens.symbol(at, b'(') && !tokens.is_any(at + 1, &["select", "with", "values", "table"]);
    let at = if list { tokens.behind_group(at) } else { at };
    if tokens.is(at, "overriding") { at + 3 } else { at }
}

/// What is computed over all rows can't be computed over some of them.
fn refuse(tokens: &Tokens<'_>, select: usize) -> Result<(), Refusal> {
    let fail = |at: usize, reason: &str, hint: &str| Err(Refusal::new(tokens.start(at), reason, hint));
    for at in (select..tokens.len()).filter(|i| tokens.depth(*i) == 0) {
        let of_distinct = at > 0 && tokens.is_any(at - 1, &["is", "not"]);
        if tokens.is(at, "distinct") && !of_distinct {
            return fail(
                at,
                "DISTINCT would only hold within each batch",
                "write ON CONFLICT DO NOTHING over a unique key",
            );
        }
        if tokens.is_any(at, &["limit", "offset", "fetch"]) {
            return fail(
                at,
                "a LIMIT would hold for each batch anew",
                "write a condition that names the rows",
            );
        }
        if tokens.is_any(at, &["group", "having"]) || is_aggregate(tokens, at) {
            return fail(
                at,
                "an aggregate would be computed over each batch alone",
                "compute it into a table of its own first",
            );
        }
        if tokens.is_any(at, &["over", "window"]) {
            return fail(
                at,
                "a window function would see the rows of its batch alone",
                "compute it into a table of its own first",
            );
        }
        if tokens.is_any(at, &["union", "intersect", "except"]) {
            return fail(
                at,
                "queries that are combined have no one key to walk along",
                "make them statements of their own",
            );
        }
        if tokens.is(at, "order") && tokens.is(at + 1, "by") {
            return fail(
                at,
                "an ORDER BY would only order within each batch",
                "remove it: a table's rows have no order",
            );
        }
        if tokens.is_any(at, &["right", "full"]) && tokens.is_any(at + 1, &["join", "outer"]) {
            return fail(
                at,
                "the join makes rows in which the walked table's key is null",
                "begin the FROM with the other table, and LEFT JOIN",
            );
        }
        if tokens.is(at, "tablesample") {
            return fail(
                at,
                "a sample would be drawn from each batch anew",
                "write a condition that names the rows",
            );
        }
        if tokens.is(at, "returning") {
            return fail(at, "RETURNING has nobody to read it", "remove the RETURNING");
        }
    }
    Ok(())
}

/// The aggregates that come with PostgreSQL (chapter 9.21); of others the database says it before the first batch.
fn is_aggregate(tokens: &Tokens<'_>, at: usize) -> bool {
    const AGGREGATES: &[&str] = &[
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "array_agg",
        "string_agg",
        "json_agg",
        "jsonb_agg",
        "json_object_agg",
        "jsonb_object_agg",
        "bool_and",
        "bool_or",
        "every",
        "bit_and",
        "bit_or",
        "bit_xor",
        "xmlagg",
        "range_agg",
        "any_value",
        "stddev",
        "variance",
    ];
    tokens.is_any(at, AGGREGATES) && tokens.symbol(at + 1, b'(')
}
