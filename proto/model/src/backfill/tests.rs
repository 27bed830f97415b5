use super::*;

fn key() -> Vec<KeyColumn> {
    vec![KeyColumn { name: "id".to_owned(), type_name: "bigint".to_owned() }]
}

/// The batch between 10 and 20.
fn batch(sql: &str) -> String {
    let (key, after, through) = (key(), vec!["10".to_owned()], vec!["20".to_owned()]);
    let range = Range { key: &key, after: Some(&after), through: Some(&through), lane: None };
    analyse(sql).unwrap_or_else(|e| panic!("{sql}: {e}")).batch_sql(&range)
}

fn refusal(sql: &str) -> String {
    let refusal = analyse(sql).expect_err(sql);
    assert!(!refusal.hint.is_empty());
    format!("{} @{}", refusal.reason, &sql[refusal.at..])
}

#[test]
fn the_range_is_added_to_the_condition_without_changing_what_it_means() {
    let within =
        |name: &str| format!("\"{name}\".\"id\" > '10'::bigint AND \"{name}\".\"id\" <= '20'::bigint");
    assert_eq!(
        batch("UPDATE users SET a = 1 WHERE a IS NULL -- why\n OR b"),
        format!("UPDATE users SET a = 1 WHERE (a IS NULL -- why\n OR b\n) AND ({})", within("users"))
    );
    assert_eq!(
        batch("update only app.Users as U set a = 1"),
        format!("update only app.Users as U set a = 1\nWHERE {}", within("u"))
    );
    assert_eq!(
        batch("DELETE FROM \"We\"\"ird; t\" w WHERE w.at < now() - interval '1 day'"),
        format!(
            "DELETE FROM \"We\"\"ird; t\" w WHERE (w.at < now() - interval '1 day'\n) AND ({})",
            within("w")
        )
    );
    assert_eq!(
        batch(
            "INSERT INTO log (a) SELECT u.a FROM users u JOIN orders o ON o.user_id = u.id ON CONFLICT DO NOTHING"
        ),
        format!(
            "INSERT INTO log (a) SELECT u.a FROM users u JOIN orders o ON o.user_id = u.id\nWHERE {} ON CONFLICT DO NOTHING",
            within("u")
        )
    );
    assert_eq!(
        batch("INSERT INTO log SELECT a IS DISTINCT FROM 1 FROM users WHERE a > 0 ON CONFLICT DO NOTHING"),
        format!(
            "INSERT INTO log SELECT a IS DISTINCT FROM 1 FROM users WHERE (a > 0\n) AND ({}) ON CONFLICT DO NOTHING",
            within("users")
        )
    );
    assert_eq!(
        batch("WITH k AS (SELECT 1 AS one) UPDATE t SET a = (SELECT one FROM k), b = c IS DISTINCT FROM d"),
        format!(
            "WITH k AS (SELECT 1 AS one) UPDATE t SET a = (SELECT one FROM k), b = c IS DISTINCT FROM d\nWHERE {}",
            within("t")
        )
    );
}

#[test]
fn a_range_over_several_columns_compares_rows_and_quotes_values() {
    let column =
        |name: &str, type_name: &str| KeyColumn { name: name.to_owned(), type_name: type_name.to_owned() };
    let key = [column("tenant", "text"), column("id", "uuid")];
    let values = |tenant: &str| vec![tenant.to_owned(), "00000000-0000-0000-0000-000000000001".to_owned()];
    let through = values("O'Hara\\");
    let range = Range { key: &key, after: None, through: Some(&through), lane: None };
    assert_eq!(
        range.sql("\"t\""),
        "(\"t\".\"tenant\", \"t\".\"id\") <= (E'O''Hara\\\\'::text, '00000000-0000-0000-0000-000000000001'::uuid)"
    );
    assert_eq!(Range { key: &key, after: None, through: None, lane: None }.sql("\"t\""), "true");
}

