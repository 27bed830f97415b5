use std::collections::BTreeMap;

use super::*;
use crate::id::MigrationId;
use crate::layout::{self, Directory};

const SQL: &str = "CREATE TABLE t (a int);\n";

fn directory(files: &[(&str, &str)]) -> Directory {
    let files: BTreeMap<_, _> =
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    layout::read("db", &files, None).unwrap()
}

/// The same text under each name.
fn named(names: &[&str]) -> Directory {
    directory(&names.iter().map(|name| (*name, SQL)).collect::<Vec<_>>())
}

fn row(version: &str, state: RowState) -> HistoryRow {
    let version = Some(version.to_owned()).filter(|version| !version.is_empty());
    HistoryRow { version, name: None, scope: None, state, at: None, checksum: None }
}

fn applied(versions: &[&str]) -> Vec<HistoryRow> {
    versions.iter().map(|version| row(version, RowState::Applied)).collect()
}

fn table(tool: Tool, rows: Vec<HistoryRow>) -> HistoryTable {
    HistoryTable { tool, table: format!("public.{}", tool.usual_table()), rows }
}

fn adopted(tool: Tool, rows: Vec<HistoryRow>, directory: &Directory) -> Adoption {
    adopt(&table(tool, rows), directory, Options::default())
}

fn marks(adoption: &Adoption) -> Vec<(&str, Basis)> {
    adoption.marks.iter().map(|mark| (mark.migration.as_str(), mark.basis)).collect()
}

fn marked(adoption: &Adoption) -> Vec<&str> {
    adoption.marks.iter().map(|mark| mark.migration.as_str()).collect()
}

fn pending(adoption: &Adoption) -> Vec<&str> {
    adoption.pending.iter().map(MigrationId::as_str).collect()
}

fn troubles(adoption: &Adoption) -> Vec<(Trouble, &str)> {
    adoption.problems.iter().map(|problem| (problem.trouble, problem.of.as_str())).collect()
}

#[test]
fn golang_migrate_keeps_the_last_version_and_means_all_before_it() {
    let it = named(&["000001_a.up.sql", "000001_a.down.sql", "000002_b.up.sql", "000010_c.up.sql"]);
    let found = adopted(Tool::GolangMigrate, applied(&["2"]), &it);
    assert_eq!(marks(&found), [("000001_a", Basis::Earlier), ("000002_b", Basis::Row)]);
    assert_eq!((pending(&found), found.problems.len()), (vec!["000010_c"], 0));
    assert_eq!(found.marks[0].digest, it.migrations[0].digest);

    let dirty = adopted(Tool::GolangMigrate, vec![row("2", RowState::Dirty)], &it);
    assert_eq!(troubles(&dirty), [(Trouble::Unfinished, "2")]);
    assert!(dirty.problems[0].hint.contains("migrate force 2"), "{:?}", dirty.problems);
    let elsewhere = adopted(Tool::GolangMigrate, applied(&["7"]), &it);
    assert_eq!(troubles(&elsewhere), [(Trouble::Elsewhere, "7")]);
    let nothing = adopted(Tool::GolangMigrate, vec![], &it);
    assert_eq!((nothing.marks.len(), nothing.pending.len(), nothing.problems.len()), (0, 3, 0));
}

#[test]
fn dbmate_and_rails_go_by_the_number_in_front() {
    let up = "-- migrate:up\nSELECT 1;\n";
    let it = directory(&[("20240101000000_a.sql", up), ("20240102000000_b.sql", up)]);
    let rows = || applied(&["20240101000000", "20230101000000"]);
    let dbmate = adopted(Tool::Dbmate, rows(), &it);
    assert_eq!(marks(&dbmate), [("20240101000000_a", Basis::Row)]);
    assert_eq!(
        (pending(&dbmate), &dbmate.unknown[..]),
        (vec!["20240102000000_b"], &["20230101000000".to_owned()][..])
    );
    // What Rails has applied has no file of SQL, and is recorded all the same.
    let rails = adopted(Tool::Rails, rows(), &it);
    assert_eq!(marks(&rails), [("20230101000000", Basis::NoFile), ("20240101000000_a", Basis::Row)]);
    assert_eq!(rails.unknown.len(), 0);
    let again = adopted(Tool::Rails, rows(), &it);
    assert_eq!(rails.marks, again.marks, "the same rows give the same digests");
    let ours = named(&["20240101000000_a/up.sql", "20240102000000_b/up.sql"]);
    assert_eq!(marked(&adopted(Tool::Dbmate, rows(), &ours)), ["20240101000000_a"]);
}

