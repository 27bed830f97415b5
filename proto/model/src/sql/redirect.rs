//! A statement with its tables replaced by copies of them in another schema.
//!
//! Names without a schema are left as they are: whoever runs the text has the copies' schema as his search path, and
//! nothing else.

use std::collections::BTreeSet;

use super::cursor::decode_identifier;
use super::lexer::{Lexer, Token, TokenKind};
use super::name::{Name, quoted};

/// A statement that touches the copies only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirected {
    pub text: String,
    /// The names that stand before parentheses: functions, and key words and types as well.
    pub called: Vec<String>,
}

/// Replaces the schemas of the tables in `text`, and drops CONCURRENTLY. None where it names something else in one of
/// the database's `schemas`.
#[must_use]
pub fn redirected(
    text: &str,
    tables: &[Name],
    schemas: &BTreeSet<String>,
    copies: &str,
) -> Option<Redirected> {
    let tokens = tokens(text)?;
    let mut changed = String::with_capacity(text.len() + copies.len());
    let mut called = Vec::new();
    let mut copied_to = 0;
    for (at, token) in tokens.iter().enumerate() {
        let slice = &text[token.start..token.end];
        let after = |n: usize| tokens.get(at + n);
        if token.kind == TokenKind::Variable {
            return None;
        }
        let Some(name) = decode_identifier(*token, slice) else { continue };
        let replacement = if after(1).is_some_and(|t| t.kind == TokenKind::Symbol(b'.')) {
            let table = after(2).and_then(|t| decode_identifier(*t, &text[t.start..t.end]));
            schema_in(&name, table, tables, schemas)?.then(|| quoted(copies))
        } else if name == "concurrently"
            && token.kind == TokenKind::Word
            && follows_index(text, &tokens[..at])
        {
            Some(String::new())
        } else {
            None
        };
        if let Some(replacement) = replacement {
            changed.push_str(&text[copied_to..token.start]);
            changed.push_str(&replacement);
            copied_to = token.end;
        }
        if after(1).is_some_and(|t| t.kind == TokenKind::Symbol(b'(')) {
            called.push(name);
        }
    }
    changed.push_str(&text[copied_to..]);
    Some(Redirected { text: changed, called })
}

/// Whether a name with a point behind it is to be replaced; None where it leads elsewhere.
fn schema_in(name: &str, table: Option<String>, tables: &[Name], schemas: &BTreeSet<String>) -> Option<bool> {
    if name == "pg_catalog" || !(schemas.contains(name) || name.starts_with("pg_temp")) {
        return Some(false);
    }
    let wanted = Name { schema: Some(name.to_owned()), name: table? };
    tables.contains(&wanted).then_some(true)
}

fn follows_index(text: &str, before: &[Token]) -> bool {
    before.last().is_some_and(|t| text[t.start..t.end].eq_ignore_ascii_case("index"))
}

/// None where the text does not end as a statement does.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut lexer = Lexer::new(text);
    let mut tokens = Vec::new();
    while let Some(token) = lexer.token().ok()? {
        tokens.push(token);
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(sql: &str) -> Option<String> {
        let tables = ["public.users".parse().unwrap(), "\"A b\".\"T\"".parse().unwrap()];
        let schemas = ["public", "A b", "audit", "pg_catalog"].map(str::to_owned).into();
        redirected(sql, &tables, &schemas, "copy").map(|found| found.text)
    }

    #[test]
    fn schemas_of_the_tables_are_replaced_and_nothing_else() {
        for (sql, expected) in [
            ("UPDATE users SET a = 1", "UPDATE users SET a = 1"),
            ("UPDATE public.users u SET a = u.b", "UPDATE \"copy\".users u SET a = u.b"),
            (
                "UPDATE PUBLIC . \"users\" SET a = 'public.users'",
                "UPDATE \"copy\" . \"users\" SET a = 'public.users'",
            ),
            ("DELETE FROM \"A b\".\"T\" -- public.x", "DELETE FROM \"copy\".\"T\" -- public.x"),
            ("CREATE INDEX CONCURRENTLY i ON users (a)", "CREATE INDEX  i ON users (a)"),
            ("ALTER TABLE users ADD concurrently int", "ALTER TABLE users ADD concurrently int"),
            ("UPDATE users SET a = pg_catalog.now()", "UPDATE users SET a = pg_catalog.now()"),
        ] {
            assert_eq!(text(sql).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for sql in [
            "UPDATE public.orders SET a = 1",
            "UPDATE users SET a = audit.next()",
            "UPDATE users SET a = public.f(users)",
            "UPDATE \"A b\".t SET a = 1",
            "UPDATE pg_temp.x SET a = 1",
            "UPDATE users SET a = :v",
            "UPDATE users SET a = 'x",
        ] {
            assert_eq!(text(sql), None, "{sql}");
        }
    }

    #[test]
    fn what_is_called_is_told() {
        let found = redirected(
            "UPDATE users SET a = \"Ff\"(pg_catalog.g(1)), b = count (*)",
            &[],
            &BTreeSet::new(),
            "c",
        );
        assert_eq!(found.unwrap().called, ["Ff", "g", "count"]);
    }
}
