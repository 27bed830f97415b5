//! The way that blocks less, written out, where squawk only names it.

use std::collections::BTreeSet;
use std::ops::Range;

use squawk_linter::Rule as Squawk;
use squawk_syntax::ast::{self, AstNode as _};
use stopover_model::sql::{AlterAction, Name, StatementKind};

use crate::finding::Rewrite;
use crate::known::action_of;
use crate::reading::{Read, Reading};
use crate::tree::{range_of, text};

pub(crate) const LATER: &str = "-- in a migration of its own, so that the lock above is gone:\n";

/// For what squawk found in a range of a statement.
pub(crate) fn of(reading: &Reading<'_>, index: usize, rule: Squawk, range: &Range<usize>) -> Option<Rewrite> {
    let statement = &reading.statements[index];
    if let (Squawk::RequireConcurrentIndexCreation, StatementKind::CreateIndex { name: None, table, .. }) =
        (rule, &statement.kind)
    {
        return named_index(statement, table);
    }
    let (place, action) = action_at(statement, range)?;
    let table = table_of(statement)?;
    match (rule, &action) {
        (Squawk::AddingNotNullableField, _) => {
            let AlterAction::SetNotNull { column } = &statement.actions()[place] else { return None };
            Some(not_null(&table, column))
        }
        (
            Squawk::AddingForeignKeyConstraint | Squawk::ConstraintMissingNotValid,
            ast::AlterTableAction::AddConstraint(added),
        ) => not_valid(&table, added),
        (
            Squawk::DisallowedUniqueConstraint | Squawk::AddingSerialPrimaryKeyField,
            ast::AlterTableAction::AddConstraint(added),
        ) => using_index(&table, added),
        (Squawk::AddingForeignKeyConstraint, ast::AlterTableAction::AddColumn(added)) => {
            column_then_foreign_key(&table, added)
        }
        (Squawk::AddingFieldWithDefault, ast::AlterTableAction::AddColumn(added)) => {
            column_then_default(&table, added)
        }
        _ => None,
    }
}

/// The four steps to NOT NULL without a scan under a lock.
pub(crate) fn not_null(table: &str, column: &str) -> Rewrite {
    let (column, name) = (quoted(column), constraint_name(table, column, "not_null"));
    let sql = format!(
        "ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID;\n\
         {LATER}ALTER TABLE {table} VALIDATE CONSTRAINT {name};\n\
         -- and in the next one:\n\
         ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL;\n\
         ALTER TABLE {table} DROP CONSTRAINT {name};"
    );
    Rewrite { title: "Validate a constraint first, and nothing is scanned under a lock".to_owned(), sql }
}

/// As it is written in the statement.
pub(crate) fn table_of(statement: &Read<'_>) -> Option<String> {
    let name = statement.alter_table()?.table_relation_name()?.table_name_ref()?;
    Some(text(&name))
}

/// The action of an ALTER TABLE in which a range begins.
fn action_at(statement: &Read<'_>, range: &Range<usize>) -> Option<(usize, ast::AlterTableAction)> {
    (0..statement.actions().len()).find_map(|place| {
        let action = action_of(statement, place)?;
        range_of(action.syntax().text_range()).contains(&range.start).then_some((place, action))
    })
}

fn named_index(statement: &Read<'_>, table: &Name) -> Option<Rewrite> {
    let Some(ast::Stmt::CreateIndex(create)) = &statement.tree else { return None };
    let behind = usize::from(create.index_token()?.text_range().end()).checked_sub(statement.at.start)?;
    let columns = statement.at.text[behind..].split_once('(')?.1.split_once(')')?.0;
    let name = constraint_name(&table.name, columns, "idx");
    let (head, tail) = statement.at.text.split_at_checked(behind)?;
    Some(Rewrite { title: "Add CONCURRENTLY".to_owned(), sql: format!("{head} CONCURRENTLY {name}{tail};") })
}