#[test]
fn diesel_leaves_the_dashes_out_of_its_versions() {
    let it = named(&[
        "00000000000000_diesel_initial_setup/up.sql",
        "2024-01-02-000000_b/up.sql",
        "2024-01-03-000000_c/up.sql",
    ]);
    let found = adopted(Tool::Diesel, applied(&["00000000000000", "20240102000000"]), &it);
    assert_eq!(marked(&found), ["00000000000000_diesel_initial_setup", "2024-01-02-000000_b"]);
    assert_eq!(pending(&found), ["2024-01-03-000000_c"]);
}

#[test]
fn gooses_last_row_of_a_version_decides_and_its_first_one_is_its_own() {
    let up = "-- +goose Up\nSELECT 1;\n";
    let it = directory(&[("00001_a.sql", up), ("00002_b.sql", up), ("00003_c.sql", up)]);
    let state = |version, ok| row(version, Tool::Goose.row_state("", ok));
    let rows = vec![
        state("0", true),
        state("1", true),
        state("2", true),
        state("2", false),
        state("3", true),
        state("3", false),
        state("3", true),
    ];
    let found = adopted(Tool::Goose, rows, &it);
    assert_eq!(marked(&found), ["00001_a", "00003_c"]);
    assert_eq!((pending(&found), found.unknown.len()), (vec!["00002_b"], 0));
}

#[test]
fn sqlx_has_checksums_and_a_changed_file_is_refused_unless_a_person_says_it_counts() {
    let it = directory(&[("1_a.sql", SQL), ("2_b.sql", SQL), ("3_c.sql", SQL)]);
    // By sha384sum.
    let sum = "65a31a901e39284070f89e7c4d841235bb08692a2a9d455d\
               f234e3ac92f8a5611ad0f24bad71ab06bcc12836be2f315e";
    let with = |version, checksum: &str| HistoryRow {
        checksum: Some(checksum.to_owned()),
        ..row(version, RowState::Applied)
    };
    let rows = || vec![with("1", sum), with("2", &"0".repeat(96))];
    let found = adopted(Tool::Sqlx, rows(), &it);
    assert_eq!(marks(&found), [("1_a", Basis::Checked)]);
    assert_eq!(troubles(&found), [(Trouble::Changed, "2_b")]);
    assert!(found.problems[0].hint.contains("--accept-changed"), "{:?}", found.problems);
    let options = Options { accept_changed: true };
    let accepted = adopt(&table(Tool::Sqlx, rows()), &it, options);
    assert_eq!(marks(&accepted), [("1_a", Basis::Checked), ("2_b", Basis::Changed)]);
    assert_eq!(accepted.problems.len(), 0);

    let dirty = adopted(Tool::Sqlx, vec![row("3", Tool::Sqlx.row_state("", false))], &it);
    assert_eq!(troubles(&dirty), [(Trouble::Unfinished, "3_c")]);
    let dirty = adopted(Tool::Sqlx, vec![row("4", Tool::Sqlx.row_state("", false))], &it);
    assert_eq!(troubles(&dirty), [(Trouble::Unfinished, "4")], "although there is no file of it");
}

fn flyway(version: &str, kind: &str, ok: bool) -> HistoryRow {
    row(version, Tool::Flyway.row_state(kind, ok))
}

