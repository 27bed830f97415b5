//! ADD COLUMN of a serial type, or with a volatile array as its default: a value for each row, and so a new table. squawk finds
//! the other volatile defaults.

use squawk_syntax::ast::{self, AstNode as _};
use stopover_model::sql::Name;

use crate::catalogue::ADD_COLUMN_REWRITES;
use crate::known::action_of;
use crate::raw::Raw;
use crate::reading::{Read, Reading};
use crate::tree::range_of;
use crate::tree::text;
use crate::volatile;
use crate::way_out::{LATER, not_null, quoted, table_of};

const SERIALS: [(&str, &str); 6] = [
    ("smallserial", "smallint"),
    ("serial2", "smallint"),
    ("serial", "integer"),
    ("serial4", "integer"),
    ("bigserial", "bigint"),
    ("serial8", "bigint"),
];

pub(super) fn check(reading: &Reading<'_>, index: usize) -> Vec<Raw> {
    let statement = &reading.statements[index];
    let added = (0..statement.actions().len()).filter_map(|n| match action_of(statement, n)? {
        ast::AlterTableAction::AddColumn(added) => Some(added),
        _ => None,
    });
    added.filter_map(|added| serial(statement, &added).or_else(|| volatile_array(&added))).collect()
}

fn serial(statement: &Read<'_>, added: &ast::AddColumn) -> Option<Raw> {
    let ty = added.ty()?;
    let written = text(&ty).to_ascii_lowercase();
    let (_, plain) = SERIALS.iter().find(|(serial, _)| *serial == written)?;
    let (table, column) = (table_of(statement)?, text(&added.column_name()?));
    let message = format!(
        "A new {written} column gives each row a number: the table is rewritten while everybody waits."
    );
    let bare = |name: &str| name.rsplit('.').next().unwrap_or(name).trim_matches('"').to_owned();
    let sequence = quoted(&format!("{}_{}_seq", bare(&table), bare(&column)));
    let sql = format!(
        "ALTER TABLE {table} ADD COLUMN {column} {plain};\n\
         CREATE SEQUENCE {sequence} AS {plain} OWNED BY {table}.{column};\n\
         ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT nextval('{0}');\n\
         -- stopover: backfill\n\
         UPDATE {table} SET {column} = nextval('{0}') WHERE {column} IS NULL;\n\
         {LATER}{1}",
        sequence.replace('\'', "''"),
        not_null(&table, &column.parse::<Name>().ok()?.name).sql,
    );
    Some(
        Raw::ours(&ADD_COLUMN_REWRITES, range_of(ty.syntax().text_range()), message)
            .help("Add the column without numbers, number the rows to come by a default, and the others in batches.")
            .rewrite("Number new rows from now on", sql),
    )
}

fn volatile_array(added: &ast::AddColumn) -> Option<Raw> {
    let expr = added.constraints().find_map(|c| match c {
        ast::Constraint::DefaultConstraint(default) => default.expr(),
        _ => None,
    })?;
    let is_array = match &expr {
        ast::Expr::CastExpr(cast) => matches!(cast.expr(), Some(ast::Expr::ArrayExpr(_))),
        expr => matches!(expr, ast::Expr::ArrayExpr(_)),
    };
    (is_array && !volatile::is_steady(&expr)).then(|| {
        let message = "This default may differ from row to row: the table is rewritten while everybody waits.";
        Raw::ours(&ADD_COLUMN_REWRITES, range_of(expr.syntax().text_range()), message)
            .help("Add the column without a default, set the default for the rows to come, and fill the others in batches.")
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sql, lint, rules_among};

    fn found(sql: &str) -> Vec<String> {
        rules_among(Sql::up(sql), &["stopover/add-column-rewrites", "adding-field-with-default"])
    }

    #[test]
    fn what_squawk_misses() {
        assert_eq!(found("ALTER TABLE t ADD id BigSerial;"), ["1:22 stopover/add-column-rewrites"]);
        assert_eq!(
            found("ALTER TABLE t ADD a uuid[] DEFAULT ARRAY[gen_random_uuid()]::uuid[];"),
            ["1:36 stopover/add-column-rewrites"]
        );
        assert_eq!(found("CREATE TABLE t (id serial);\nALTER TABLE t ADD b serial;"), [""; 0]);
        let report = lint(Sql::up("ALTER TABLE app.t ADD id bigserial;"));
        let rewrite = report
            .findings
            .iter()
            .find_map(|f| f.rewrite.clone().filter(|r| r.sql.contains("SEQUENCE")))
            .unwrap();
        assert!(
            rewrite.sql.contains("CREATE SEQUENCE t_id_seq AS bigint OWNED BY app.t.id;"),
            "{}",
            rewrite.sql
        );
    }

    #[test]
    fn what_squawk_takes_for_volatile_and_is_not() {
        for default in [
            "-1",
            "(0)",
            "CURRENT_DATE",
            "now()",
            "pg_catalog.now()",
            "NOT true",
            "lower('A')",
            "current_user",
            "timezone('utc', now())",
            "ARRAY['a', 'b']::text[]",
            "'{}'::jsonb",
            "interval '1 day'",
        ] {
            assert_eq!(found(&format!("ALTER TABLE t ADD a text DEFAULT {default};")), [""; 0], "{default}");
        }
        for default in
            ["gen_random_uuid()", "random() * 2", "(clock_timestamp())", "my_function()", "nextval('s')"]
        {
            assert_eq!(found(&format!("ALTER TABLE t ADD a text DEFAULT {default};")).len(), 1, "{default}");
        }
    }
}
