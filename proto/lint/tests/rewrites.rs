//! What is written out to copy, on a real PostgreSQL: it runs, and leaves the tables as the original does.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::path::Path;

use stopover_cluster::TestDatabase;
use stopover_lint::{Finding, Role, ScriptToLint, Severities, lint};
use stopover_model::migration::{Reading, Script};
use stopover_model::sql;
use tokio_postgres::Client;

const TABLES: &str = "CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
    INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 20) n;
    CREATE TABLE orders (number bigint NOT NULL, user_id bigint, total int NOT NULL, note text);
    INSERT INTO orders SELECT n, 1 + n % 20, n, CASE WHEN n % 3 = 0 THEN 'x' END FROM generate_series(1, 30) n;
    CREATE INDEX old ON orders (total);";

/// Made by whoever comes later, so that defaults show.
const LATER: &str = "INSERT INTO users (name) VALUES ('new'); INSERT INTO orders (number, user_id, total, note) VALUES (2000, 1, 1, 'y');";

const STATE: [&str; 4] = [
    "SELECT concat_ws(' ', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid))
     FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE attrelid IN ('users'::regclass, 'orders'::regclass) AND attnum > 0 AND NOT attisdropped",
    "SELECT concat_ws(' ', conname, pg_get_constraintdef(oid), convalidated) FROM pg_constraint
     WHERE conrelid IN ('users'::regclass, 'orders'::regclass)",
    "SELECT concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid, indisunique) FROM pg_index
     WHERE indrelid IN ('users'::regclass, 'orders'::regclass)",
    "SELECT concat_ws(' ', c.relname, pg_get_serial_sequence(t.relname, a.attname)) FROM pg_class c
     JOIN pg_depend d ON d.objid = c.oid AND c.relkind = 'S' JOIN pg_class t ON t.oid = d.refobjid
     JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid",
];
const ROWS: &str = "SELECT to_jsonb(u)::text FROM users u UNION ALL SELECT to_jsonb(o)::text FROM orders o";

/// What is left after the scripts and one more row in each table.
async fn state(scripts: &[&str], rows: &str) -> Vec<String> {
    let database = TestDatabase::shared().await.unwrap();
    let client = database.client().await.unwrap();
    client.batch_execute(TABLES).await.unwrap();
    for script in scripts {
        // One statement at a time, as CONCURRENTLY needs it.
        for statement in sql::split(script).unwrap() {
            client
                .batch_execute(statement.text)
                .await
                .unwrap_or_else(|e| panic!("{}: {e:?}", statement.text));
        }
    }
    client.batch_execute(LATER).await.unwrap();
    let mut state = Vec::new();
    for sql in STATE.iter().chain([&rows]) {
        let mut found = texts(&client, sql).await;
        found.sort();
        state.extend(found);
    }
    state
}

async fn texts(client: &Client, sql: &str) -> Vec<String> {
    client
        .query(sql, &[])
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e:?}"))
        .iter()
        .map(|row| row.get(0))
        .collect()
}

fn findings(text: &str) -> Vec<Finding> {
    let reading = Reading { must_do_something: false, ..Reading::default() };
    let script = Script::parse_as(text.as_bytes(), reading).unwrap();
    let role = Role::Up;
    let file = "up.sql".to_owned();
    let script = ScriptToLint {
        file,
        migration: "1",
        script: &script,
        role,
        rerun_is_safe: true,
        saves: true,
        is_context: false,
    };
    lint(&[script], &Severities::default()).findings
}

/// The SQL that a rule wants instead.
fn instead(text: &str, rule: &str) -> String {
    let finding = findings(text).into_iter().find(|finding| finding.rule.name() == rule);
    let finding = finding.unwrap_or_else(|| panic!("no {rule} in {text}"));
    finding.rewrite.unwrap_or_else(|| panic!("{rule} writes nothing out for {text}")).sql
}

