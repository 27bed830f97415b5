//! Liquibase's changesets against files of SQL: by the file that holds them, or by an id that is a migration's name or
//! version. Other changesets have no file here, and a key of their own.

use std::collections::BTreeMap;

use super::HistoryRow;
use super::key::{Key, file_stem, stem};
use crate::migration::Migration;

pub(super) fn keys(rows: &[&HistoryRow], migrations: &[Migration]) -> (Vec<Option<Key>>, Vec<Option<Key>>) {
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *ids.entry(row.version.as_deref().unwrap_or_default()).or_default() += 1;
    }
    let meant = |row: &&HistoryRow| {
        let id = row.version.as_deref().unwrap_or_default();
        let file = row.scope.as_deref().map(file_stem);
        let by_name =
            migrations.iter().find(|m| Some(stem(m)) == file || stem(m) == id || m.id.as_str() == id);
        // The id of a changeset is unique in its file only.
        let of_version = |m: &&Migration| stem(m).split('_').next() == Some(id);
        let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        by_name
            .or_else(|| migrations.iter().find(of_version).filter(|_| is_number && ids.get(id) == Some(&1)))
    };
    let own = |row: &&HistoryRow| {
        let parts = [&row.scope, &row.version, &row.name].map(|part| part.as_deref().unwrap_or_default());
        Key::Text(parts.join("\0"))
    };
    let key = |row: &&HistoryRow| Some(meant(row).map_or_else(|| own(row), of_migration));
    (rows.iter().map(key).collect(), migrations.iter().map(|m| Some(of_migration(m))).collect())
}

fn of_migration(migration: &Migration) -> Key {
    Key::Change(migration.id.to_string(), 1)
}
