//! What a statement creates, so that it can be looked for before and after.

use serde::{Deserialize, Serialize};

use super::kind::{AlterAction, StatementKind};
use super::name::Name;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "object", rename_all = "snake_case")]
pub enum CreatedObject {
    Table {
        table: Name,
    },
    Column {
        table: Name,
        column: String,
    },
    /// An index lives in its table's schema.
    Index {
        table: Name,
        name: String,
    },
}

/// The tables, columns and named indexes that a statement of this kind creates, in order. Temporary tables are left
/// out: nobody can find them later.
#[must_use]
pub fn created_objects(kind: &StatementKind) -> Vec<CreatedObject> {
    match kind {
        StatementKind::CreateTable { table, temporary: false, .. } => {
            vec![CreatedObject::Table { table: table.clone() }]
        }
        StatementKind::CreateIndex { name: Some(name), table, .. } => {
            vec![CreatedObject::Index { table: table.clone(), name: name.clone() }]
        }
        StatementKind::AlterTable { table, actions, .. } => {
            let added = actions.iter().filter_map(|action| match action {
                AlterAction::AddColumn { column, .. } => Some(column.clone()),
                _ => None,
            });
            added.map(|column| CreatedObject::Column { table: table.clone(), column }).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split;

    fn created(sql: &str) -> Vec<CreatedObject> {
        split(sql).unwrap().iter().flat_map(|statement| created_objects(&statement.kind())).collect()
    }

    #[test]
    fn names_tables_columns_and_indexes() {
        let users = Name::unqualified("users");
        let audit = Name { schema: Some("app".into()), name: "Audit".into() };
        assert_eq!(
            created(
                "ALTER TABLE Users ADD COLUMN a int DEFAULT 1, DROP b, ADD IF NOT EXISTS \"C\" text; \
                 CREATE INDEX CONCURRENTLY i ON users (a); CREATE INDEX ON users (a); \
                 CREATE TABLE app.\"Audit\" (id int); CREATE TEMP TABLE t (a int); SELECT 'CREATE TABLE x ()'"
            ),
            [
                CreatedObject::Column { table: users.clone(), column: "a".into() },
                CreatedObject::Column { table: users.clone(), column: "C".into() },
                CreatedObject::Index { table: users, name: "i".into() },
                CreatedObject::Table { table: audit },
            ]
        );
    }
}
