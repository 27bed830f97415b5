//! A directory of each layout, as its tool would read it, and each way to get it wrong.

mod refusals;
mod sections;

use super::*;
use crate::migration::TransactionMode;

const SQL: &str = "CREATE TABLE t (a int);\n";

fn directory(files: &[(&str, &str)], forced: Option<Layout>) -> Result<Directory, String> {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    read("db", &files, forced).map_err(|e| e.to_string())
}

fn found(files: &[(&str, &str)]) -> Directory {
    directory(files, None).unwrap_or_else(|e| panic!("{e}"))
}

fn error(files: &[(&str, &str)]) -> String {
    directory(files, None).unwrap_err()
}

/// The same text under each name.
fn named(names: &[&str]) -> Directory {
    found(&names.iter().map(|name| (*name, SQL)).collect::<Vec<_>>())
}

fn ids(directory: &Directory) -> Vec<&str> {
    directory.migrations.iter().map(|m| m.id.as_str()).collect()
}

fn modes(migration: &Migration) -> (TransactionMode, TransactionMode) {
    (migration.manifest.transaction, migration.manifest.down_transaction)
}

#[test]
fn one_migration_of_ours() {
    let one = found(&[("up.sql", SQL), ("down.sql", "DROP TABLE t;")]);
    assert_eq!((one.layout, ids(&one)), (Layout::Native, vec!["db"]));
    assert_eq!(one.migrations[0].manifest.source, None);
    assert!(error(&[("up.sql", "-- nothing")]).starts_with("db/up.sql: the file holds no statement"));
}

#[test]
fn many_of_ours_go_by_their_numbers() {
    let many =
        named(&["10_c/up.sql", "9_b/up.sql", "009.5_x/up.sql", "1_a/up.sql", "1_a/down.sql", "README.md"]);
    assert_eq!((many.layout, ids(&many)), (Layout::NativeMany, vec!["1_a", "9_b", "009.5_x", "10_c"]));
    assert_eq!(ids(&named(&["b/up.sql", "a/up.sql"])), ["a", "b"]);
    assert!(error(&[("1_a/up.sql", "-- nothing")]).starts_with("db/1_a/up.sql: the file holds no statement"));
}

#[test]
fn golang_migrate() {
    let it =
        named(&["10_b.up.sql", "10_b.down.sql", "9_a.up.sql", "000011_c.up.sql", "embed.go", "sqlc.yaml"]);
    assert_eq!((it.layout, ids(&it)), (Layout::GolangMigrate, vec!["9_a", "10_b", "000011_c"]));
    let source = it.migrations[1].manifest.source.as_ref().unwrap();
    assert_eq!((source.file.as_str(), source.first_line), ("10_b.up.sql", 1));
    assert_eq!(source.down.as_ref().unwrap().file, "10_b.down.sql");
    assert!(it.migrations[1].down.is_some() && it.migrations[0].down.is_none());
}

#[test]
fn diesel() {
    let it = found(&[
        ("00000000000000_diesel_initial_setup/up.sql", "-- nothing"),
        ("00000000000000_diesel_initial_setup/down.sql", ""),
        ("2024-01-02-000000_b/up.sql", SQL),
        ("2024-01-02-000000_b/metadata.toml", "run_in_transaction = false\n"),
        ("20240101000000_a/up.sql", SQL),
        ("20240101000000_a/down.sql", "DROP TABLE t;"),
        ("2024-01-03-000000_c/up.sql", SQL),
        ("2024-01-03-000000_c/metadata.toml", "\u{feff}# on its own\r\n"),
        (".diesel_lock", ""),
    ]);
    assert_eq!(it.layout, Layout::Diesel);
    assert_eq!(
        ids(&it),
        [
            "00000000000000_diesel_initial_setup",
            "20240101000000_a",
            "2024-01-02-000000_b",
            "2024-01-03-000000_c"
        ]
    );
    let never: Vec<_> = it.migrations.iter().map(|m| modes(m).0 == TransactionMode::Never).collect();
    assert_eq!(never, [false, false, true, true], "a metadata.toml without the key means false to diesel");
    assert!(it.migrations[0].down.is_some(), "nothing is taken back by nothing");
}

#[test]
fn diesels_directories_read_the_same_as_ours() {
    let files = [("2024-01-02-000000_b/up.sql", SQL), ("2024-01-02-000000_b/down.sql", "DROP TABLE t;")];
    let ours = directory(&files, Some(Layout::NativeMany)).unwrap();
    assert_eq!(found(&files).layout, Layout::Diesel);
    assert_eq!(found(&files).migrations[0].digest, ours.migrations[0].digest);
    for (name, layout) in [
        ("2024-01-02-000000-0000_b/up.sql", Layout::Diesel),
        ("2024-01-02-000000-000a_b/up.sql", Layout::Diesel),
        ("20240102000000-0000_b/up.sql", Layout::NativeMany),
        ("2024-01-02_b/up.sql", Layout::NativeMany),
    ] {
        assert_eq!(found(&[(name, SQL)]).layout, layout, "{name}");
    }
    let toml = [files[0], ("2024-01-02-000000_b/migration.toml", "description = \"x\"")];
    assert_eq!(found(&toml).layout, Layout::NativeMany);
}

