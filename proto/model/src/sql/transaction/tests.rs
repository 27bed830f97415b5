use crate::sql::split;

fn reasons(sql: &str) -> Vec<Option<String>> {
    let statements = split(sql).unwrap();
    let verdicts = statements.iter().map(|statement| match statement.transactionality() {
        super::Transactionality::InTransaction => None,
        super::Transactionality::OwnTransaction { reason } => Some(reason),
    });
    verdicts.collect()
}

fn is_own(sql: &str) -> bool {
    let found = reasons(sql);
    assert_eq!(found.len(), 1, "{sql}");
    found[0].is_some()
}

#[test]
fn what_postgresql_refuses_in_a_transaction() {
    for sql in [
        "CREATE INDEX CONCURRENTLY i ON t (a)",
        "create unique index /* now */ concurrently on t (a)",
        "DROP INDEX CONCURRENTLY i",
        "REINDEX TABLE CONCURRENTLY t",
        "REINDEX (CONCURRENTLY) INDEX i",
        "REINDEX SCHEMA s",
        "REINDEX DATABASE d",
        "REINDEX SYSTEM d",
        "VACUUM",
        "VACUUM (FULL, ANALYZE) t",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "CREATE DATABASE d",
        "DROP DATABASE IF EXISTS d",
        "ALTER DATABASE d SET TABLESPACE t",
        "CREATE TABLESPACE t LOCATION '/x'",
        "DROP TABLESPACE t",
        "ALTER TABLE p DETACH PARTITION q CONCURRENTLY",
        "CLUSTER",
        "CLUSTER (VERBOSE)",
        "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
        "CREATE SUBSCRIPTION s CONNECTION 'create_slot=false' PUBLICATION p WITH (enabled = false)",
        "ALTER SUBSCRIPTION s REFRESH PUBLICATION",
        "ALTER SUBSCRIPTION s ADD PUBLICATION p",
        "ALTER SUBSCRIPTION s SET (failover = true)",
        "DROP SUBSCRIPTION s",
        "DISCARD ALL",
        "COMMIT PREPARED 'x'",
        "CALL p()",
    ] {
        assert!(is_own(sql), "{sql}");
    }
}

#[test]
fn what_only_looks_like_it() {
    for sql in [
        "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
        "INSERT INTO notes VALUES ('CREATE INDEX CONCURRENTLY i ON t (a)')",
        "CREATE INDEX i ON t (a) -- CONCURRENTLY",
        "CREATE INDEX \"concurrently\" ON t (a)",
        "COMMENT ON INDEX i IS $$built CONCURRENTLY$$",
        "REINDEX TABLE t",
        "REINDEX (CONCURRENTLY false) TABLE t",
        "ALTER TABLE p DETACH PARTITION q",
        "ALTER TABLE p DETACH PARTITION q FINALIZE",
        "ALTER TABLE p DETACH PARTITION concurrently",
        "ALTER TYPE t ADD VALUE 'x'",
        "CLUSTER t",
        "ANALYZE t",
        "ALTER DATABASE d SET work_mem = '1MB'",
        "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (create_slot = false)",
        "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = 'off')",
        "ALTER SUBSCRIPTION s SET PUBLICATION p WITH (copy_data = false, refresh = false)",
        "ALTER SUBSCRIPTION s DISABLE",
        "ALTER SUBSCRIPTION s SET (synchronous_commit = off)",
        "DISCARD TEMP",
        "SELECT vacuum FROM t",
        "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$",
    ] {
        assert!(!is_own(sql), "{sql}");
    }
}

#[test]
fn do_blocks_that_end_their_transaction() {
    for sql in [
        "DO $$ BEGIN UPDATE t SET a = 1; COMMIT; END $$",
        "DO $x$ DECLARE n int := 0; BEGIN LOOP n := n + 1; EXIT WHEN n > 3;\n commit and chain; END LOOP; END $x$",
        "DO LANGUAGE plpgsql $$ BEGIN IF true THEN ROLLBACK; END IF; END $$",
        "DO $$ <<outer>> BEGIN IF a THEN NULL; ELSE/* now */COMMIT; END IF; END $$",
        "DO ' BEGIN COMMIT; END '",
        "DO E'BEGIN\\nCOMMIT; END'",
        "DO $$ BEGIN CALL p(); END $$",
        "DO $$ BEGIN DO $i$ BEGIN COMMIT; END $i$; END $$",
        "DO $$ plpy.commit() $$ LANGUAGE plpython3u",
    ] {
        assert!(is_own(sql), "{sql}");
    }
    assert_eq!(
        reasons("DO $$ BEGIN COMMIT; END $$; CALL app.\"P\"(); DO $$ BEGIN ROLLBACK; END $$"),
        [
            Some("the DO block commits by itself".to_owned()),
            Some("the procedure app.\"P\" may commit by itself".to_owned()),
            Some("the DO block rolls back by itself".to_owned()),
        ]
    );
}

#[test]
fn do_blocks_that_only_speak_of_it() {
    for sql in [
        "DO $$ BEGIN RAISE NOTICE 'COMMIT;'; END $$",
        "DO $$ BEGIN -- COMMIT;\n /* ROLLBACK; */ NULL; END $$",
        "DO $$ DECLARE commit int; BEGIN commit := 1; RAISE NOTICE '%', commit; END $$",
        "DO $$ BEGIN EXECUTE 'CREATE TABLE x (a int); COMMIT;'; EXECUTE $q$COMMIT;$q$; END $$",
        "DO $$ BEGIN CREATE TEMP TABLE x (a int) ON COMMIT DROP; END $$",
        "DO $$ BEGIN SELECT a INTO b FROM t ORDER BY commit; END $$",
        "DO $$ BEGIN DO $i$ BEGIN NULL; END $i$; NULL; END $$",
        "DO $$ DECLARE call text; BEGIN call := 'x'; END $$",
        "DO $$ spi_exec('SELECT 1') $$ LANGUAGE plperl",
    ] {
        assert!(!is_own(sql), "{sql}");
    }
}