#[test]
fn a_lane_is_told_by_the_key_alone() {
    let column =
        |name: &str, type_name: &str| KeyColumn { name: name.to_owned(), type_name: type_name.to_owned() };
    let sql = |key: &[KeyColumn]| {
        let lane = Some(Lane { number: 1, of: 2 });
        Range { key, after: None, through: None, lane }.sql("t")
    };
    assert_eq!(sql(&[column("id", "integer")]), "pg_catalog.hashint8extended(t.\"id\"::bigint, 0) & 1 = 1");
    assert_eq!(
        sql(&[column("tenant", "character varying(20)"), column("id", "uuid")]),
        "pg_catalog.uuid_hash_extended(t.\"id\", \
         pg_catalog.hashtextextended(t.\"tenant\"::text COLLATE pg_catalog.\"C\", 0)) & 1 = 1"
    );
    // What a text of it looks like is up to the session.
    assert!(!Lane::can_tell(&[column("id", "bigint"), column("at", "timestamp with time zone")]));
    assert!(Lane::can_tell(&[column("id", "bigint"), column("code", "character(3)")]));
}

#[test]
fn what_cannot_be_taken_apart_is_refused_with_the_place() {
    for (sql, expected) in [
        ("SELECT 1", "only an UPDATE, a DELETE and an INSERT ... SELECT can be run in batches @SELECT"),
        ("CREATE INDEX i ON t (a)", "only an UPDATE"),
        (
            "UPDATE t SET a = o.a FROM o WHERE o.id = t.id",
            "may find several rows for one, and which of them counts is left to chance @FROM o",
        ),
        ("UPDATE t SET a = 1 RETURNING id", "RETURNING has nobody to read it @RETURNING"),
        ("UPDATE t SET a = 1 WHERE CURRENT OF c", "a cursor's current row"),
        ("UPDATE t SET a = (SELECT max(a) FROM t)", "it reads t besides changing it"),
        ("UPDATE t SET a = 1 WHERE id IN (SELECT x.id FROM o, app.t x)", "it reads t besides changing it"),
        ("UPDATE t SET a = 1 WHERE EXISTS (SELECT 1 FROM o JOIN t u ON true)", "it reads t besides"),
        ("DELETE FROM t USING o, t AS other WHERE o.id = t.id", "it reads t besides"),
        (
            "WITH gone AS (DELETE FROM o RETURNING id) UPDATE t SET a = 1",
            "a WITH that writes would write again in every batch @DELETE",
        ),
        (
            "WITH some AS (SELECT id FROM t LIMIT 5) UPDATE t SET a = 1 WHERE id IN (SELECT id FROM some)",
            "it reads t besides",
        ),
        ("MERGE INTO t USING o ON true WHEN MATCHED THEN DELETE", "only an UPDATE"),
        ("INSERT INTO t VALUES (1)", "plain SELECT"),
        ("INSERT INTO t DEFAULT VALUES", "plain SELECT"),
        ("INSERT INTO t (SELECT a FROM o)", "plain SELECT"),
        ("INSERT INTO t SELECT 1", "reads no table"),
        ("INSERT INTO t SELECT * FROM generate_series(1, 9)", "this is none @generate_series"),
        ("INSERT INTO t SELECT * FROM (SELECT 1) x", "this is none @("),
        ("INSERT INTO t SELECT a FROM o LIMIT 10", "a LIMIT would hold for each batch anew @LIMIT"),
        ("INSERT INTO t SELECT DISTINCT a FROM o", "DISTINCT would only hold within each batch @DISTINCT"),
        ("INSERT INTO t SELECT a, count(*) FROM o GROUP BY a", "an aggregate"),
        ("INSERT INTO t SELECT sum(a) FROM o", "an aggregate"),
        ("INSERT INTO t SELECT row_number() OVER (ORDER BY a) FROM o", "a window function"),
        ("INSERT INTO t SELECT a FROM o UNION ALL SELECT a FROM p", "queries that are combined"),
        ("INSERT INTO t SELECT a FROM o ORDER BY a", "an ORDER BY"),
        (
            "INSERT INTO t SELECT o.a FROM o FULL OUTER JOIN p ON p.id = o.id",
            "the walked table's key is null",
        ),
        ("INSERT INTO t SELECT a FROM t", "it reads t besides changing it"),
        ("INSERT INTO t SELECT a FROM o RETURNING a", "RETURNING"),
        ("UPDATE", "not written as"),
    ] {
        let refusal = refusal(sql);
        assert!(refusal.contains(expected), "{sql}\n gave {refusal}");
    }
}

