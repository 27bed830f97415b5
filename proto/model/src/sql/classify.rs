//! Finds a statement's kind from its first tokens, and reads only as far as the kind needs.
//!
//! What can't be read as expected becomes [`StatementKind::Other`]: the server will say what is wrong with it.

mod alter;
mod create;
mod maintain;
mod subscription;

use super::copy::{self, CopyInput};
use super::cursor::Cursor;
use super::kind::{CopySource, StatementKind};
use super::lexer::TokenKind;

pub(super) fn classify(text: &str) -> StatementKind {
    let cursor = Cursor::new(text);
    recognised(text, cursor).unwrap_or_else(|| other(cursor))
}

fn recognised(text: &str, mut at: Cursor<'_>) -> Option<StatementKind> {
    let Some(verb) = at.peek_word() else {
        return at.symbol(b'(').then_some(StatementKind::Select);
    };
    at.next();
    match verb.as_str() {
        "BEGIN" => Some(StatementKind::Begin),
        "START" => at.word("transaction").then_some(StatementKind::Begin),
        "COMMIT" | "END" if at.word("prepared") => Some(StatementKind::FinishPrepared),
        "COMMIT" | "END" => Some(StatementKind::Commit),
        "ROLLBACK" | "ABORT" => Some(rollback(at)),
        "SAVEPOINT" | "RELEASE" => Some(StatementKind::Savepoint),
        "PREPARE" => at.word("transaction").then_some(StatementKind::PrepareTransaction),
        "CREATE" => create::create(at),
        "DROP" => create::drop(at),
        "ALTER" => alter::alter(at),
        "SELECT" | "VALUES" | "TABLE" => Some(StatementKind::Select),
        "WITH" => after_with(text, at),
        "INSERT" => insert(at),
        "UPDATE" => update(at),
        "DELETE" => delete(at),
        "TRUNCATE" => truncate(at),
        "COPY" => copy(text, at),
        "LOCK" => lock(at),
        "SET" => set(at),
        "DO" => Some(maintain::do_block(at)),
        "CALL" => at.name().map(|procedure| StatementKind::Call { procedure }),
        "VACUUM" => Some(StatementKind::Vacuum),
        "CLUSTER" => Some(maintain::cluster(at)),
        "REINDEX" => maintain::reindex(at),
        "REFRESH" => maintain::refresh(at),
        "DISCARD" => at.word("all").then_some(StatementKind::DiscardAll),
        _ => None,
    }
}

fn rollback(mut at: Cursor<'_>) -> StatementKind {
    if at.word("prepared") {
        return StatementKind::FinishPrepared;
    }
    at.any_word(&["work", "transaction"]);
    if at.word("to") { StatementKind::Savepoint } else { StatementKind::Rollback }
}

/// The statement behind `WITH name [(columns)] AS [[NOT] MATERIALIZED] (query) [SEARCH ...] [CYCLE ...], ...`.
fn after_with<'a>(text: &'a str, mut at: Cursor<'a>) -> Option<StatementKind> {
    loop {
        // The main verb follows a closed group; before one, the word would be the name of a query.
        while at.skip_parentheses().is_none() {
            at.next()?;
        }
        let next = at.peek()?;
        if next.kind == TokenKind::Symbol(b'(') {
            return Some(StatementKind::Select);
        }
        if ["select", "values", "table", "insert", "update", "delete", "merge"]
            .iter()
            .any(|verb| at.text(next).eq_ignore_ascii_case(verb))
        {
            return recognised(text, at);
        }
    }
}

fn insert(mut at: Cursor<'_>) -> Option<StatementKind> {
    at.word("into");
    at.name().map(|table| StatementKind::Insert { table })
}

fn update(mut at: Cursor<'_>) -> Option<StatementKind> {
    at.word("only");
    let table = at.name()?;
    Some(StatementKind::Update { table, has_where: at.has_words(&["where"]) })
}

fn delete(mut at: Cursor<'_>) -> Option<StatementKind> {
    at.word("from");
    at.word("only");
    let table = at.name()?;
    Some(StatementKind::Delete { table, has_where: at.has_words(&["where"]) })
}

fn truncate(mut at: Cursor<'_>) -> Option<StatementKind> {
    at.word("table");
    let tables = at.names();
    (!tables.is_empty()).then_some(StatementKind::Truncate { tables })
}

fn lock(mut at: Cursor<'_>) -> Option<StatementKind> {
    at.word("table");
    let tables = at.names();
    (!tables.is_empty()).then_some(StatementKind::Lock { tables })
}

fn copy(text: &str, mut at: Cursor<'_>) -> Option<StatementKind> {
    at.word("binary");
    if at.skip_parentheses().is_some() {
        return Some(StatementKind::Copy { table: None, source: CopySource::Out });
    }
    let table = at.name();
    at.skip_parentheses();
    let source = match copy::input_of(text) {
        CopyInput::Lines | CopyInput::Binary => CopySource::Stdin,
        CopyInput::None if at.word("from") => CopySource::Server,
        CopyInput::None => CopySource::Out,
    };
    table.map(|table| StatementKind::Copy { table: Some(table), source })
}

fn set(mut at: Cursor<'_>) -> Option<StatementKind> {
    let local = at.word("local");
    if at.words(&["session", "characteristics"]) {
        return Some(StatementKind::Set { setting: "session characteristics".to_owned(), local });
    }
    if at.words(&["session", "authorization"]) {
        return Some(StatementKind::Set { setting: "session authorization".to_owned(), local });
    }
    at.word("session");
    if at.words(&["time", "zone"]) {
        return Some(StatementKind::Set { setting: "timezone".to_owned(), local });
    }
    let name = at.name()?;
    let setting = match name.schema {
        Some(prefix) => format!("{prefix}.{}", name.name),
        None => name.name,
    };
    Some(StatementKind::Set { setting, local })
}

/// Names the statement by its verb, and by what a CREATE, ALTER or DROP is about.
fn other(mut at: Cursor<'_>) -> StatementKind {
    let Some(verb) = at.peek_word() else {
        return StatementKind::Other { words: at.rest().chars().take(20).collect() };
    };
    at.next();
    let mut words = verb;
    if matches!(words.as_str(), "CREATE" | "ALTER" | "DROP") {
        at.words(&["or", "replace"]);
        while at.any_word(&[
            "global",
            "local",
            "temp",
            "temporary",
            "unlogged",
            "recursive",
            "trusted",
            "procedural",
        ]) {}
        let object = at.peek_word();
        at.next();
        let second = match object.as_deref() {
            Some(
                "MATERIALIZED" | "EVENT" | "FOREIGN" | "TEXT" | "DEFAULT" | "OPERATOR" | "ACCESS" | "USER",
            ) => at.peek_word(),
            _ => None,
        };
        for word in [object, second].into_iter().flatten() {
            words.push(' ');
            words.push_str(&word);
        }
    }
    StatementKind::Other { words }
}

#[cfg(test)]
mod tests;
