//! Maintenance commands, and DO.

use super::super::cursor::Cursor;
use super::super::do_block::DoBlock;
use super::super::kind::{ReindexTarget, StatementKind};
use super::subscription::option;

pub(super) fn do_block(at: Cursor<'_>) -> StatementKind {
    StatementKind::Do { language: DoBlock::read(at).language }
}

pub(super) fn cluster(mut at: Cursor<'_>) -> StatementKind {
    at.skip_parentheses();
    at.word("verbose");
    StatementKind::Cluster { table: at.name() }
}

pub(super) fn reindex(mut at: Cursor<'_>) -> Option<StatementKind> {
    let options = at.skip_parentheses().unwrap_or_default();
    let target = match at.peek_word()?.as_str() {
        "INDEX" => ReindexTarget::Index,
        "TABLE" => ReindexTarget::Table,
        "SCHEMA" => ReindexTarget::Schema,
        "DATABASE" => ReindexTarget::Database,
        "SYSTEM" => ReindexTarget::System,
        _ => return None,
    };
    at.next();
    let concurrently = at.word("concurrently") || option(options, "concurrently") == Some(true);
    Some(StatementKind::Reindex { concurrently, target, name: at.name() })
}

pub(super) fn refresh(mut at: Cursor<'_>) -> Option<StatementKind> {
    if !at.words(&["materialized", "view"]) {
        return None;
    }
    let concurrently = at.word("concurrently");
    at.name().map(|name| StatementKind::RefreshMaterializedView { concurrently, name })
}
