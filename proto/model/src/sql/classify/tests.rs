use super::*;
use crate::sql::kind::{AlterAction, ReindexTarget};
use crate::sql::name::Name;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn words(sql: &str) -> String {
    match classify(sql) {
        StatementKind::Other { words } => words,
        kind => panic!("{kind:?}"),
    }
}

#[test]
fn transaction_control() {
    for (sql, kind) in [
        ("begin", StatementKind::Begin),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", StatementKind::Begin),
        ("START /* x */ TRANSACTION", StatementKind::Begin),
        ("COMMIT", StatementKind::Commit),
        ("end work", StatementKind::Commit),
        ("COMMIT AND CHAIN", StatementKind::Commit),
        ("COMMIT PREPARED 'x'", StatementKind::FinishPrepared),
        ("ROLLBACK", StatementKind::Rollback),
        ("abort", StatementKind::Rollback),
        ("ROLLBACK WORK TO SAVEPOINT a", StatementKind::Savepoint),
        ("RELEASE a", StatementKind::Savepoint),
        ("PREPARE TRANSACTION 'x'", StatementKind::PrepareTransaction),
    ] {
        assert_eq!(classify(sql), kind, "{sql}");
    }
    assert_eq!(words("PREPARE q AS SELECT 1"), "PREPARE");
}

#[test]
fn create_index_in_all_its_forms() {
    let index =
        |concurrently, unique, if_not_exists, index: Option<&str>, table: &str| StatementKind::CreateIndex {
            concurrently,
            unique,
            if_not_exists,
            name: index.map(str::to_owned),
            table: name(table),
        };
    for (sql, kind) in [
        ("CREATE INDEX i ON t (a)", index(false, false, false, Some("i"), "t")),
        (
            "create unique index concurrently I on App.\"T\" using btree (a)",
            index(true, true, false, Some("i"), "app.\"T\""),
        ),
        (
            "CREATE INDEX /* CONCURRENTLY */ IF NOT EXISTS \"concurrently\" ON ONLY t (a)",
            index(false, false, true, Some("concurrently"), "t"),
        ),
        ("CREATE INDEX CONCURRENTLY ON t (a)", index(true, false, false, None, "t")),
        ("CREATE INDEX if ON t (a)", index(false, false, false, Some("if"), "t")),
    ] {
        assert_eq!(classify(sql), kind, "{sql}");
    }
}

#[test]
fn dropping_and_rebuilding() {
    assert_eq!(
        classify("DROP INDEX CONCURRENTLY IF EXISTS a, app.b CASCADE"),
        StatementKind::DropIndex {
            concurrently: true,
            if_exists: true,
            names: vec![name("a"), name("app.b")]
        }
    );
    assert_eq!(
        classify("DROP TABLE a, \"B\""),
        StatementKind::DropTable { if_exists: false, tables: vec![name("a"), name("\"B\"")] }
    );
    for (sql, concurrently, target) in [
        ("REINDEX TABLE CONCURRENTLY t", true, ReindexTarget::Table),
        ("REINDEX (VERBOSE, CONCURRENTLY) INDEX t", true, ReindexTarget::Index),
        ("REINDEX (CONCURRENTLY off) TABLE t", false, ReindexTarget::Table),
        ("REINDEX DATABASE t", false, ReindexTarget::Database),
    ] {
        assert_eq!(
            classify(sql),
            StatementKind::Reindex { concurrently, target, name: Some(name("t")) },
            "{sql}"
        );
    }
    assert_eq!(
        classify("refresh materialized view concurrently a.b with data"),
        StatementKind::RefreshMaterializedView { concurrently: true, name: name("a.b") }
    );
}

#[test]
fn objects_outside_of_schemas_are_named() {
    let name = || "n".to_owned();
    assert_eq!(classify("CREATE DATABASE N OWNER x"), StatementKind::CreateDatabase { name: name() });
    assert_eq!(classify("DROP DATABASE IF EXISTS n (FORCE)"), StatementKind::DropDatabase { name: name() });
    assert_eq!(
        classify("CREATE TABLESPACE \"n\" LOCATION '/x'"),
        StatementKind::CreateTablespace { name: name() }
    );
    assert_eq!(classify("drop tablespace if exists n"), StatementKind::DropTablespace { name: name() });
    assert_eq!(
        classify("CREATE SUBSCRIPTION n CONNECTION 'c' PUBLICATION p WITH (connect = false)"),
        StatementKind::CreateSubscription { name: name(), creates_slot: false }
    );
    assert_eq!(
        classify("DROP SUBSCRIPTION IF EXISTS n CASCADE"),
        StatementKind::DropSubscription { name: name() }
    );
}

