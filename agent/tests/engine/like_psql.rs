//! Files with transactions of their own: the database ends as psql leaves it.

use std::process::Stdio;

use stopover_cluster::TestDatabase;
use tokio::io::AsyncWriteExt;

use crate::support::*;

const BEFORE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 3) i; \
    CREATE TYPE mood AS ENUM ('sad'); CREATE SCHEMA app; \
    CREATE TABLE child (t int REFERENCES t DEFERRABLE)";

const CORPUS: [&str; 9] = [
    "BEGIN;\nINSERT INTO t VALUES (4, 'x');\nCOMMIT;\nCREATE INDEX CONCURRENTLY t_v ON t (v);\nBEGIN;\nUPDATE t SET v = v || '!';\nCOMMIT;",
    "BEGIN; CREATE TEMP TABLE ids ON COMMIT DROP AS SELECT id FROM t WHERE id > 1; DELETE FROM t USING ids WHERE t.id = ids.id; \
     COMMIT; CREATE TEMP TABLE ids (id int); INSERT INTO t VALUES (9, 'nine'); VACUUM t",
    "ALTER TYPE mood ADD VALUE 'glad';\nBEGIN;\nALTER TABLE t ADD m mood DEFAULT 'sad';\nCOMMIT;\nBEGIN; UPDATE t SET m = 'glad'; END;",
    "BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO t VALUES (7, current_setting('transaction_isolation')); COMMIT AND CHAIN; \
     INSERT INTO t VALUES (8, current_setting('transaction_isolation')); COMMIT; \
     INSERT INTO t VALUES (10, current_setting('transaction_isolation'));",
    "BEGIN; SET search_path = app; SET LOCAL application_name = 'x'; CREATE TABLE a (id int); COMMIT; CREATE TABLE b (n text); \
     INSERT INTO b VALUES (current_setting('application_name') = 'x'); RESET search_path; CREATE TABLE c (id int);",
    "BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO child VALUES (20); INSERT INTO t VALUES (20, 'late'); COMMIT; \
     INSERT INTO child VALUES (20);",
    "CREATE TEMP TABLE work (id int) ON COMMIT DELETE ROWS;\nSTART TRANSACTION;\nINSERT INTO work VALUES (1), (2);\n\
     DELETE FROM t WHERE id IN (SELECT id FROM work);\nEND;\nINSERT INTO t SELECT 50 + count(*), 'work' FROM work;",
    "BEGIN; DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id; MOVE 1 IN c; FETCH c; DELETE FROM t WHERE CURRENT OF c; CLOSE c; \
     COMMIT; VACUUM t;",
    "BEGIN;\nCOPY t FROM stdin;\n30\tcopied;\n31\tCOMMIT;\n\\.\nLOCK TABLE t IN EXCLUSIVE MODE;\nUPDATE t SET v = upper(v) WHERE id = 30;\n\
     COMMIT;\nDO $$ BEGIN INSERT INTO t VALUES (32, 'do'); COMMIT; INSERT INTO t VALUES (33, 'do'); END $$;",
];

/// Everything that a file of the corpus could have changed.
const STATE: &str = "SELECT concat_ws(E'\\n', \
    (SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM t), (SELECT string_agg(c::text, ' ') FROM child c), \
    (SELECT string_agg(concat(n.nspname, '.', c.relname, '(', \
            (SELECT string_agg(concat(attname, ' ', format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) \
             FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0), ')'), ' ' ORDER BY n.nspname, c.relname) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('public', 'app')), \
    (SELECT string_agg(enumlabel, ' ' ORDER BY enumsortorder) FROM pg_enum), \
    (SELECT string_agg(xpath, ' ') FROM (SELECT query_to_xml('SELECT * FROM app.b', false, true, '')::text AS xpath \
     WHERE to_regclass('app.b') IS NOT NULL) AS b))";

async fn psql(test: &TestDatabase, sql: &str) {
    let mut child = tokio::process::Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", test.url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(sql.as_bytes()).await.unwrap();
    let ended = child.wait_with_output().await.unwrap();
    assert!(ended.status.success(), "{sql}: {}", String::from_utf8_lossy(&ended.stderr));
}

#[tokio::test]
async fn files_with_their_own_transactions_leave_what_psql_leaves() {
    for sql in CORPUS {
        let (ours, theirs) = (Bench::new().await, Bench::new().await);
        for bench in [&ours, &theirs] {
            bench.execute(BEFORE).await;
        }
        let one = migration("001_a", &[("up.sql", sql)]);
        assert!(!one.up.one_transaction(), "{sql}");
        applied(ours.migrate(&one).await);
        psql(&theirs.test, sql).await;
        assert_eq!(ours.value(STATE).await, theirs.value(STATE).await, "{sql}");
        ours.assert_clean().await;
    }
}
