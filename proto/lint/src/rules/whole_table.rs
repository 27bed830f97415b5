//! UPDATE and DELETE of every row.

use squawk_syntax::ast;
use stopover_model::sql::{AlterAction, Name, StatementKind};

use crate::catalogue::{DELETE_WITHOUT_WHERE, UPDATE_WITHOUT_WHERE};
use crate::known::{action_of, added, plain};
use crate::raw::Raw;
use crate::reading::{Read, Reading};
use crate::tree::text;
use crate::volatile;

pub(super) fn check(reading: &Reading<'_>, index: usize) -> Option<Raw> {
    let statement = &reading.statements[index];
    match &statement.kind {
        StatementKind::Update { table, .. } if touches_every_row(reading, index) => {
            Some(update(reading, index, table))
        }
        StatementKind::Delete { table, has_where: false } => Some(delete(statement, table)),
        _ => None,
    }
}

/// Without a WHERE, or with one that says `column IS NULL` of a column that the script has just added.
pub(super) fn touches_every_row(reading: &Reading<'_>, index: usize) -> bool {
    let statement = &reading.statements[index];
    match &statement.kind {
        StatementKind::Delete { has_where, .. } => !has_where,
        StatementKind::Update { has_where: false, .. } => true,
        StatementKind::Update { table, .. } => null_column(statement)
            .is_some_and(|column| added(&reading.statements[..index], table, &column).is_some()),
        _ => false,
    }
}

fn update(reading: &Reading<'_>, index: usize, table: &Name) -> Raw {
    let statement = &reading.statements[index];
    let message = format!(
        "This UPDATE touches every row of {table} at once: each stays locked until the transaction ends, and the table \
         grows to twice its size."
    );
    let raw = Raw::ours(&UPDATE_WITHOUT_WHERE, statement.range(), message);
    if let Some(sql) = default_instead(reading, index, table) {
        return raw
            .help(
                "Let the new column's default give the rows that are there their value: that takes no time at any \
                 size. Afterwards set the default for the rows to come.",
            )
            .rewrite("Instead of the new column and of this UPDATE", sql);
    }
    let raw = raw.help("Update in batches that commit, in an up.batch.sql; or say which rows with WHERE.");
    match batches(statement, table) {
        Some(sql) => raw.rewrite("In batches by the table's key, here id", sql),
        None => raw,
    }
}

fn delete(statement: &Read<'_>, table: &Name) -> Raw {
    let message = format!(
        "This DELETE removes every row of {table} one by one, keeps each locked until the transaction ends, and leaves \
         the space to VACUUM."
    );
    let raw = Raw::ours(&DELETE_WITHOUT_WHERE, statement.range(), message)
        .help("To empty the table, TRUNCATE it: that locks it against everybody, but only for a moment. Else say which rows with WHERE.");
    // With more than the table in it, TRUNCATE would not do the same.
    let is_plain = statement.at.text.split_whitespace().count() == 3;
    if is_plain { raw.rewrite("At once", format!("TRUNCATE {table};")) } else { raw }
}

/// The column of `WHERE column IS NULL`.
fn null_column(statement: &Read<'_>) -> Option<String> {
    let Some(ast::Stmt::Update(update)) = &statement.tree else { return None };
    let ast::WhereClauseOrCurrentOf::WhereClause(clause) = update.where_clause_or_current_of()? else {
        return None;
    };
    let condition = text(&clause.expr()?);
    let words: Vec<_> = condition.split_whitespace().collect();
    let [column, is, null] = words.as_slice() else { return None };
    let says_so = is.eq_ignore_ascii_case("is") && null.eq_ignore_ascii_case("null");
    says_so.then(|| column.parse::<Name>().ok()).flatten().map(|name| name.name)
}

/// Where the UPDATE gives one value to a column that is new: a default that does the same, and then the intended one.
fn default_instead(reading: &Reading<'_>, index: usize, table: &Name) -> Option<String> {
    let Some(ast::Stmt::Update(update)) = &reading.statements[index].tree else { return None };
    if update.from_clause().is_some() || update.with_clause().is_some() {
        return None;
    }
    let mut columns = update.set_clause()?.set_column_list()?.set_columns();
    let (Some(ast::SetColumn::SetSingleColumn(set)), None) = (columns.next(), columns.next()) else {
        return None;
    };
    let value = set.set_expr()?.expr()?;
    if !volatile::is_steady(&value) {
        return None;
    }
    let name = text(&set.column_target()?);
    let column = name.parse::<Name>().ok()?.name;
    let (adding, action) = added(&reading.statements[..index], table, &column)?;
    let ast::AlterTableAction::AddColumn(added) = action_of(&reading.statements[adding], action)? else {
        return None;
    };
    let constraints = added.constraints().filter(|c| !matches!(c, ast::Constraint::DefaultConstraint(_)));
    let rest: Vec<_> = std::iter::once(String::new()).chain(constraints.map(|c| text(&c))).collect();
    let rest = rest.join(" ");
    let exists = if added.if_not_exists().is_some() { "IF NOT EXISTS " } else { "" };
    let then = match default_of(reading, table, &column) {
        Some(default) => format!("SET DEFAULT {default}"),
        None => "DROP DEFAULT".to_owned(),
    };
    Some(format!(
        "ALTER TABLE {table} ADD COLUMN {exists}{name} {} DEFAULT {}{rest};\n\
         ALTER TABLE {table} ALTER COLUMN {name} {then};",
        text(&added.ty()?),
        text(&value),
    ))
}

