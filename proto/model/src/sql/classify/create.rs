//! CREATE and DROP.

use super::super::cursor::Cursor;
use super::super::kind::StatementKind;
use super::subscription;

pub(super) fn create(mut at: Cursor<'_>) -> Option<StatementKind> {
    at.any_word(&["global", "local"]);
    let temporary = at.any_word(&["temp", "temporary"]);
    at.word("unlogged");
    if at.word("table") {
        return create_table(at, temporary);
    }
    let unique = at.word("unique");
    if at.word("index") {
        return create_index(at, unique);
    }
    if at.word("database") {
        return at.identifier().map(|name| StatementKind::CreateDatabase { name });
    }
    if at.word("tablespace") {
        return at.identifier().map(|name| StatementKind::CreateTablespace { name });
    }
    if at.word("subscription") {
        return subscription::create(at);
    }
    if at.word("type") {
        return at.name().map(|name| StatementKind::CreateType { name });
    }
    None
}

fn create_table(mut at: Cursor<'_>, temporary: bool) -> Option<StatementKind> {
    let if_not_exists = at.words(&["if", "not", "exists"]);
    let table = at.name()?;
    let on_commit_drop = temporary && at.has_words(&["on", "commit", "drop"]);
    Some(StatementKind::CreateTable { table, if_not_exists, temporary, on_commit_drop })
}

fn create_index(mut at: Cursor<'_>, unique: bool) -> Option<StatementKind> {
    let concurrently = at.word("concurrently");
    let if_not_exists = at.words(&["if", "not", "exists"]);
    let name = if at.word("on") {
        None
    } else {
        let name = at.name()?;
        at.word("on").then_some(Some(name.name))?
    };
    at.word("only");
    let table = at.name()?;
    Some(StatementKind::CreateIndex { concurrently, unique, if_not_exists, name, table })
}

pub(super) fn drop(mut at: Cursor<'_>) -> Option<StatementKind> {
    if at.word("table") {
        let if_exists = at.words(&["if", "exists"]);
        let tables = at.names();
        return (!tables.is_empty()).then_some(StatementKind::DropTable { if_exists, tables });
    }
    if at.word("index") {
        let concurrently = at.word("concurrently");
        let if_exists = at.words(&["if", "exists"]);
        let names = at.names();
        return (!names.is_empty()).then_some(StatementKind::DropIndex { concurrently, if_exists, names });
    }
    if at.word("database") {
        return dropped(at).map(|name| StatementKind::DropDatabase { name });
    }
    if at.word("tablespace") {
        return dropped(at).map(|name| StatementKind::DropTablespace { name });
    }
    if at.word("subscription") {
        return dropped(at).map(|name| StatementKind::DropSubscription { name });
    }
    None
}

/// The one object that may be dropped at a time.
fn dropped(mut at: Cursor<'_>) -> Option<String> {
    at.words(&["if", "exists"]);
    at.identifier()
}
