use super::*;
use crate::sql::split;

/// `table t`, with `?` for IF EXISTS and `!` for CASCADE behind it.
fn told(sql: &str) -> Vec<String> {
    let statements = split(sql).unwrap();
    let drops = statements.iter().flat_map(Statement::drops);
    drops
        .map(|drop| {
            let may_miss = if drop.if_exists { "?" } else { "" };
            format!("{}{may_miss}{}", drop.target, if drop.cascade { "!" } else { "" })
        })
        .collect()
}

fn targets(sql: &str) -> Vec<DropTarget> {
    split(sql).unwrap().iter().flat_map(Statement::drops).map(|drop| drop.target).collect()
}

#[test]
fn columns_are_told_one_by_one() {
    assert_eq!(
        told(
            "ALTER TABLE IF EXISTS ONLY app.\"Users\" DROP COLUMN a, DROP IF EXISTS \"B b\" CASCADE, ADD c int, \
             ALTER d TYPE int USING (d::int), ALTER COLUMN e SET DATA TYPE text, ALTER f DROP NOT NULL, \
             DROP CONSTRAINT k RESTRICT, ADD CHECK (drop > 1), ALTER g DROP EXPRESSION"
        ),
        [
            "column app.\"Users\".a?",
            "column app.\"Users\".\"B b\"?!",
            "column app.\"Users\".d?",
            "column app.\"Users\".e?",
            "constraint k of app.\"Users\"?",
        ]
    );
    let only = |sql: &str| matches!(&targets(sql)[0], DropTarget::Column { only: true, .. });
    assert!(only("ALTER TABLE ONLY t DROP a") && !only("ALTER TABLE t * DROP a"));
}

#[test]
fn a_column_called_cascade_does_not_cascade() {
    assert_eq!(told("ALTER TABLE t DROP cascade, DROP b"), ["column t.cascade", "column t.b"]);
    assert_eq!(told("ALTER TABLE t DROP a, DROP b CASCADE"), ["column t.a", "column t.b!"]);
}

#[test]
fn each_table_of_a_list_is_told() {
    assert_eq!(
        told("DROP TABLE IF EXISTS a, s.b CASCADE; DROP TABLE c"),
        ["table a?!", "table s.b?!", "table c"]
    );
    assert_eq!(told("DROP SCHEMA x, y CASCADE"), ["schema x!", "schema y!"]);
    assert_eq!(told("DROP MATERIALIZED VIEW m; DROP VIEW v, w"), ["materialized view m", "view v", "view w"]);
    assert_eq!(told("DROP TYPE mood CASCADE; DROP DOMAIN d"), ["type mood!", "type d"]);
    assert_eq!(told("DROP EXTENSION IF EXISTS hstore"), ["extension hstore?"]);
    assert_eq!(told("DROP OWNED BY a, b CASCADE"), ["all that a owns!", "all that b owns!"]);
    assert_eq!(
        told("DROP FOREIGN TABLE f; DROP FUNCTION g(int, text), h()"),
        ["foreign table f", "function g", "function h"]
    );
    assert_eq!(told("DROP INDEX CONCURRENTLY IF EXISTS i"), ["index i?"]);
    assert_eq!(told("DROP TRIGGER t ON users"), ["trigger t"]);
    assert_eq!(
        told("ALTER TYPE c DROP ATTRIBUTE IF EXISTS a CASCADE, ADD ATTRIBUTE b int"),
        ["attribute c.a?!"]
    );
}

#[test]
fn emptied_tables_are_told() {
    assert_eq!(
        told("TRUNCATE TABLE ONLY a, s.b * RESTART IDENTITY CASCADE"),
        ["all rows of a!", "all rows of s.b!"]
    );
    assert_eq!(
        told("DELETE FROM a; DELETE FROM b WHERE true; DELETE FROM c USING d"),
        ["all rows of a", "all rows of c"]
    );
}

#[test]
fn a_block_that_speaks_of_dropping_hides_something() {
    assert_eq!(
        told("DO $$ BEGIN EXECUTE format('DROP TABLE %I', 'x'); END $$"),
        ["what the DROP TABLE in a block drops"]
    );
    assert_eq!(
        told("DO $$ BEGIN ALTER TABLE t DROP COLUMN c; END $$"),
        ["what the DROP COLUMN in a block drops"]
    );
    assert_eq!(told("DO $$ BEGIN RAISE NOTICE 'nothing is dropped'; DROP INDEX i; END $$"), [""; 0]);
}

#[test]
fn what_only_looks_like_a_drop_is_none() {
    assert_eq!(
        told(
            "SELECT 'DROP TABLE t'; -- DROP TABLE t\nCREATE TABLE t (a int); ALTER TABLE t ADD drop int; \
             ALTER INDEX i RENAME TO j; INSERT INTO t VALUES (1); DROP OPERATOR + (int, int); DROP CAST (a AS b)"
        ),
        [""; 0]
    );
}

#[test]
fn only_what_holds_rows_can_lose_them() {
    let may = |sql: &str| split(sql).unwrap()[0].drops().iter().any(Drop::may_lose_data);
    for sql in
        ["DROP TABLE t", "ALTER TABLE t DROP a", "TRUNCATE t", "DROP SCHEMA s CASCADE", "DROP TYPE t CASCADE"]
    {
        assert!(may(sql), "{sql}");
    }
    for sql in ["DROP SCHEMA s", "DROP TYPE t", "DROP VIEW v CASCADE", "DROP INDEX i", "DROP FUNCTION f"] {
        assert!(!may(sql), "{sql}");
    }
}

#[test]
fn it_is_stored_under_readable_names() {
    let drop = &split("DROP TABLE IF EXISTS s.t").unwrap()[0].drops()[0];
    let json = serde_json::to_string(drop).unwrap();
    assert_eq!(
        json,
        r#"{"target":{"target":"table","table":{"schema":"s","name":"t"}},"if_exists":true,"cascade":false}"#
    );
    assert_eq!(serde_json::from_str::<Drop>(&json).unwrap(), *drop);
}
