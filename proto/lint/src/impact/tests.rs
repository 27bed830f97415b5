//! What one statement does to those behind it. What each does by itself is tried on PostgreSQL, by the agent's tests.

use stopover_model::impact::{StatementImpact, WorkKind};
use stopover_model::migration::Reading as HowToRead;

use super::*;

/// `users (id primary key, name varchar(10), tenant_id -> tenants)` of 1000 rows, and `tenants (id primary key)`.
fn facts() -> Facts {
    let column = |name: &str, type_oid, typmod, not_null| Column {
        name: name.into(),
        type_oid,
        typmod,
        not_null,
        ..Column::default()
    };
    let ty = |oid, name: &str| Type {
        oid,
        schema: "pg_catalog".into(),
        name: name.into(),
        kind: 'b',
        ..Type::default()
    };
    let key = |oid, name: &str| Index {
        oid,
        name: name.into(),
        key: vec![Some("id".into())],
        columns: vec!["id".into()],
        unique: true,
        primary: true,
        constraint: true,
        ..Index::default()
    };
    let tenant = ForeignKey {
        name: "users_tenant".into(),
        to: 2,
        valid: true,
        columns: vec!["tenant_id".into()],
        to_columns: vec!["id".into()],
        on_delete: 'a',
        on_update: 'a',
        inherited: false,
    };
    let relation = |oid, name: &str| Relation {
        oid,
        schema: "public".into(),
        name: name.into(),
        kind: 'r',
        rows: 1000,
        heap_bytes: 100_000,
        index_bytes: 20_000,
        ..Relation::default()
    };
    let users = Relation {
        columns: vec![
            column("id", 23, -1, true),
            column("name", 1043, 14, false),
            column("tenant_id", 23, -1, false),
        ],
        indexes: vec![key(10, "users_pkey")],
        foreign_keys: vec![tenant],
        ..relation(1, "users")
    };
    let tenants = Relation {
        columns: vec![column("id", 23, -1, true)],
        indexes: vec![key(20, "tenants_pkey")],
        ..relation(2, "tenants")
    };
    Facts {
        version: 150_000,
        search_path: vec!["pg_catalog".into(), "public".into()],
        relations: vec![users, tenants],
        types: vec![ty(23, "int4"), ty(25, "text"), ty(1043, "varchar")],
        binary_casts: vec![(1043, 25), (25, 1043)],
        ..Facts::default()
    }
}

fn predicted(scripts: &[&str]) -> Vec<ScriptImpact> {
    let how = HowToRead { must_do_something: false, ..HowToRead::default() };
    let scripts: Vec<Script> =
        scripts.iter().map(|sql| Script::parse_as(sql.as_bytes(), how).unwrap()).collect();
    let ids: Vec<MigrationId> = (0..scripts.len()).map(|n| format!("00{n}_x").parse().unwrap()).collect();
    let to_predict = scripts.iter().zip(&ids).map(|(script, migration)| ScriptToPredict {
        migration,
        variant: Variant::Standard,
        script,
        saves: true,
    });
    predict(&to_predict.collect::<Vec<_>>(), &facts(), 200).impacts
}

/// `index: MODE relation, work` of each statement of the last script.
fn shown(scripts: &[&str]) -> Vec<String> {
    let statements = predicted(scripts).pop().map(|script| script.statements).unwrap_or_default();
    statements.iter().map(|impact| format!("{}: {}", impact.index, one(impact))).collect()
}

fn one(impact: &StatementImpact) -> String {
    let locks = impact.locks.iter().map(|lock| format!("{} {}", lock.mode, lock.relation));
    let work = impact.work.iter().map(|work| format!("{:?} {} rows", work.kind, work.rows));
    locks.chain(work).collect::<Vec<_>>().join(", ")
}

#[test]
fn what_is_created_here_is_in_nobodys_way() {
    let script = "CREATE TABLE a (id int); INSERT INTO a VALUES (1); ALTER TABLE a ADD b serial; CREATE INDEX ON a (b);";
    assert_eq!(predicted(&[script]), []);
    assert_eq!(
        shown(&["CREATE TABLE a (id int)", "ALTER TABLE public.a ADD b serial; LOCK TABLE users;"]),
        ["1: ACCESS EXCLUSIVE public.users"]
    );
    assert_eq!(
        shown(&["CREATE TABLE a AS SELECT * FROM users; CREATE INDEX ON a (id)"]),
        ["0: ACCESS SHARE public.users, Scan 1000 rows"]
    );
}