#[test]
fn alter_table_lists_its_actions() {
    let sql = "ALTER TABLE IF EXISTS ONLY app.users
        ADD COLUMN onboarding_completed boolean NOT NULL DEFAULT coalesce(false, 'a,b' = 'c') CHECK (x IS NOT NULL),
        ADD IF NOT EXISTS \"N\" numeric(10, 2), ADD PRIMARY KEY (id),
        ADD CONSTRAINT c CHECK (a > 0) NOT VALID, VALIDATE CONSTRAINT c, DROP CONSTRAINT IF EXISTS d,
        DROP COLUMN IF EXISTS old, DROP other CASCADE, ALTER a SET NOT NULL, ALTER COLUMN b TYPE text USING b::text,
        ALTER c SET DEFAULT 1, ALTER c DROP DEFAULT, ALTER c DROP NOT NULL, ENABLE ROW LEVEL SECURITY";
    let StatementKind::AlterTable { table, if_exists: true, actions } = classify(sql) else { panic!() };
    assert_eq!(table, name("app.users"));
    let c = || "c".to_owned();
    let constraint =
        |name: Option<String>, not_valid| AlterAction::AddConstraint { name, not_valid, using_index: false };
    assert_eq!(
        actions,
        [
            AlterAction::AddColumn {
                column: "onboarding_completed".into(),
                if_not_exists: false,
                not_null: true,
                default: Some("coalesce(false, 'a,b' = 'c')".into()),
            },
            AlterAction::AddColumn {
                column: "N".into(),
                if_not_exists: true,
                not_null: false,
                default: None
            },
            constraint(None, false),
            constraint(Some(c()), true),
            AlterAction::ValidateConstraint { name: c() },
            AlterAction::DropConstraint { name: "d".into(), if_exists: true },
            AlterAction::DropColumn { column: "old".into(), if_exists: true },
            AlterAction::DropColumn { column: "other".into(), if_exists: false },
            AlterAction::SetNotNull { column: "a".into() },
            AlterAction::SetType { column: "b".into() },
            AlterAction::SetDefault { column: c() },
            AlterAction::DropDefault { column: c() },
            AlterAction::DropNotNull { column: c() },
            AlterAction::Other { words: "ENABLE ROW LEVEL".into() },
        ]
    );
}

#[test]
fn alter_table_of_one_action() {
    let only = |sql: &str| match classify(sql) {
        StatementKind::AlterTable { mut actions, .. } if actions.len() == 1 => actions.remove(0),
        kind => panic!("{kind:?}"),
    };
    assert_eq!(
        only("ALTER TABLE a RENAME b TO c"),
        AlterAction::RenameColumn { from: "b".into(), to: "c".into() }
    );
    assert_eq!(only("ALTER TABLE a RENAME TO c"), AlterAction::RenameTo { to: "c".into() });
    assert_eq!(
        only("ALTER TABLE a DETACH PARTITION b FINALIZE"),
        AlterAction::DetachPartition { partition: name("b"), finalize: true }
    );
    assert_eq!(
        only("ALTER TABLE a ATTACH PARTITION s.b FOR VALUES IN (1, 2)"),
        AlterAction::AttachPartition { partition: name("s.b") }
    );
    assert_eq!(
        only("ALTER TABLE a ADD d timestamptz DEFAULT now() AT TIME ZONE 'UTC' NOT NULL"),
        AlterAction::AddColumn {
            column: "d".into(),
            if_not_exists: false,
            not_null: true,
            default: Some("now() AT TIME ZONE 'UTC'".into()),
        }
    );
    assert_eq!(
        classify("ALTER TABLE a DETACH PARTITION b CONCURRENTLY"),
        StatementKind::DetachPartitionConcurrently { table: name("a"), partition: name("b") }
    );
}

