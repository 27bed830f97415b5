//! The tables as the tools make them.

use stopover_model::event::StepKind;
use stopover_model::history::RowState::{Applied, Baseline, Dirty, Failed, NotApplied};
use stopover_model::history::{HistoryRow, HistoryTable, RowState, Tool};
use stopover_model::report::ErrorClass;

use super::*;
use crate::testing::{context, prepared};

/// The tables, and what is in them.
async fn found(sql: &str) -> Vec<HistoryTable> {
    let database = prepared(sql).await;
    look(&context(database.url(), StepKind::Inspect), &[]).await.unwrap().tables
}

async fn only(sql: &str) -> (Tool, String, Vec<HistoryRow>) {
    let mut tables = found(sql).await;
    assert_eq!(tables.len(), 1, "{tables:?}");
    let HistoryTable { tool, table, rows } = tables.remove(0);
    (tool, table, rows)
}

fn states(rows: &[HistoryRow]) -> Vec<(&str, RowState)> {
    rows.iter().map(|row| (row.version.as_deref().unwrap_or("-"), row.state)).collect()
}

#[tokio::test]
async fn three_tools_call_their_table_schema_migrations() {
    let golang =
        "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);";
    let (tool, table, rows) = only(&format!("{golang} INSERT INTO schema_migrations VALUES (7, true)")).await;
    assert_eq!(
        (tool, table.as_str(), states(&rows)),
        (Tool::GolangMigrate, "public.schema_migrations", vec![("7", Dirty)])
    );

    let dbmate = "CREATE TABLE \"Own\".schema_migrations (version varchar(128) PRIMARY KEY);";
    let (tool, table, rows) = only(&format!(
        "CREATE SCHEMA \"Own\"; {dbmate} INSERT INTO \"Own\".schema_migrations VALUES ('20240102'), ('20240101')"
    ))
    .await;
    assert_eq!((tool, table.as_str()), (Tool::Dbmate, "\"Own\".schema_migrations"));
    assert_eq!(states(&rows), [("20240101", Applied), ("20240102", Applied)]);

    let newer_dbmate = "CREATE TABLE schema_migrations (version varchar PRIMARY KEY)";
    assert_eq!(only(newer_dbmate).await.0, Tool::Dbmate);
    let rails = "CREATE TABLE schema_migrations (version varchar NOT NULL PRIMARY KEY);
        CREATE TABLE ar_internal_metadata (key varchar NOT NULL PRIMARY KEY, value varchar);
        INSERT INTO schema_migrations VALUES ('20240101000000')";
    assert_eq!(only(rails).await.0, Tool::Rails);
    let older_rails = "CREATE TABLE schema_migrations (version varchar(255) NOT NULL);
        CREATE UNIQUE INDEX unique_schema_migrations ON schema_migrations (version)";
    assert_eq!(only(older_rails).await.0, Tool::Rails);
    // Ecto's and Sequel's, which nothing is known of.
    let others = "CREATE SCHEMA e; CREATE TABLE e.schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp);
        CREATE TABLE schema_migrations (filename text PRIMARY KEY)";
    assert_eq!(found(others).await, []);
}

#[tokio::test]
async fn flyways_table() {
    let (tool, table, rows) = only(
        "CREATE SCHEMA app; CREATE TABLE app.flyway_schema_history (installed_rank integer NOT NULL PRIMARY KEY,
            version varchar(50), description varchar(200) NOT NULL, type varchar(20) NOT NULL,
            script varchar(1000) NOT NULL, checksum integer, installed_by varchar(100) NOT NULL,
            installed_on timestamp NOT NULL DEFAULT now(), execution_time integer NOT NULL, success boolean NOT NULL);
        INSERT INTO app.flyway_schema_history VALUES
            (0, NULL, '<< Flyway Schema Creation >>', 'SCHEMA', '\"app\"', NULL, 'u', '2024-01-01 10:00', 0, true),
            (1, '1', '<< Flyway Baseline >>', 'BASELINE', '<< Flyway Baseline >>', NULL, 'u', now(), 0, true),
            (2, '1.1', 'b', 'SQL', 'V1.1__b.sql', -17, 'u', '2024-01-01 10:00:00.5', 3, true),
            (3, NULL, 'my views', 'SQL', 'R__my_views.sql', 4, 'u', now(), 3, true),
            (4, '1.1', 'b', 'UNDO_SQL', 'U1.1__b.sql', 5, 'u', now(), 3, true),
            (5, '2', 'c', 'SQL', 'V2__c.sql', 6, 'u', now(), 3, false)",
    )
    .await;
    assert_eq!((tool, table.as_str()), (Tool::Flyway, "app.flyway_schema_history"));
    let expected = [("1", Baseline), ("1.1", Applied), ("-", Applied), ("1.1", NotApplied), ("2", Failed)];
    assert_eq!(states(&rows), expected);
    assert_eq!((rows[1].checksum.as_deref(), rows[2].name.as_deref()), (Some("-17"), Some("my views")));
    assert!(rows[1].at.is_some());
}