#[test]
fn statements_build_on_those_before() {
    let proven = "ALTER TABLE users ADD CONSTRAINT c CHECK (name IS NOT NULL) NOT VALID; \
                  ALTER TABLE users VALIDATE CONSTRAINT c; ALTER TABLE users ALTER name SET NOT NULL";
    assert_eq!(
        shown(&[proven]),
        [
            "0: ACCESS EXCLUSIVE public.users",
            "1: SHARE UPDATE EXCLUSIVE public.users, Scan 1000 rows",
            "2: ACCESS EXCLUSIVE public.users",
        ]
    );
    assert_eq!(
        shown(&["ALTER TABLE users RENAME TO people", "ALTER TABLE people ALTER name SET NOT NULL"]),
        ["0: ACCESS EXCLUSIVE public.people, Scan 1000 rows"]
    );
    let unbound = "ALTER TABLE users DROP CONSTRAINT users_tenant; DROP TABLE users";
    assert_eq!(
        shown(&[unbound]),
        [
            "0: ACCESS EXCLUSIVE public.users, ACCESS EXCLUSIVE public.tenants",
            "1: ACCESS EXCLUSIVE public.users",
        ]
    );
    let emptied = "TRUNCATE users; ALTER TABLE users ALTER name SET NOT NULL";
    assert_eq!(shown(&[emptied])[1], "1: ACCESS EXCLUSIVE public.users, Scan 0 rows");
    let widened =
        "ALTER TABLE users ALTER name TYPE varchar(20); ALTER TABLE users ALTER name TYPE varchar(15)";
    assert_eq!(shown(&[widened])[1], "1: ACCESS EXCLUSIVE public.users, Rewrite 1000 rows");
}

#[test]
fn a_lock_is_held_until_its_transaction_ends() {
    let script =
        "ALTER TABLE users ADD a int;\nSELECT 1;\nUPDATE users SET a = 1;\nCREATE INDEX i ON users (a);";
    let statements = &predicted(&[script])[0].statements;
    assert_eq!(
        statements[0].notes,
        [
            "the lock on public.users is held until the transaction ends, while line 3 changes rows of public.users"
        ]
    );
    assert!(statements.iter().skip(1).all(|impact| impact.notes.is_empty()), "{statements:?}");
    let apart = format!("{script}\nCREATE INDEX CONCURRENTLY j ON users (a);");
    let statements = &predicted(&[&apart])[0].statements;
    assert!(
        statements.iter().all(|impact| !impact.notes.iter().any(|note| note.contains("held"))),
        "{statements:?}"
    );
}

#[test]
fn a_backfill_runs_in_batches() {
    let script = "-- stopover: backfill\nUPDATE users SET name = 'x' WHERE name IS NULL;";
    let impact = &predicted(&[script])[0].statements[0];
    assert_eq!(one(impact), "ROW EXCLUSIVE public.users, ChangeRows 1000 rows");
    assert!(impact.notes[0].starts_with("runs in batches"), "{impact:?}");
    assert_eq!(impact.work[0].kind, WorkKind::ChangeRows);
}

#[test]
fn names_are_looked_up_where_the_script_says() {
    assert_eq!(predicted(&["SET search_path = app; LOCK TABLE users"]), []);
    assert_eq!(
        shown(&["SET search_path TO app, public; LOCK TABLE Users"]),
        ["1: ACCESS EXCLUSIVE public.users"]
    );
    assert_eq!(predicted(&["LOCK TABLE \"Users\""]), []);
    let script = Script::parse(b"SET search_path = app; LOCK TABLE users; LOCK TABLE \"Odd.\"").unwrap();
    let migration = "001_x".parse().unwrap();
    let asked = questions(&[ScriptToPredict {
        migration: &migration,
        variant: Variant::Standard,
        script: &script,
        saves: true,
    }]);
    let asked: Vec<String> = asked.relations.iter().map(ToString::to_string).collect();
    assert_eq!(asked, ["\"Odd.\"", "users", "app.\"Odd.\"", "app.users"]);
}

#[test]
fn what_no_parser_reads_is_told_by_its_kind() {
    let long = format!("INSERT INTO users (id) VALUES {}", vec!["(1)"; 20_000].join(", "));
    let impact = &predicted(&[&long])[0].statements[0];
    assert_eq!(one(impact), "ROW EXCLUSIVE public.users");
    assert!(impact.notes[0].contains("longer than 32 KiB"), "{impact:?}");
}

#[test]
fn one_row_by_its_key_is_one_row() {
    assert_eq!(
        shown(&["DELETE FROM users WHERE id = 7"]),
        ["0: ROW EXCLUSIVE public.users, ChangeRows 1 rows"]
    );
    assert_eq!(
        shown(&["INSERT INTO users (id) VALUES (1), (2)"]),
        ["0: ROW EXCLUSIVE public.users, ChangeRows 2 rows"]
    );
    assert_eq!(
        shown(&["DELETE FROM tenants"]),
        ["0: ROW EXCLUSIVE public.tenants, ROW SHARE public.users, ChangeRows 1000 rows"]
    );
    let impact = &predicted(&["DELETE FROM tenants"])[0].statements[0];
    assert!(impact.notes[0].contains("no index on tenant_id"), "{impact:?}");
}

#[test]
fn what_there_is_no_room_for_is_counted() {
    let script = Script::parse(b"LOCK TABLE users; LOCK TABLE users; LOCK TABLE tenants").unwrap();
    let migration = "001_x".parse().unwrap();
    let scripts =
        [ScriptToPredict { migration: &migration, variant: Variant::Standard, script: &script, saves: true }];
    let prediction = predict(&scripts, &facts(), 2);
    assert_eq!((prediction.impacts[0].statements.len(), prediction.left_out), (2, 1));
}
