//! Flyway's repeatable scripts: each content that is not what ran last runs.

use stopover_model::layout;
use stopover_model::migration::Migration;
use stopover_model::report::ErrorClass;

use crate::support::*;

fn script(text: &str) -> Migration {
    let files = [("R__view.sql".to_owned(), text.as_bytes().to_vec())].into();
    layout::read("db", &files, None).unwrap().migrations.remove(0)
}

#[tokio::test]
async fn a_changed_script_runs_again_and_so_does_an_earlier_content() {
    let bench = Bench::new().await;
    let view = |n: u32| script(&format!("DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT {n} AS n;"));
    for n in [1, 2, 1] {
        let first = applied(bench.migrate(&view(n)).await);
        let second = applied(bench.migrate(&view(n)).await);
        assert_eq!((first.already_applied, second.already_applied), (false, true));
        assert_eq!(bench.value("SELECT n FROM v").await, n.to_string());
    }
    assert_eq!(bench.value("SELECT count(*) FROM stopover.migration WHERE id = 'R__view'").await, "1");
    assert_eq!(bench.value("SELECT count(*) FROM stopover.history WHERE what = 'applied'").await, "3");
    // One that fails leaves what ran before, and its row.
    let wrong = failure(bench.migrate(&script("DROP VIEW v; SELECT nope;")).await);
    assert_eq!(wrong.class, ErrorClass::Sql);
    assert!(applied(bench.migrate(&view(1)).await).already_applied);
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_script_that_runs_statement_by_statement_begins_from_its_first_again() {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE t (a int)").await;
    let text = |n: u32| script(&format!("INSERT INTO t VALUES ({n}); VACUUM t; INSERT INTO t VALUES ({n});"));
    applied(bench.migrate(&text(1)).await);
    // The second content is cut off in its middle, and goes on from there.
    let running = bench
        .spawn(&script("INSERT INTO t VALUES (2); VACUUM t; SELECT pg_sleep(1); INSERT INTO t VALUES (2);"));
    bench.kill_when("query LIKE 'SELECT pg_sleep%' AND state = 'active'").await;
    assert!(!applied(running.end().await).already_applied);
    assert_eq!(bench.value("SELECT string_agg(a::text, ',' ORDER BY a) FROM t").await, "1,1,2,2");
    applied(bench.migrate(&text(1)).await);
    assert_eq!(bench.value("SELECT count(*) FROM t").await, "6");
    assert_eq!(bench.value("SELECT count(*) FROM stopover.migration").await, "1");
    bench.assert_clean().await;
}