#[tokio::test]
async fn sqlx_diesel_and_goose_beside_one_another() {
    let tables = found(
        "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,
            installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL,
            execution_time bigint NOT NULL);
        INSERT INTO _sqlx_migrations VALUES (1, 'a', '2024-01-01 10:00Z', true, '\\x00ff', 1),
            (2, 'b', now(), false, '\\x01', -1);
        CREATE TABLE __diesel_schema_migrations (version varchar(50) PRIMARY KEY NOT NULL,
            run_on timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP);
        INSERT INTO __diesel_schema_migrations VALUES ('00000000000000', 'infinity'), ('20240101000000', now());
        CREATE TABLE goose_db_version (id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
            version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp NOT NULL DEFAULT now());
        INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true), (1, true), (1, false);
        CREATE TABLE readings (version text, run_on date, dirty boolean)",
    )
    .await;
    let tools: Vec<_> = tables.iter().map(|table| table.tool).collect();
    assert_eq!(tools, [Tool::Diesel, Tool::Sqlx, Tool::Goose]);
    assert_eq!(tables[0].rows[0].at, None, "infinity is no time");
    assert_eq!(states(&tables[1].rows), [("1", RowState::Applied), ("2", RowState::Dirty)]);
    let first = &tables[1].rows[0];
    assert_eq!(
        (first.checksum.as_deref(), first.at),
        (Some("00ff"), Some("2024-01-01T10:00:00Z".parse().unwrap()))
    );
    assert_eq!(states(&tables[2].rows), [("0", Applied), ("1", Applied), ("1", NotApplied)]);
}

#[tokio::test]
async fn liquibases_and_sqitchs_tables() {
    let tables = found(
        "CREATE TABLE databasechangelog (id varchar(255) NOT NULL, author varchar(255) NOT NULL,
            filename varchar(255) NOT NULL, dateexecuted timestamp NOT NULL, orderexecuted integer NOT NULL,
            exectype varchar(10) NOT NULL, md5sum varchar(35), description varchar(255), comments varchar(255),
            tag varchar(255), liquibase varchar(20), contexts varchar(255), labels varchar(255), deployment_id varchar(10));
        INSERT INTO databasechangelog VALUES ('2', 'ann', 'db/c.xml', now(), 2, 'RERAN', '9:x', '', '', NULL, '4', NULL, NULL, '1'),
            ('1', 'bob', 'db/c.xml', now(), 1, 'EXECUTED', '9:y', '', '', NULL, '4', NULL, NULL, '1');
        CREATE SCHEMA sqitch; CREATE TABLE sqitch.projects (project text PRIMARY KEY);
        CREATE TABLE sqitch.changes (change_id text PRIMARY KEY, script_hash text, change text NOT NULL,
            project text NOT NULL, note text NOT NULL DEFAULT '', committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            committer_name text NOT NULL, committer_email text NOT NULL, planned_at timestamptz NOT NULL,
            planner_name text NOT NULL, planner_email text NOT NULL, UNIQUE (project, script_hash));
        CREATE TABLE sqitch.events (event text NOT NULL, change_id text NOT NULL, change text NOT NULL,
            project text NOT NULL, committed_at timestamptz NOT NULL DEFAULT clock_timestamp());
        INSERT INTO sqitch.changes VALUES ('b', 'h1', 'users', 'p', '', '2024-01-02', 'a', 'a', now(), 'a', 'a'),
            ('a', 'h2', 'fn/x', 'p', '', '2024-01-01', 'a', 'a', now(), 'a', 'a')",
    )
    .await;
    assert_eq!(tables.len(), 2, "{tables:?}");
    let first = &tables[0].rows[0];
    let text = |text: &'static str| Some(text.to_owned());
    assert_eq!(
        (&first.version, &first.name, &first.scope),
        (&text("1"), &text("bob"), &text("db/c.xml")),
        "in the order of execution"
    );
    assert_eq!((tables[1].tool, tables[1].table.as_str()), (Tool::Sqitch, "sqitch.changes"));
    let names: Vec<_> = tables[1].rows.iter().map(|row| row.version.as_deref().unwrap()).collect();
    assert_eq!((names, tables[1].rows[0].scope.as_deref()), (vec!["fn/x", "users"], Some("p")));
}

#[tokio::test]
async fn a_history_that_may_not_be_read_is_said_with_the_grant() {
    let database = prepared(
        "CREATE SCHEMA theirs; CREATE TABLE theirs.goose_db_version (id int PRIMARY KEY, version_id bigint, is_applied boolean, tstamp timestamp)",
    )
    .await;
    let admin = database.client().await.unwrap();
    let role = format!("role_{}", database.name());
    admin.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await.unwrap();
    let url = format!(
        "host=127.0.0.1 port={} user={role} password=x dbname={}",
        database.config().get_ports()[0],
        database.name()
    );
    let error = look(&context(&url, StepKind::Inspect), &[]).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Setup);
    assert!(error.message.contains("goose in theirs.goose_db_version"), "{error:?}");
    assert!(error.hint.unwrap().starts_with("GRANT SELECT ON theirs.goose_db_version TO"));
    admin.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
}
