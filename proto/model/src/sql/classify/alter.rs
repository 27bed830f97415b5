//! ALTER, and the actions of ALTER TABLE.

use super::super::cursor::Cursor;
use super::super::kind::{AlterAction, StatementKind};
use super::super::lexer::TokenKind;
use super::super::name::Name;
use super::subscription;

pub(super) fn alter(mut at: Cursor<'_>) -> Option<StatementKind> {
    if at.word("table") {
        return alter_table(at);
    }
    if at.word("system") {
        return Some(StatementKind::AlterSystem);
    }
    if at.word("type") {
        return add_value(at);
    }
    if at.word("database") {
        at.name()?;
        return at.words(&["set", "tablespace"]).then_some(StatementKind::AlterDatabaseSetTablespace);
    }
    if at.word("subscription") {
        return subscription::alter(at);
    }
    None
}

fn add_value(mut at: Cursor<'_>) -> Option<StatementKind> {
    let name = at.name()?;
    if !at.words(&["add", "value"]) {
        return None;
    }
    let if_not_exists = at.words(&["if", "not", "exists"]);
    at.string().map(|value| StatementKind::AlterTypeAddValue { name, value, if_not_exists })
}

fn alter_table(mut at: Cursor<'_>) -> Option<StatementKind> {
    if at.words(&["all", "in", "tablespace"]) {
        return None;
    }
    let if_exists = at.words(&["if", "exists"]);
    at.word("only");
    let table = at.name()?;
    at.symbol(b'*');
    let mut actions = Vec::new();
    while !at.is_at_end() {
        if let Some(partition) = detach_concurrently(at) {
            return Some(StatementKind::DetachPartitionConcurrently { table, partition });
        }
        let words = first_words(at);
        actions.push(action(&mut at).unwrap_or(AlterAction::Other { words }));
        while at.next_at_top().is_some_and(|t| t.kind != TokenKind::Symbol(b',')) {}
    }
    Some(StatementKind::AlterTable { table, if_exists, actions })
}

fn detach_concurrently(mut at: Cursor<'_>) -> Option<Name> {
    if !at.words(&["detach", "partition"]) {
        return None;
    }
    let partition = at.name()?;
    at.word("concurrently").then_some(partition)
}

fn action(at: &mut Cursor<'_>) -> Option<AlterAction> {
    if at.word("add") {
        return add(at);
    }
    if at.words(&["drop", "constraint"]) {
        let if_exists = at.words(&["if", "exists"]);
        return at.identifier().map(|name| AlterAction::DropConstraint { name, if_exists });
    }
    if at.word("drop") {
        at.word("column");
        let if_exists = at.words(&["if", "exists"]);
        return at.identifier().map(|column| AlterAction::DropColumn { column, if_exists });
    }
    if at.word("alter") {
        return alter_column(at);
    }
    if at.words(&["validate", "constraint"]) {
        return at.identifier().map(|name| AlterAction::ValidateConstraint { name });
    }
    if at.word("rename") {
        return rename(at);
    }
    if at.words(&["attach", "partition"]) {
        return at.name().map(|partition| AlterAction::AttachPartition { partition });
    }
    if at.words(&["detach", "partition"]) {
        let partition = at.name()?;
        return Some(AlterAction::DetachPartition { partition, finalize: at.word("finalize") });
    }
    None
}

fn add(at: &mut Cursor<'_>) -> Option<AlterAction> {
    let named = at.word("constraint");
    let name = if named { Some(at.identifier()?) } else { None };
    if named || begins_table_constraint(*at) {
        return Some(AlterAction::AddConstraint {
            name,
            not_valid: has_in_action(*at, &["not", "valid"]),
            using_index: has_in_action(*at, &["using", "index"]),
        });
    }
    at.word("column");
    let if_not_exists = at.words(&["if", "not", "exists"]);
    let column = at.identifier()?;
    Some(AlterAction::AddColumn {
        column,
        if_not_exists,
        not_null: has_in_action(*at, &["not", "null"]) || has_in_action(*at, &["primary", "key"]),
        default: default_expression(*at),
    })
}

fn begins_table_constraint(mut at: Cursor<'_>) -> bool {
    if at.any_word(&["check", "unique"]) || at.words(&["primary", "key"]) || at.words(&["foreign", "key"]) {
        return true;
    }
    at.word("exclude") && (at.word("using") || at.symbol(b'('))
}

fn alter_column(at: &mut Cursor<'_>) -> Option<AlterAction> {
    if at.word("constraint") {
        return None;
    }
    at.word("column");
    let column = at.identifier()?;
    if at.words(&["set", "not", "null"]) {
        Some(AlterAction::SetNotNull { column })
    } else if at.words(&["drop", "not", "null"]) {
        Some(AlterAction::DropNotNull { column })
    } else if at.words(&["set", "default"]) {
        Some(AlterAction::SetDefault { column })
    } else if at.words(&["drop", "default"]) {
        Some(AlterAction::DropDefault { column })
    } else if at.word("type") || at.words(&["set", "data", "type"]) {
        Some(AlterAction::SetType { column })
    } else {
        None
    }
}

fn rename(at: &mut Cursor<'_>) -> Option<AlterAction> {
    if at.word("to") {
        return at.identifier().map(|to| AlterAction::RenameTo { to });
    }
    if at.word("constraint") {
        return None;
    }
    at.word("column");
    let from = at.identifier()?;
    if !at.word("to") {
        return None;
    }
    at.identifier().map(|to| AlterAction::RenameColumn { from, to })
}

/// Whether these key words follow each other before the comma that ends the action.
fn has_in_action(mut at: Cursor<'_>, words: &[&str]) -> bool {
    loop {
        if at.words(words) {
            return true;
        }
        if at.skip_parentheses().is_none() && at.next().is_none_or(|t| t.kind == TokenKind::Symbol(b',')) {
            return false;
        }
    }
}

/// What stands behind DEFAULT, up to the next column constraint.
fn default_expression(mut at: Cursor<'_>) -> Option<String> {
    const ENDS: [&str; 11] = [
        "not",
        "null",
        "unique",
        "primary",
        "check",
        "references",
        "constraint",
        "generated",
        "deferrable",
        "initially",
        "collate",
    ];
    while !at.word("default") {
        if at.skip_parentheses().is_none() && at.next().is_none_or(|t| t.kind == TokenKind::Symbol(b',')) {
            return None;
        }
    }
    let expression = at.rest();
    let first = at.peek()?;
    let mut end = 0;
    while let Some(token) = at.peek() {
        let text = at.text(token);
        let is_end = ENDS.iter().any(|word| text.eq_ignore_ascii_case(word));
        if token.kind == TokenKind::Symbol(b',')
            || (token != first && token.kind == TokenKind::Word && is_end)
        {
            break;
        }
        if at.skip_parentheses().is_none() {
            at.next();
        }
        end = at.position() - first.start;
    }
    Some(expression[..end].to_owned()).filter(|text| !text.is_empty())
}

fn first_words(mut at: Cursor<'_>) -> String {
    let mut words = Vec::new();
    while let Some(word) = at.peek_word().filter(|_| words.len() < 3) {
        words.push(word);
        at.next();
    }
    words.join(" ")
}
