//! UPDATE and DELETE of every row.

use squawk_syntax::ast;
use stopover_model::backfill;
use stopover_model::sql::{Name, StatementKind};

use super::default_instead::{OneColumn, default_instead};
use crate::catalogue::{BACKFILL_WITHOUT_NEED, DELETE_WITHOUT_WHERE, UPDATE_WITHOUT_WHERE};
use crate::known::added;
use crate::raw::Raw;
use crate::reading::{Read, Reading};
use crate::tree::text;

pub(super) fn check(reading: &Reading<'_>, index: usize) -> Option<Raw> {
    let statement = &reading.statements[index];
    match &statement.kind {
        StatementKind::Update { table, .. } if touches_every_row(reading, index) => {
            update(reading, index, table)
        }
        StatementKind::Delete { table, has_where: false } if !reading.runs_in_batches(index) => {
            Some(delete(statement, table))
        }
        _ => None,
    }
}

const DEFAULT: &str = "Let the new column's default give the rows that are there their value: that takes no time at any \
                       size. Afterwards set the default for the rows to come.";
const BATCHES: &str = "Let it run in batches, by the comment above it; or say which rows with WHERE.";

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

fn update(reading: &Reading<'_>, index: usize, table: &Name) -> Option<Raw> {
    let statement = &reading.statements[index];
    let set = match &statement.tree {
        Some(ast::Stmt::Update(update)) => OneColumn::of(update),
        _ => None,
    };
    let default = set.and_then(|set| default_instead(reading, index, table, &set));
    if reading.runs_in_batches(index) {
        let message = format!(
            "This backfill gives every row of {table} one value in a column that is new: its default does so at once, at any \
             size."
        );
        let raw = Raw::ours(&BACKFILL_WITHOUT_NEED, statement.range(), message);
        return default
            .map(|sql| raw.help(DEFAULT).rewrite("Instead of the new column and of this backfill", sql));
    }
    let message = format!(
        "This UPDATE touches every row of {table} at once: each stays locked until the transaction ends, and the table \
         grows to twice its size."
    );
    let raw = Raw::ours(&UPDATE_WITHOUT_WHERE, statement.range(), message);
    if let Some(sql) = default {
        return Some(raw.help(DEFAULT).rewrite("Instead of the new column and of this UPDATE", sql));
    }
    Some(match batches(statement) {
        Some(sql) => raw.help(BATCHES).rewrite("In batches, each in a transaction of its own", sql),
        None => raw.help("Update in batches that commit, in an up.batch.sql; or say which rows with WHERE."),
    })
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
    if is_plain {
        return raw.rewrite("At once", format!("TRUNCATE {table};"));
    }
    match batches(statement) {
        Some(sql) => raw.rewrite("In batches, each in a transaction of its own", sql),
        None => raw,
    }
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

/// The engine's own batches, where it can take the statement apart.
fn batches(statement: &Read<'_>) -> Option<String> {
    let text = statement.at.text;
    backfill::analyse(text).is_ok().then(|| format!("-- stopover: backfill\n{text};"))
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
            rewrite("ALTER TABLE t ADD a uuid;\nUPDATE t SET a = gen_random_uuid();")
                .starts_with("-- stopover: backfill\nUPDATE")
        );
    }

    #[test]
    fn what_can_run_in_batches_is_written_so_and_is_then_no_finding() {
        let sql = rewrite("UPDATE t SET a = b + 1;");
        assert_eq!(sql, "-- stopover: backfill\nUPDATE t SET a = b + 1;");
        assert_eq!(rules(Sql::up(&format!("ALTER TABLE t ADD c int;\n{sql}"))), [""; 0]);
        assert_eq!(rewrite("UPDATE t SET a = (SELECT max(a) FROM t);"), "");
        let delete = "-- stopover: backfill\nDELETE FROM t;";
        assert_eq!(rules(Sql::up(delete)), [""; 0]);
    }

    #[test]
    fn a_backfill_of_a_new_column_with_one_value_is_not_needed() {
        let sql = "ALTER TABLE t ADD a text;\n-- stopover: backfill\nUPDATE t SET a = 'x' WHERE a IS NULL;";
        let report = lint(Sql::up(sql));
        let [found] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!((found.rule.name(), found.start.line), ("stopover/backfill-without-need", 3));
        assert_eq!(
            found.rewrite.as_ref().unwrap().sql,
            "ALTER TABLE t ADD COLUMN a text DEFAULT 'x';\nALTER TABLE t ALTER COLUMN a DROP DEFAULT;"
        );
        let needed = sql.replace("'x'", "lower(b)");
        assert_eq!(rules(Sql::up(&needed)), [""; 0]);
    }
}