fn not_valid(table: &str, added: &ast::AddConstraint) -> Option<Rewrite> {
    let constraint = added.constraint()?;
    let suffix = match &constraint {
        ast::Constraint::ForeignKeyConstraint(_) => "fkey",
        ast::Constraint::CheckConstraint(_) => "check",
        _ => return None,
    };
    let whole = text(&constraint);
    let (name, definition) = if let Some(name) = constraint.constraint_name() {
        (text(&name), whole)
    } else {
        let columns = match &constraint {
            ast::Constraint::CheckConstraint(check) => only_column(check).unwrap_or_default(),
            _ => between_parentheses(&whole).unwrap_or_default().to_owned(),
        };
        let name = constraint_name(table, &columns, suffix);
        (name.clone(), format!("CONSTRAINT {name} {whole}"))
    };
    let sql = format!(
        "ALTER TABLE {table} ADD {definition} NOT VALID;\n{LATER}ALTER TABLE {table} VALIDATE CONSTRAINT {name};"
    );
    Some(Rewrite { title: "Check the rows that are there later, while writers go on".to_owned(), sql })
}

/// PostgreSQL names a check after its column, where it speaks of one.
fn only_column(check: &ast::CheckConstraint) -> Option<String> {
    let expr = check.expr()?;
    let names = expr.syntax().descendants().filter_map(ast::NameRef::cast);
    let columns: BTreeSet<String> =
        names.filter_map(|name| Some(text(&name).parse::<Name>().ok()?.name)).collect();
    let mut columns = columns.into_iter();
    columns.next().filter(|_| columns.next().is_none())
}

fn using_index(table: &str, added: &ast::AddConstraint) -> Option<Rewrite> {
    let constraint = added.constraint()?;
    let (words, suffix) = match &constraint {
        ast::Constraint::UniqueConstraint(_) => ("UNIQUE", "key"),
        ast::Constraint::PrimaryKeyConstraint(_) => ("PRIMARY KEY", "pkey"),
        _ => return None,
    };
    let whole = text(&constraint);
    let columns = between_parentheses(&whole)?;
    // INCLUDE, NULLS NOT DISTINCT, DEFERRABLE: not for a template.
    if !whole.ends_with(')')
        || whole.matches('(').count() != 1
        || whole.to_ascii_uppercase().contains("NULLS")
    {
        return None;
    }
    let name = match constraint.constraint_name() {
        Some(name) => text(&name),
        None => constraint_name(table, if suffix == "pkey" { "" } else { columns }, suffix),
    };
    let sql = format!(
        "CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} ({columns});\n\
         ALTER TABLE {table} ADD CONSTRAINT {name} {words} USING INDEX {name};"
    );
    Some(Rewrite { title: "Build the index first, while everybody goes on".to_owned(), sql })
}

fn column_then_foreign_key(table: &str, added: &ast::AddColumn) -> Option<Rewrite> {
    let reference = added.constraints().find(|c| matches!(c, ast::Constraint::ReferencesConstraint(_)))?;
    let column = added.column_name().map(|name| text(&name))?;
    let name = match reference.constraint_name() {
        Some(name) => text(&name),
        None => constraint_name(table, &column, "fkey"),
    };
    let definition = text(&reference);
    let references = &definition[definition.to_ascii_uppercase().find("REFERENCES")?..];
    let sql = format!(
        "ALTER TABLE {table} {};\n\
         ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column}) {references} NOT VALID;\n\
         {LATER}ALTER TABLE {table} VALIDATE CONSTRAINT {name};",
        without(added, &reference)
    );
    Some(Rewrite { title: "Check the rows that are there later, while writers go on".to_owned(), sql })
}

fn column_then_default(table: &str, added: &ast::AddColumn) -> Option<Rewrite> {
    let default = added.constraints().find(|c| matches!(c, ast::Constraint::DefaultConstraint(_)))?;
    let ast::Constraint::DefaultConstraint(inner) = &default else { return None };
    let (column, expression) = (text(&added.column_name()?), text(&inner.expr()?));
    // Without the default it can't be NOT NULL before the rows have a value.
    if added.constraints().any(|c| matches!(c, ast::Constraint::NotNullConstraint(_))) {
        return None;
    }
    let sql = format!(
        "ALTER TABLE {table} {};\n\
         ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {expression};\n\
         -- stopover: backfill\n\
         UPDATE {table} SET {column} = {expression} WHERE {column} IS NULL;",
        without(added, &default)
    );
    Some(Rewrite { title: "Add the column first, and its default for the rows to come".to_owned(), sql })
}