#[test]
fn rows_that_are_written() {
    for (sql, has_where) in [
        ("UPDATE users SET a = 1", false),
        ("UPDATE ONLY users AS u SET a = (SELECT 1 FROM b WHERE true)", false),
        ("UPDATE users SET a = 'WHERE', \"where\" = 2 -- WHERE", false),
        ("UPDATE users SET a = 1 FROM b WHERE b.id = users.id", true),
        (
            "WITH x AS (SELECT 1 WHERE true), y (a) AS NOT MATERIALIZED (SELECT 2) UPDATE users SET a = 1",
            false,
        ),
    ] {
        assert_eq!(classify(sql), StatementKind::Update { table: name("users"), has_where }, "{sql}");
    }
    assert_eq!(
        classify("delete from a.b where x"),
        StatementKind::Delete { table: name("a.b"), has_where: true }
    );
    assert_eq!(classify("INSERT INTO t SELECT 1"), StatementKind::Insert { table: name("t") });
    assert_eq!(
        classify("TRUNCATE a, ONLY b CASCADE"),
        StatementKind::Truncate { tables: vec![name("a"), name("b")] }
    );
    for sql in [
        "SELECT 1",
        "(SELECT 1) UNION SELECT 2",
        "VALUES (1)",
        "TABLE t",
        "WITH update AS (SELECT 1) SELECT 2",
    ] {
        assert_eq!(classify(sql), StatementKind::Select, "{sql}");
    }
    for (sql, source) in [
        ("COPY t (a) FROM STDIN", CopySource::Stdin),
        ("COPY t FROM '/f'", CopySource::Server),
        ("COPY t TO STDOUT", CopySource::Out),
    ] {
        assert_eq!(classify(sql), StatementKind::Copy { table: Some(name("t")), source }, "{sql}");
    }
}

#[test]
fn everything_else_of_note() {
    let table = |temporary, on_commit_drop| StatementKind::CreateTable {
        table: name("t"),
        if_not_exists: false,
        temporary,
        on_commit_drop,
    };
    let set = |setting: &str, local| StatementKind::Set { setting: setting.into(), local };
    for (sql, kind) in [
        ("CREATE TABLE t (a text DEFAULT 'ON COMMIT DROP')", table(false, false)),
        ("CREATE UNLOGGED TABLE t ()", table(false, false)),
        ("CREATE LOCAL TEMP TABLE t ON COMMIT DROP AS SELECT 1", table(true, true)),
        ("CREATE TYPE t AS ENUM ('a')", StatementKind::CreateType { name: name("t") }),
        (
            "ALTER TYPE s.mood ADD VALUE IF NOT EXISTS E'it\\'s' BEFORE 'b'",
            StatementKind::AlterTypeAddValue {
                name: name("s.mood"),
                value: "it's".into(),
                if_not_exists: true,
            },
        ),
        ("LOCK TABLE a, b IN SHARE MODE", StatementKind::Lock { tables: vec![name("a"), name("b")] }),
        ("SET LOCAL lock_timeout = 0", set("lock_timeout", true)),
        ("SET SESSION Search_Path TO a", set("search_path", false)),
        ("SET app.user = 'x'", set("app.user", false)),
        ("SET TIME ZONE 'UTC'", set("timezone", false)),
        ("DO LANGUAGE PLpgSQL $$begin end$$", StatementKind::Do { language: "plpgsql".into() }),
        ("DO $$x$$ LANGUAGE 'plpython3u'", StatementKind::Do { language: "plpython3u".into() }),
        ("CALL app.p(1)", StatementKind::Call { procedure: name("app.p") }),
        ("CLUSTER VERBOSE", StatementKind::Cluster { table: None }),
        ("CLUSTER t USING i", StatementKind::Cluster { table: Some(name("t")) }),
    ] {
        assert_eq!(classify(sql), kind, "{sql}");
    }
}

#[test]
fn the_rest_is_named_by_its_first_words() {
    for (sql, expected) in [
        ("CREATE OR REPLACE FUNCTION f() RETURNS int", "CREATE FUNCTION"),
        ("create temp view v as select 1", "CREATE VIEW"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", "CREATE MATERIALIZED VIEW"),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO x", "ALTER DEFAULT PRIVILEGES"),
        ("COMMENT ON TABLE t IS 'CREATE INDEX CONCURRENTLY'", "COMMENT"),
        ("ALTER TYPE t RENAME VALUE 'a' TO 'b'", "ALTER TYPE"),
        ("CREATE INDEX", "CREATE INDEX"),
        ("UPDATE", "UPDATE"),
        ("1 + 1", "1 + 1"),
    ] {
        assert_eq!(words(sql), expected, "{sql}");
    }
}

#[test]
fn kinds_survive_json() {
    for sql in
        ["VACUUM", "ALTER TABLE a ADD b int, DROP c", "CREATE INDEX ON t (a)", "SET a = 1", "GRANT x TO y"]
    {
        let kind = classify(sql);
        let json = serde_json::to_string(&kind).unwrap();
        assert_eq!(serde_json::from_str::<StatementKind>(&json).unwrap(), kind, "{json}");
    }
}