#[test]
fn a_table_may_name_itself_in_a_subquery_that_reads_another() {
    for sql in [
        "UPDATE users SET a = (SELECT o.a FROM orders o WHERE o.user_id = users.id)",
        "UPDATE status SET status = 'x' WHERE EXISTS (SELECT 1 FROM o WHERE o.status = status.id)",
        "DELETE FROM users WHERE NOT EXISTS (SELECT 1 FROM orders WHERE orders.user_id = users.id)",
    ] {
        analyse(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}

#[test]
fn a_key_that_the_statement_changes_is_refused() {
    let update = analyse("UPDATE t SET (a, \"Id\") = (1, 2), b[1] = 3, c.d = 4").unwrap();
    assert_eq!(update.set, ["a", "Id", "b", "c"]);
    assert!(update.check_key(&["id".to_owned()]).is_ok());
    assert!(
        update.check_key(&["x".to_owned(), "Id".to_owned()]).unwrap_err().reason.contains("it changes Id")
    );
}

#[test]
fn a_second_pass_is_made_only_where_the_update_makes_its_condition_false() {
    for (sql, expected) in [
        ("UPDATE t SET a = 1 WHERE a IS NULL", true),
        ("UPDATE t SET a = false WHERE (b > 1 AND (t.a IS NULL))", true),
        ("UPDATE t SET a = true WHERE a IS NOT TRUE", true),
        ("UPDATE t SET a = true WHERE NOT a", true),
        ("UPDATE t SET s = 'new' WHERE s = 'old'", true),
        ("UPDATE t SET s = 'new'::text WHERE s IS DISTINCT FROM 'new'", true),
        ("UPDATE t SET n = -1 WHERE n <> -1", true),
        ("UPDATE t SET a = NULL WHERE a IS NOT NULL", true),
        ("UPDATE t SET a = NULL WHERE a = 3", true),
        ("DELETE FROM t WHERE old", true),
        ("UPDATE t SET s = 'NEW' WHERE s = 'new'", false),
        ("UPDATE t SET a = b WHERE a IS NULL", false),
        ("UPDATE t SET a = 1 WHERE a IS NULL OR b", false),
        ("UPDATE t SET n = n + 1 WHERE n < 10", false),
        ("UPDATE t SET n = 1 WHERE n = 1.0", false),
        ("UPDATE t SET a = 1", false),
        ("UPDATE t SET a = 1 WHERE b IS NULL", false),
        ("UPDATE t SET a = NULL WHERE a IS NULL", false),
        ("DELETE FROM t USING o WHERE o.id = t.id", false),
    ] {
        let found = analyse(sql).unwrap();
        assert_eq!(found.leaves, expected, "{sql}");
        let key = key();
        let all = Range { key: &key, after: None, through: None, lane: None };
        assert_eq!(found.remaining_sql(&all).is_some(), expected, "{sql}");
    }
    let key = key();
    let update = analyse("UPDATE only s.t u SET a = 1 WHERE u.a IS NULL -- here").unwrap();
    let all = Range { key: &key, after: None, through: None, lane: None };
    assert_eq!(
        update.remaining_sql(&all).unwrap(),
        "SELECT 1 FROM ONLY \"s\".\"t\" AS \"u\" WHERE (u.a IS NULL\n) AND (true) LIMIT 1"
    );
}

#[test]
fn a_time_that_differs_from_batch_to_batch_is_worth_a_note() {
    assert_eq!(analyse("UPDATE t SET at = now()").unwrap().notes.len(), 1);
    assert_eq!(analyse("UPDATE t SET now = 1").unwrap().notes.len(), 0);
}
