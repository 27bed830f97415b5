//! What a statement makes that ends with its transaction, or with its session.

use super::cursor::{Cursor, decode_identifier};
use super::do_block::strings;
use super::kind::StatementKind;
use super::name::Name;
use super::split::Statement;

/// Something that is gone at the end of the transaction, so that a statement that stands alone makes it for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fleeting {
    /// LOCK TABLE.
    Lock,
    /// `CREATE TEMP TABLE ... ON COMMIT DROP`.
    Table { table: Name },
    /// `CREATE TEMP TABLE ... ON COMMIT DELETE ROWS`: the table stays, what is written into it does not.
    Rows {
        table: Name,
        /// Made with rows in it.
        filled: bool,
    },
    /// `SET LOCAL`.
    Setting,
    /// `SET CONSTRAINTS`.
    Constraints,
    /// `SET TRANSACTION`.
    Modes,
    /// `DECLARE ... CURSOR` without HOLD.
    Cursor,
}

impl Fleeting {
    /// What the statement makes, if it does not outlive its transaction.
    #[must_use]
    pub fn of(statement: &Statement<'_>) -> Option<Self> {
        match statement.kind() {
            StatementKind::Lock { .. } => Some(Self::Lock),
            StatementKind::CreateTable { table, temporary: true, on_commit_drop: true, .. } => {
                Some(Self::Table { table })
            }
            StatementKind::CreateTable { table, temporary: true, .. } => {
                let at = Cursor::new(statement.text);
                let deletes = at.has_words(&["on", "commit", "delete", "rows"]);
                deletes.then(|| Self::Rows { table, filled: is_filled(at) })
            }
            StatementKind::Set { setting, local } => match setting.as_str() {
                "constraints" => Some(Self::Constraints),
                "transaction" => Some(Self::Modes),
                _ if local => Some(Self::Setting),
                _ => None,
            },
            StatementKind::Other { words } if words == "DECLARE" => {
                is_cursor_without_hold(statement.text).then_some(Self::Cursor)
            }
            _ => None,
        }
    }
}

/// Whether the statement changes nothing but the session, and for longer than its transaction: SET, RESET, and
/// `SELECT set_config(...)` as `pg_dump` writes it.
#[must_use]
pub fn is_session_setting(statement: &Statement<'_>) -> bool {
    match statement.kind() {
        StatementKind::Set { local, .. } => !local && Fleeting::of(statement).is_none(),
        StatementKind::Select => sets_config(Cursor::new(statement.text)),
        StatementKind::Other { words } => words == "RESET",
        _ => false,
    }
}

/// Every identifier in the statement, without its schema, also of a string such as the body of a DO block.
#[must_use]
pub fn identifiers(statement: &Statement<'_>) -> Vec<String> {
    let mut found = Vec::new();
    collect(statement.text, &mut found);
    for (_, string) in strings(statement.text) {
        collect(&string, &mut found);
    }
    found
}

fn collect(text: &str, found: &mut Vec<String>) {
    let mut at = Cursor::new(text);
    while let Some(token) = at.next() {
        found.extend(decode_identifier(token, at.text(token)));
    }
}

/// `CREATE TEMP TABLE ... AS query`, which may end in WITH NO DATA.
fn is_filled(at: Cursor<'_>) -> bool {
    ["select", "with", "values", "table", "execute"].iter().any(|word| at.has_words(&["as", word]))
        && !at.has_words(&["with", "no", "data"])
}

fn is_cursor_without_hold(text: &str) -> bool {
    let mut at = Cursor::new(text);
    at.next();
    at.identifier();
    while at.any_word(&["binary", "asensitive", "insensitive", "no", "scroll"]) {}
    at.word("cursor") && !at.words(&["with", "hold"])
}

