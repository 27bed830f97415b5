//! UPDATE and DELETE, clause by clause.

use super::leaves::leaves;
use super::parts::{Assignment, Condition, condition_between, notes, table_at, unreadable};
use super::statement::{Action, Batchable, Refusal};
use super::tokens::Tokens;

/// Reads an UPDATE whose key word stands at `at`.
pub(super) fn update<'a>(tokens: &Tokens<'a>, at: usize) -> Result<Batchable<'a>, Refusal> {
    let found = table_at(tokens, at + 1).ok_or_else(|| unreadable(tokens, at))?;
    if !tokens.is(found.next, "set") {
        return Err(unreadable(tokens, found.next));
    }
    let set_end = tokens
        .find_at_top(found.next, |i| tokens.is_from_clause(i) || tokens.is_any(i, &["where", "returning"]))
        .unwrap_or(tokens.len());
    if tokens.is_from_clause(set_end) {
        return Err(Refusal::new(
            tokens.start(set_end),
            "an UPDATE ... FROM may find several rows for one, and which of them counts is left to chance",
            "write SET column = (SELECT ... ) with WHERE EXISTS (SELECT ...): a second match is an error then",
        ));
    }
    let condition = condition(tokens, set_end)?;
    let assignments = assignments(tokens, found.next + 1..set_end);
    let leaves = condition.as_ref().is_some_and(|c| leaves(tokens, &assignments, c.tokens.clone()));
    let qualifier = found.qualifier();
    Ok(Batchable {
        text: tokens.text,
        action: Action::Update,
        target: found.table.clone(),
        table: found.table,
        only: found.only,
        qualifier,
        behind_tables: tokens.end(set_end - 1),
        condition: condition.map(|c| c.bytes),
        set: assignments.into_iter().flat_map(|a| a.columns).collect(),
        leaves,
        notes: notes(tokens),
    })
}

/// Reads a DELETE whose key word stands at `at`.
pub(super) fn delete<'a>(tokens: &Tokens<'a>, at: usize) -> Result<Batchable<'a>, Refusal> {
    if !tokens.is(at + 1, "from") {
        return Err(unreadable(tokens, at));
    }
    let found = table_at(tokens, at + 2).ok_or_else(|| unreadable(tokens, at))?;
    let tables_end =
        tokens.find_at_top(found.next, |i| tokens.is_any(i, &["where", "returning"])).unwrap_or(tokens.len());
    let condition = condition(tokens, tables_end)?;
    let mut notes = notes(tokens);
    if condition.is_none() {
        notes.push("it deletes every row; TRUNCATE does that at once, with a short strong lock".to_owned());
    }
    let qualifier = found.qualifier();
    Ok(Batchable {
        text: tokens.text,
        action: Action::Delete,
        target: found.table.clone(),
        table: found.table,
        only: found.only,
        qualifier,
        behind_tables: tokens.end(tables_end - 1),
        // What is deleted is gone, so the condition alone finds what is left. A USING would have to be asked as well.
        leaves: condition.is_some() && !tokens.is(found.next, "using"),
        condition: condition.map(|c| c.bytes),
        set: Vec::new(),
        notes,
    })
}

/// The condition of the WHERE at `at`, if one is there; refuses what may follow it.
fn condition(tokens: &Tokens<'_>, at: usize) -> Result<Option<Condition>, Refusal> {
    let end = tokens.find_at_top(at, |i| tokens.is(i, "returning"));
    if let Some(returning) = end {
        return Err(Refusal::new(
            tokens.start(returning),
            "RETURNING has nobody to read it",
            "remove the RETURNING",
        ));
    }
    if !tokens.is(at, "where") {
        return Ok(None);
    }
    if tokens.is(at + 1, "current") && tokens.is(at + 2, "of") {
        return Err(Refusal::new(
            tokens.start(at + 1),
            "a cursor's current row is one row, in one transaction",
            "write a condition on columns",
        ));
    }
    Ok(Some(condition_between(tokens, at, tokens.len())))
}

fn assignments(tokens: &Tokens<'_>, range: std::ops::Range<usize>) -> Vec<Assignment> {
    let mut found = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let end =
            (at..range.end).find(|i| tokens.depth(*i) == 0 && tokens.symbol(*i, b',')).unwrap_or(range.end);
        let columns = if tokens.symbol(at, b'(') {
            (at + 1..tokens.behind_group(at).min(end)).filter_map(|i| tokens.identifier(i)).collect()
        } else {
            tokens.identifier(at).into_iter().collect()
        };
        let equals = (at..end).find(|i| tokens.depth(*i) == 0 && tokens.symbol(*i, b'=')).unwrap_or(end);
        found.push(Assignment { columns, value: (equals + 1).min(end)..end });
        at = end + 1;
    }
    found
}