#[test]
fn flyways_rows_in_all_their_kinds() {
    let it = named(&["V1__a.sql", "V1_1__b.sql", "V2__c.sql", "V3__d.sql", "U3__d.sql", "V10__e.sql"]);
    let rows = vec![
        flyway("1.1", "BASELINE", true),
        flyway("2.0", "SQL", true),
        flyway("3", "SQL", true),
        flyway("3", "UNDO_SQL", true),
        flyway("5", "SQL", true),
        flyway("5", "DELETE", true),
        flyway("6", "JDBC", true),
    ];
    let found = adopted(Tool::Flyway, rows.clone(), &it);
    assert_eq!(
        marks(&found),
        [("V1__a", Basis::Baseline), ("V1_1__b", Basis::Baseline), ("V2__c", Basis::Row)]
    );
    assert_eq!((pending(&found), &found.unknown[..]), (vec!["V3__d", "V10__e"], &["6".to_owned()][..]));
    assert_eq!(found.problems.len(), 0);
    let failed = [rows, vec![flyway("10", "SQL", false)]].concat();
    let found = adopted(Tool::Flyway, failed, &it);
    assert_eq!(troubles(&found), [(Trouble::Unfinished, "V10__e")]);
    assert!(found.problems[0].hint.contains("flyway repair"), "{:?}", found.problems);
}

#[test]
fn flyways_checksums_and_its_repeatable_scripts() {
    let sum = crc32fast::hash(b"CREATE TABLE t (a int);").cast_signed().to_string();
    let it = directory(&[
        ("V1__a.sql", &SQL.replace('\n', "\r\n")),
        ("V2__b.sql", SQL),
        ("R__my_views.sql", SQL),
        ("R__other.sql", SQL),
    ]);
    let with = |version: &str, name: &str, checksum: &str| HistoryRow {
        name: Some(name.to_owned()),
        checksum: Some(checksum.to_owned()),
        ..row(version, RowState::Applied)
    };
    let rows = vec![
        with("1", "a", &sum),
        with("2", "b", "-1"),
        with("", "my views", "7"),
        with("", "my views", &sum),
        with("", "other", "7"),
        with("", "gone", "7"),
    ];
    let found = adopted(Tool::Flyway, rows, &it);
    let ids: Vec<_> = found.marks.iter().map(|m| (m.migration.as_str().starts_with('R'), m.basis)).collect();
    assert_eq!(ids, [(false, Basis::Checked), (true, Basis::Checked)]);
    assert_eq!(troubles(&found), [(Trouble::Changed, "V2__b")]);
    assert!(pending(&found)[0].starts_with("R__other"), "a changed one is to run again: {found:?}");
    assert_eq!(found.unknown, ["gone"]);
}

#[test]
fn sqitchs_changes_go_by_name_project_and_how_often_they_were_reworked() {
    let plan = "%syntax-version=1.0.0\n%project=p\n\nusers 2024-01-01T00:00:00Z A <a@x>\n@v1 2024-01-01T00:00:00Z A <a@x>\n\
        fn/insert 2024-01-01T00:00:00Z A <a@x>\nusers [users@v1] 2024-01-01T00:00:00Z A <a@x>\n";
    let it = directory(&[
        ("sqitch.plan", plan),
        ("deploy/users.sql", SQL),
        ("deploy/users@v1.sql", SQL),
        ("deploy/fn/insert.sql", SQL),
    ]);
    let of =
        |project: &str, name| HistoryRow { scope: Some(project.to_owned()), ..row(name, RowState::Applied) };
    let once = adopted(Tool::Sqitch, vec![of("p", "users"), of("q", "fn/insert")], &it);
    assert_eq!((marked(&once), pending(&once)), (vec!["users"], vec!["fn-insert", "users.2"]));
    let all = vec![of("p", "users"), of("p", "fn/insert"), of("p", "users")];
    assert_eq!(marked(&adopted(Tool::Sqitch, all, &it)), ["users", "fn-insert", "users.2"]);
    let elsewhere = adopted(Tool::Sqitch, vec![of("q", "users")], &it);
    assert_eq!(troubles(&elsewhere), [(Trouble::Elsewhere, "p")]);
    let many = adopted(Tool::Sqitch, vec![of("q", "users"), of("r", "x")], &named(&["users/up.sql"]));
    assert_eq!(troubles(&many), [(Trouble::Ambiguous, "public.changes")]);
}