/// `SELECT [pg_catalog.]set_config(name, value, false)` and nothing else.
fn sets_config(mut at: Cursor<'_>) -> bool {
    at.word("select");
    let function = at.name();
    let ours = function.is_some_and(|function| {
        function.name == "set_config" && function.schema.is_none_or(|schema| schema == "pg_catalog")
    });
    let Some(arguments) = at.skip_parentheses() else { return false };
    ours && at.is_at_end() && last_is_false(Cursor::new(arguments))
}

fn last_is_false(mut at: Cursor<'_>) -> bool {
    let mut last = None;
    while let Some(token) = at.next() {
        last = Some(at.text(token));
    }
    last.is_some_and(|last| last.eq_ignore_ascii_case("false"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split;

    fn fleeting(sql: &str) -> Option<Fleeting> {
        Fleeting::of(&split(sql).unwrap()[0])
    }

    #[test]
    fn what_ends_with_its_transaction() {
        let table = Name::unqualified("t");
        let rows = |filled| Some(Fleeting::Rows { table: table.clone(), filled });
        for (sql, expected) in [
            ("LOCK TABLE t IN SHARE MODE", Some(Fleeting::Lock)),
            ("lock t", Some(Fleeting::Lock)),
            ("CREATE TEMP TABLE t (a int) ON COMMIT DROP", Some(Fleeting::Table { table: table.clone() })),
            ("CREATE TEMP TABLE t (a int) ON COMMIT DELETE ROWS", rows(false)),
            ("CREATE TEMP TABLE t ON COMMIT DELETE ROWS AS SELECT 1", rows(true)),
            ("CREATE TEMP TABLE t ON COMMIT DELETE ROWS AS SELECT 1 WITH NO DATA", rows(false)),
            ("SET LOCAL search_path = app", Some(Fleeting::Setting)),
            ("SET CONSTRAINTS ALL DEFERRED", Some(Fleeting::Constraints)),
            ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", Some(Fleeting::Modes)),
            ("DECLARE c SCROLL CURSOR FOR SELECT 1", Some(Fleeting::Cursor)),
            ("DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", Some(Fleeting::Cursor)),
        ] {
            assert_eq!(fleeting(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_stays() {
        for sql in [
            "CREATE TEMP TABLE t (a int)",
            "CREATE TEMP TABLE t (a int) ON COMMIT PRESERVE ROWS",
            "CREATE TABLE t (a text DEFAULT 'ON COMMIT DROP')",
            "SET search_path = app",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "SELECT 'LOCK TABLE t'",
        ] {
            assert_eq!(fleeting(sql), None, "{sql}");
        }
    }

    #[test]
    fn settings_of_the_session() {
        let is = |sql: &str| is_session_setting(&split(sql).unwrap()[0]);
        for sql in [
            "SET search_path = app",
            "SET ROLE app",
            "RESET ROLE",
            "SELECT pg_catalog.set_config('search_path', '', false)",
            "select set_config ( 'a.b' , 'c' , FALSE )",
        ] {
            assert!(is(sql), "{sql}");
        }
        for sql in [
            "SET LOCAL search_path = app",
            "SET CONSTRAINTS ALL DEFERRED",
            "SET TRANSACTION READ WRITE",
            "SELECT set_config('a.b', 'c', true)",
            "SELECT set_config('a.b', 'c', false), drop_everything()",
            "SELECT app.set_config('a', 'b', false)",
        ] {
            assert!(!is(sql), "{sql}");
        }
    }

    #[test]
    fn a_relation_is_found_as_a_name_and_in_the_body_of_a_block() {
        let names = |sql: &str| identifiers(&split(sql).unwrap()[0]).contains(&"ids".to_owned());
        assert!(names("INSERT INTO Ids SELECT 1") && names("DELETE FROM t USING app.\"ids\""));
        assert!(names("DO $$ BEGIN DELETE FROM ids; END $$"));
        assert!(!names("SELECT 1 -- ids\n") && !names("SELECT \"IDS\" FROM t"));
    }
}
