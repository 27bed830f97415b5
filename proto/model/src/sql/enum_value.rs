//! New enum values, which PostgreSQL adds inside a transaction but won't use before its commit.

use super::do_block::strings;
use super::kind::StatementKind;
use super::lexer::TokenKind;
use super::split::Statement;

/// A statement that uses an enum value which an earlier one adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnumValueUse {
    /// Indexes into the statements that were given.
    pub added: usize,
    pub used: usize,
    pub value: String,
}

impl EnumValueUse {
    /// Why the statement that uses the value can't share a transaction with the one that adds it.
    #[must_use]
    pub fn reason(&self, statements: &[Statement<'_>]) -> String {
        let line = statements.get(self.added).map_or(0, |statement| statement.line);
        format!(
            "it uses the enum value '{}', which line {line} adds and which has to be committed first",
            self.value
        )
    }
}

/// The first statement that may use an enum value added before it (SQLSTATE 55P04 in one transaction): the value stands
/// in it as a string, or in the body of a function or DO block. A type that the same file creates is left out,
/// since its new values may be used at once.
#[must_use]
pub fn uses_new_enum_value(statements: &[Statement<'_>]) -> Option<EnumValueUse> {
    let mut created = Vec::new();
    let mut added: Vec<(usize, String)> = Vec::new();
    for (index, statement) in statements.iter().enumerate() {
        if !added.is_empty() {
            for (kind, string) in strings(statement.text) {
                let used = added.iter().find(|(_, value)| match kind {
                    TokenKind::DollarString { .. } => {
                        string.contains(&format!("'{}'", value.replace('\'', "''")))
                    }
                    _ => string == *value,
                });
                if let Some((added, value)) = used {
                    return Some(EnumValueUse { added: *added, used: index, value: value.clone() });
                }
            }
        }
        match statement.kind() {
            StatementKind::CreateType { name } => created.push(name),
            StatementKind::AlterTypeAddValue { name, value, .. } if !created.contains(&name) => {
                added.push((index, value));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split;

    fn used(sql: &str) -> Option<usize> {
        uses_new_enum_value(&split(sql).unwrap()).map(|found| found.used)
    }

    #[test]
    fn a_use_after_the_addition_is_found() {
        let add = "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'so''so' AFTER 'sad';";
        assert_eq!(used(&format!("{add} UPDATE t SET m = 'so''so'")), Some(1));
        assert_eq!(
            used(&format!("{add} SELECT 1; DO $$ BEGIN INSERT INTO t VALUES ('so''so'); END $$")),
            Some(2)
        );
    }

    #[test]
    fn no_use_or_a_type_of_the_same_file_is_no_finding() {
        assert_eq!(used("ALTER TYPE mood ADD VALUE 'ok'; UPDATE t SET m = 'sad' -- 'ok'"), None);
        assert_eq!(used("UPDATE t SET m = 'ok'; ALTER TYPE mood ADD VALUE 'ok'"), None);
        assert_eq!(used("CREATE TYPE m AS ENUM ('a'); ALTER TYPE m ADD VALUE 'b'; SELECT 'b'::m"), None);
    }
}