#[test]
fn flyway_goes_by_dotted_versions_and_repeatable_scripts_come_last() {
    let it = found(&[
        ("R__b views.sql", SQL),
        ("R__a_views.sql", SQL),
        ("V1.10__c.sql", SQL),
        ("V1_9__b.sql", SQL),
        ("V1_9__b.sql.conf", "# why\r\nexecuteInTransaction=false\r\n"),
        ("U1.9__b.sql", "DROP TABLE t;"),
        ("old/V001__a.sql", SQL),
    ]);
    assert_eq!(it.layout, Layout::Flyway);
    assert_eq!(ids(&it), ["V001__a", "V1_9__b", "V1.10__c", "R__a_views", "R__b-views"]);
    let repeatable: Vec<_> = it.migrations.iter().map(|m| m.manifest.is_repeatable()).collect();
    assert_eq!(repeatable, [false, false, false, true, true]);
    assert_eq!(modes(&it.migrations[1]), (TransactionMode::Never, TransactionMode::Auto));
    assert!(it.migrations[1].down.is_some());
    let changed = found(&[("R__a_views.sql", "SELECT 2;")]);
    assert_eq!(changed.migrations[0].id, it.migrations[3].id);
    assert_ne!(changed.migrations[0].digest, it.migrations[3].digest, "its content has changed");
}

#[test]
fn sqlx_in_both_its_forms() {
    let no_transaction = "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON t (a);";
    let it = found(&[("1_a.sql", SQL), ("10_c.sql", no_transaction), ("9_b.sql", SQL)]);
    assert_eq!((it.layout, ids(&it)), (Layout::Sqlx, vec!["1_a", "9_b", "10_c"]));
    assert_eq!(modes(&it.migrations[2]).0, TransactionMode::Never);
    let windows = format!("\u{feff}{}", no_transaction.replace('\n', "\r\n"));
    let it = found(&[("1_a.up.sql", SQL), ("1_a.down.sql", &windows)]);
    assert_eq!(it.layout, Layout::Sqlx);
    assert_eq!(modes(&it.migrations[0]), (TransactionMode::Auto, TransactionMode::Never));
    assert_eq!(named(&["1_a.sql", "2_b.up.sql", "2_b.down.sql"]).layout, Layout::Sqlx);
}

#[test]
fn a_mark_in_a_later_file_changes_nothing_about_the_earlier_ones() {
    let one = ("1_a.up.sql", SQL);
    let before = found(&[one]);
    let after = found(&[one, ("2_b.up.sql", "-- no-transaction\nVACUUM t;")]);
    assert_eq!((before.layout, after.layout), (Layout::GolangMigrate, Layout::Sqlx));
    assert_eq!(before.migrations[0].digest, after.migrations[0].digest);
}

#[test]
fn popx_and_its_autocommit() {
    let it = named(&[
        "20150102_b.autocommit.up.sql",
        "20150102_b.down.sql",
        "20150101_a.up.sql",
        "20150101_a.postgres.up.sql",
        "20150101_a.mysql.up.sql",
    ]);
    assert_eq!((it.layout, ids(&it)), (Layout::Autocommit, vec!["20150101_a", "20150102_b"]));
    assert_eq!(modes(&it.migrations[1]), (TransactionMode::Never, TransactionMode::Auto));
    assert_eq!(it.migrations[0].file_name("up.sql"), "20150101_a.postgres.up.sql");
    assert_eq!(it.notes, ["files for other databases than PostgreSQL: 1, passed over"]);
}

#[test]
fn sqitch_goes_by_its_plan() {
    let plan = "%syntax-version=1.0.0\r\n%project=p\r\n\r\n# first\r\n\
        users 2024-01-01T00:00:00Z A <a@x> # note\r\n+flips [users] 2024-01-02T00:00:00Z A <a@x>\r\n@v1.0 2024-01-03T00:00:00Z A <a@x>\r\n\
        users [users@v1.0] 2024-01-04T00:00:00Z A <a@x>\r\nfn/insert 2024-01-05T00:00:00Z A <a@x>\r\n";
    let it = found(&[
        ("sqitch.plan", plan),
        ("sqitch.conf", ""),
        ("deploy/users@v1.0.sql", SQL),
        ("revert/users@v1.0.sql", "DROP TABLE t;"),
        ("deploy/users.sql", "ALTER TABLE t ADD b int;"),
        ("deploy/flips.sql", "BEGIN; SELECT 1; COMMIT;"),
        ("deploy/fn/insert.sql", "SELECT 2;"),
        ("verify/users.sql", "SELECT 1/0;"),
    ]);
    assert_eq!((it.layout, ids(&it)), (Layout::Sqitch, vec!["users", "flips", "users.2", "fn-insert"]));
    assert_eq!(it.migrations[0].file_name("down.sql"), "revert/users@v1.0.sql");
    assert_eq!(it.project.as_deref(), Some("p"));
    assert_eq!(it.notes, ["scripts in verify/: 1, not run"]);
}

#[test]
fn plain_numbers_and_dates() {
    let it = named(&["10-b.sql", "9_a.sql", "notes.md"]);
    assert_eq!((it.layout, ids(&it)), (Layout::Plain, vec!["9_a", "10-b"]));
    assert_eq!(ids(&named(&["2024-05-10_b.sql", "2024-05-9_a.sql"])), ["2024-05-9_a", "2024-05-10_b"]);
}

#[test]
fn names_become_ids() {
    assert_eq!(ids(&named(&["1_größe der Tabelle.sql"])), ["1_gr--e-der-Tabelle"]);
    let long = format!("1_{}.sql", "x".repeat(200));
    assert_eq!(ids(&named(&[&long]))[0].len(), 128);
}

#[test]
fn what_was_generated_travels_and_reads_back() {
    let it = found(&[("1_a \"quoted\".up.sql", "-- nothing"), ("1_a \"quoted\".down.sql", "")]);
    let migration = &it.migrations[0];
    assert_eq!(Migration::parse(migration.id.clone(), migration.files().clone()).unwrap(), *migration);
}