/// The action's text but for one of its constraints.
fn without(added: &ast::AddColumn, constraint: &ast::Constraint) -> String {
    let (whole, out) = (range_of(added.syntax().text_range()), range_of(constraint.syntax().text_range()));
    let all = added.syntax().text().to_string();
    let (head, tail) = (&all[..out.start - whole.start], &all[out.end - whole.start..]);
    format!("{} {}", head.trim(), tail.trim()).trim().to_owned()
}

fn between_parentheses(text: &str) -> Option<&str> {
    Some(text.split_once('(')?.1.split_once(')')?.0.trim())
}

/// As PostgreSQL would make one up: table, columns, and what it is.
fn constraint_name(table: &str, columns: &str, suffix: &str) -> String {
    const LONGEST: usize = 63;
    let table = table.parse::<Name>().map_or_else(|_| table.to_owned(), |name| name.name);
    let letters = |text: &str| {
        let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("_")
    };
    let mut stem = [letters(&table), letters(columns)]
        .into_iter()
        .filter(|p| !p.is_empty())
        .collect::<Vec<_>>()
        .join("_");
    stem.truncate(stem.floor_char_boundary(LONGEST - 1 - suffix.len()));
    quoted(&format!("{stem}_{suffix}"))
}

pub(crate) fn quoted(name: &str) -> String {
    Name::unqualified(name).to_string()
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sql, lint};

    fn rewrite(sql: &str, rule: &str) -> String {
        let report = lint(Sql::up(sql));
        let found = report.findings.into_iter().find(|f| f.rule.name() == rule);
        found.unwrap_or_else(|| panic!("{rule} in {sql}")).rewrite.map(|r| r.sql).unwrap_or_default()
    }

    #[test]
    fn a_foreign_key_is_validated_later() {
        assert_eq!(
            rewrite(
                "ALTER TABLE app.orders ADD FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE",
                "adding-foreign-key-constraint"
            ),
            "ALTER TABLE app.orders ADD CONSTRAINT orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE NOT VALID;\n\
             -- in a migration of its own, so that the lock above is gone:\n\
             ALTER TABLE app.orders VALIDATE CONSTRAINT orders_user_id_fkey;"
        );
        assert_eq!(
            rewrite("ALTER TABLE t ADD COLUMN u bigint REFERENCES users", "adding-foreign-key-constraint")
                .lines()
                .take(2)
                .collect::<Vec<_>>(),
            [
                "ALTER TABLE t ADD COLUMN u bigint;",
                "ALTER TABLE t ADD CONSTRAINT t_u_fkey FOREIGN KEY (u) REFERENCES users NOT VALID;"
            ]
        );
        assert!(
            rewrite("ALTER TABLE t ADD CONSTRAINT \"C\" CHECK (a > 0)", "constraint-missing-not-valid")
                .contains("VALIDATE CONSTRAINT \"C\"")
        );
    }

    #[test]
    fn an_index_comes_first() {
        assert_eq!(
            rewrite("ALTER TABLE t ADD UNIQUE (a, b)", "disallowed-unique-constraint"),
            "CREATE UNIQUE INDEX CONCURRENTLY t_a_b_key ON t (a, b);\nALTER TABLE t ADD CONSTRAINT t_a_b_key UNIQUE USING INDEX t_a_b_key;"
        );
        assert_eq!(rewrite("ALTER TABLE t ADD UNIQUE (a) INCLUDE (b)", "disallowed-unique-constraint"), "");
        assert_eq!(
            rewrite("CREATE INDEX ON t (lower(a))", "require-concurrent-index-creation"),
            "CREATE INDEX CONCURRENTLY t_lower_a_idx ON t (lower(a));"
        );
        assert_eq!(
            rewrite("create index i on t (a)", "require-concurrent-index-creation"),
            "create index concurrently i on t (a);"
        );
        assert_eq!(
            rewrite("CREATE INDEX i ON t (a)", "require-concurrent-index-creation"),
            "CREATE INDEX CONCURRENTLY i ON t (a);"
        );
    }

    #[test]
    fn a_volatile_default_comes_second() {
        assert_eq!(
            rewrite(
                "ALTER TABLE t ADD key uuid DEFAULT gen_random_uuid() UNIQUE",
                "adding-field-with-default"
            )
            .lines()
            .take(2)
            .collect::<Vec<_>>(),
            [
                "ALTER TABLE t ADD key uuid UNIQUE;",
                "ALTER TABLE t ALTER COLUMN key SET DEFAULT gen_random_uuid();"
            ]
        );
    }
}