/// The default that the script leaves the column with.
fn default_of(reading: &Reading<'_>, table: &Name, column: &str) -> Option<String> {
    let mut default = None;
    for statement in reading.statements.iter().filter(|s| s.tables().iter().any(|t| plain(t) == plain(table)))
    {
        for (n, action) in statement.actions().iter().enumerate() {
            match action {
                AlterAction::AddColumn { column: new, default: Some(value), .. } if new == column => {
                    default = Some(value.clone());
                }
                AlterAction::SetDefault { column: changed } if changed == column => {
                    default = set_default(statement, n).or(default);
                }
                AlterAction::DropDefault { column: changed } if changed == column => default = None,
                _ => {}
            }
        }
    }
    default
}

fn set_default(statement: &Read<'_>, action: usize) -> Option<String> {
    let ast::AlterTableAction::AlterColumn(alter) = action_of(statement, action)? else { return None };
    match alter.option()? {
        ast::AlterColumnOption::SetDefault(set) => set.expr().map(|expr| text(&expr)),
        _ => None,
    }
}

/// A loop that any PostgreSQL runs; the end is fixed at the beginning, or a busy table would keep it going.
fn batches(statement: &Read<'_>, table: &Name) -> Option<String> {
    let Some(ast::Stmt::Update(update)) = &statement.tree else { return None };
    let simple = update.from_clause().is_none()
        && update.with_clause().is_none()
        && update.alias().is_none()
        && update.returning_clause().is_none()
        && update.where_clause_or_current_of().is_none()
        && !statement.at.text.contains("$$");
    simple.then(|| {
        format!(
            "DO $$\nDECLARE\n  next_id bigint;\n  last_id bigint;\nBEGIN\n  \
             SELECT min(id), max(id) INTO next_id, last_id FROM {table};\n  \
             WHILE next_id <= last_id LOOP\n    \
             {}\n      WHERE id BETWEEN next_id AND next_id + 9999;\n    \
             COMMIT;\n    next_id := next_id + 10000;\n  END LOOP;\nEND $$;",
            statement.at.text
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sql, lint, rules};

    fn rewrite(sql: &str) -> String {
        let report = lint(Sql::up(sql));
        let found = report.findings.into_iter().find(|f| f.rule.name() == "stopover/update-without-where");
        found.expect(sql).rewrite.map(|r| r.sql).unwrap_or_default()
    }

    #[test]
    fn only_what_touches_every_row() {
        assert_eq!(rules(Sql::up("UPDATE t SET a = 1;")), ["1:1 stopover/update-without-where"]);
        assert_eq!(rules(Sql::up("SELECT 1;\n  DELETE FROM t;")), ["2:3 stopover/delete-without-where"]);
        assert_eq!(
            rules(Sql::up("UPDATE t SET a = (SELECT b FROM u WHERE u.id = t.id);")),
            ["1:1 stopover/update-without-where"]
        );
        assert_eq!(rules(Sql::up("UPDATE t SET a = 1 WHERE id = 1;\nDELETE FROM t WHERE id = 1;")), [""; 0]);
        assert_eq!(rules(Sql::up("UPDATE t SET a = 1 WHERE a IS NULL;")), [""; 0]);
        assert_eq!(rules(Sql::up("SELECT 'UPDATE t SET a = 1';\n-- DELETE FROM t;\n")), [""; 0]);
        assert_eq!(
            rules(Sql::up("CREATE TABLE t (a text);\nINSERT INTO t VALUES ('x');\nUPDATE t SET a = 'y';")),
            [""; 0]
        );
    }

    #[test]
    fn a_new_column_is_given_its_value_by_its_default() {
        let wanted = "ALTER TABLE users ADD COLUMN done boolean DEFAULT true;\n\
                      ALTER TABLE users ALTER COLUMN done SET DEFAULT false;";
        for sql in [
            "ALTER TABLE users ADD COLUMN done boolean DEFAULT false;\nUPDATE users SET done = true;",
            "ALTER TABLE users ADD done boolean, ALTER done SET DEFAULT false;\nUPDATE users SET done = true WHERE done IS NULL;",
            "ALTER TABLE public.users ADD done boolean;\nUPDATE users SET done = true;\nALTER TABLE users ALTER COLUMN done SET DEFAULT false;",
        ] {
            assert_eq!(rewrite(sql), wanted, "{sql}");
        }
        assert!(rewrite("ALTER TABLE t ADD a text;\nUPDATE t SET a = 'x';").ends_with("a DROP DEFAULT;"));
        assert_eq!(
            rewrite("ALTER TABLE t ADD IF NOT EXISTS a int NOT NULL DEFAULT 0;\nUPDATE t SET a = 1;")
                .lines()
                .next(),
            Some("ALTER TABLE t ADD COLUMN IF NOT EXISTS a int DEFAULT 1 NOT NULL;")
        );
        assert!(
            rewrite("ALTER TABLE t ADD a uuid;\nUPDATE t SET a = gen_random_uuid();").starts_with("DO $$")
        );
    }

    #[test]
    fn the_loop_is_one_that_stops() {
        let sql = rewrite("UPDATE t SET a = b + 1;");
        assert!(
            sql.contains("UPDATE t SET a = b + 1\n      WHERE id BETWEEN next_id AND next_id + 9999;"),
            "{sql}"
        );
        assert_eq!(rewrite("UPDATE t SET a = u.b FROM u;"), "");
    }
}