#[tokio::test]
async fn each_leaves_what_the_original_does() {
    for (original, rule) in [
        (
            "ALTER TABLE users ADD done boolean;\nUPDATE users SET done = true;\nALTER TABLE users ALTER done SET DEFAULT false;",
            "stopover/update-without-where",
        ),
        (
            "ALTER TABLE users ADD kind text NOT NULL DEFAULT 'a';\nUPDATE users SET kind = 'b';",
            "stopover/update-without-where",
        ),
        (
            "ALTER TABLE users ADD done boolean DEFAULT false;\n-- stopover: backfill\nUPDATE users SET done = true;",
            "stopover/backfill-without-need",
        ),
        ("UPDATE orders SET note = 'n' || number;", "stopover/update-without-where"),
        ("DELETE FROM orders;", "stopover/delete-without-where"),
        (
            "ALTER TABLE orders ADD CONSTRAINT o FOREIGN KEY (user_id) REFERENCES users (id);",
            "adding-foreign-key-constraint",
        ),
        (
            "ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE;",
            "adding-foreign-key-constraint",
        ),
        ("ALTER TABLE orders ADD buyer bigint REFERENCES users (id);", "adding-foreign-key-constraint"),
        ("ALTER TABLE orders ADD CHECK (total > 0);", "constraint-missing-not-valid"),
        ("ALTER TABLE orders ADD CHECK (total > 0 AND number > 0);", "constraint-missing-not-valid"),
        ("ALTER TABLE orders ADD UNIQUE (number, total);", "disallowed-unique-constraint"),
        ("ALTER TABLE orders ADD PRIMARY KEY (number);", "adding-serial-primary-key-field"),
        ("ALTER TABLE orders ALTER user_id SET NOT NULL;", "adding-not-nullable-field"),
        ("CREATE INDEX ON orders (user_id);", "require-concurrent-index-creation"),
        ("DROP INDEX old;", "require-concurrent-index-deletion"),
        ("ALTER TABLE users ADD seq bigserial;", "stopover/add-column-rewrites"),
    ] {
        let sql = instead(original, rule);
        let (left, wanted) = (state(&[&sql], ROWS).await, state(&[original], ROWS).await);
        let differs: Vec<_> = wanted.iter().filter(|row| !left.contains(row)).collect();
        assert!(left == wanted, "{sql}\nlacks {differs:?}");
    }
}

#[tokio::test]
async fn values_of_chance_are_there_for_all() {
    let original = "ALTER TABLE users ADD token uuid DEFAULT gen_random_uuid();";
    let sql = instead(original, "adding-field-with-default");
    let rows = "SELECT count(DISTINCT token)::text FROM users";
    let left = state(&[&sql], rows).await;
    assert_eq!(left, state(&[original], rows).await, "{sql}");
    assert_eq!(left.last().unwrap(), "21");
}

/// The guide's change, in both variants: a default instead of the UPDATE or the loop, and the index CONCURRENTLY.
#[tokio::test]
async fn the_guides_migration_without_a_backfill() {
    let sample =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/samples/001_add_onboarding_completed");
    for (file, rule) in
        [("up.sql", "stopover/update-without-where"), ("up.batch.sql", "stopover/backfill-without-need")]
    {
        let text = std::fs::read_to_string(sample.join(file)).unwrap();
        let column = instead(&text, rule);
        let statements = sql::split(&text).unwrap();
        let all: Vec<_> = statements.iter().map(|s| s.text).collect();
        let behind: Vec<_> =
            all.iter().copied().filter(|s| s.starts_with("COMMENT") || *s == "ANALYZE users").collect();
        assert_eq!(behind.len(), 2);
        let index = match file {
            "up.sql" => instead(&text, "require-concurrent-index-creation"),
            _ => all.iter().find(|s| s.starts_with("CREATE INDEX CONCURRENTLY")).unwrap().to_string(),
        };
        let scripts: Vec<&str> = [column.as_str(), index.as_str()].into_iter().chain(behind).collect();
        let left = state(&scripts, ROWS).await;
        assert_eq!(left, state(&[&text], ROWS).await, "{scripts:?}");
        assert!(
            left.iter().any(|row| row.contains("\"new\"") && row.contains("\"onboarding_completed\": false"))
        );
        assert!(
            findings(&scripts.join(";\n")).is_empty(),
            "followed to the letter, it is found fault with no more"
        );
    }
}