#[test]
fn liquibases_changesets_meet_files_by_file_name_or_number_and_are_recorded_without_one() {
    let it = named(&["001_a.sql", "002_b.sql", "003_c.sql"]);
    let of = |file: &str, id, author: &str| HistoryRow {
        scope: Some(file.to_owned()),
        name: Some(author.to_owned()),
        ..row(id, RowState::Applied)
    };
    let rows = vec![
        of("db/changelog.xml", "7", "ann"),
        of("db/changelog.xml", "003", "ann"),
        of("db/001_a.sql", "raw", "bob"),
        of("db/001_a.sql", "more", "bob"),
        of("other/changelog.xml", "7", "ann"),
    ];
    let found = adopted(Tool::Liquibase, rows, &it);
    assert_eq!(
        marks(&found),
        [
            ("changelog.7.ann", Basis::NoFile),
            ("2.changelog.7.ann", Basis::NoFile),
            ("001_a", Basis::Row),
            ("003_c", Basis::Row)
        ]
    );
    assert_eq!(pending(&found), ["002_b"]);
}

#[test]
fn two_migrations_that_a_row_could_mean_are_refused() {
    let it = named(&["a/up.sql", "1_a/up.sql", "01_b/up.sql"]);
    let found = adopted(Tool::Goose, applied(&["0", "1"]), &it);
    assert_eq!(troubles(&found), [(Trouble::Ambiguous, "1_a")]);
}

#[test]
fn a_baseline_ends_with_the_migration_that_was_named() {
    let it = named(&["1_a.sql", "2_b.sql", "10_c.sql"]);
    let found = baseline(&it.migrations, "2_b").unwrap();
    assert_eq!(marks(&found), [("1_a", Basis::Person), ("2_b", Basis::Person)]);
    assert_eq!(pending(&found), ["10_c"]);
    let wrong = baseline(&it.migrations, "10_d").unwrap_err().to_string();
    assert_eq!(wrong, "there is no migration `10_d` in the directory; did you mean 10_c?");
    assert!(baseline(&it.migrations, "2").unwrap_err().to_string().ends_with("did you mean 2_b?"));
}

#[test]
fn what_the_ledger_has_is_told_and_what_it_knows_otherwise_stands_in_the_way() {
    use crate::report::{LedgerEntry, LedgerState};
    let it = named(&["1_a.sql", "2_b.sql", "3_c.sql", "4_d.sql"]);
    let mut found = baseline(&it.migrations, "3_c").unwrap();
    let entry = |at: usize, of: usize, state| LedgerEntry {
        migration: it.migrations[at].id.clone(),
        digest: it.migrations[of].digest,
        state,
        variant: crate::migration::Variant::Standard,
        deployment: "0123456789".parse().unwrap(),
        at: jiff::Timestamp::UNIX_EPOCH,
        origin: None,
    };
    let (applied, running) = (LedgerState::Applied, LedgerState::Running);
    let there = found.compare_with_ledger(&[
        entry(0, 0, applied),
        entry(1, 0, applied),
        entry(2, 2, running),
        entry(3, 0, applied),
    ]);
    assert_eq!(there, [it.migrations[0].id.clone()]);
    assert_eq!(troubles(&found), [(Trouble::Ledger, "2_b"), (Trouble::Ledger, "3_c")]);
}

#[test]
fn tools_read_as_they_are_printed() {
    for tool in Tool::ALL {
        assert_eq!(tool.to_string().parse(), Ok(tool));
        assert_eq!(serde_json::to_value(tool).unwrap(), tool.name());
    }
    assert!("alembic".parse::<Tool>().unwrap_err().to_string().contains("golang-migrate, rails"));
}
