//! Directories that can't be read, and what is said of them.

use super::*;

#[test]
fn a_directory_that_fits_two_layouts_names_both_and_the_way_out() {
    let files = [
        ("1_a.sql", "-- +goose Up\nSELECT 1;\n-- migrate:up\nSELECT 2;"),
        ("2_b.sql", "-- +goose Up\nSELECT 1;"),
    ];
    assert_eq!(
        error(&files),
        "db could be several things: dbmate (by db/1_a.sql), goose (by db/1_a.sql); say which with --layout, or separate them"
    );
    assert_eq!(ids(&directory(&files, Some(Layout::Goose)).unwrap()), ["1_a", "2_b"]);
    for (one, other) in [
        ("up.sql", "1_a/up.sql"),
        ("V1__a.sql", "1_b.up.sql"),
        ("sqitch.plan", "1_b/up.sql"),
        ("1_a/metadata.toml", "2_b/migration.toml"),
        ("1_a.autocommit.up.sql", "V1__a.sql"),
    ] {
        let message = error(&[(one, ""), (other, "")]);
        assert!(message.contains("could be several things"), "{one}, {other}: {message}");
        assert!(message.contains(one) && message.contains(other), "{message}");
    }
}

#[test]
fn nothing_to_read_says_what_could_be() {
    for files in [&[][..], &[("README.md", "")], &[("init.sql", "SELECT 1;")]] {
        let message = error(files);
        assert!(message.starts_with("db holds no migration; give a directory with up.sql"), "{message}");
    }
    assert!(
        directory(&[("1_a.sql", SQL)], Some(Layout::Flyway)).unwrap_err().contains("belongs to no migration")
    );
    assert!(directory(&[], Some(Layout::Sqitch)).unwrap_err().contains("holds no migration"));
    assert!(directory(&[], Some(Layout::NativeMany)).unwrap_err().contains("holds no migration"));
}

#[test]
fn two_of_one_version_are_both_named() {
    for (one, other) in [
        ("01_a.up.sql", "1_b.up.sql"),
        ("01_a.sql", "1_b.sql"),
        ("V1.0__a.sql", "V1__b.sql"),
        ("1_a/up.sql", "1_b/up.sql"),
        ("2024-01-02-000000_a/up.sql", "20240102000000_b/up.sql"),
    ] {
        let message = error(&[(one, SQL), (other, SQL)]);
        let short = |path: &str| format!("db/{}", path.trim_end_matches("/up.sql"));
        let expected = format!("{} and {} have the same version", short(one), short(other));
        assert!(message.starts_with(&expected), "{message}");
    }
    for text in ["-- +goose Up\n", "-- migrate:up\n"] {
        let message = error(&[("1_a.sql", text), ("1_b.sql", text)]);
        assert!(message.starts_with("db/1_a.sql and db/1_b.sql have the same version"), "{message}");
    }
    let message = error(&[("x/V2__c.sql", SQL), ("y/V3__c.sql", SQL), ("z/V2.0__c.sql", SQL)]);
    assert!(message.starts_with("db/x/V2__c.sql and db/z/V2.0__c.sql have the same version"), "{message}");
    let plan = ("sqitch.plan", "a/b 2024\na-b 2024\n");
    let message = error(&[plan, ("deploy/a/b.sql", SQL), ("deploy/a-b.sql", SQL)]);
    assert_eq!(
        message,
        "db/deploy/a/b.sql and db/deploy/a-b.sql would both be called a-b here; rename one of them"
    );
}

#[test]
fn a_way_back_without_a_way_there_is_refused() {
    for (file, wanted) in [
        ("2_b.down.sql", "db/2_b.up.sql"),
        ("2024-01-02-000000_b/down.sql", "db/2024-01-02-000000_b/up.sql"),
        ("U2__b.sql", "db/V2__b.sql"),
        ("V2__b.sql.conf", "db/V2__b.sql"),
    ] {
        let with = match file {
            "2_b.down.sql" => "1_a.up.sql",
            "2024-01-02-000000_b/down.sql" => "2024-01-01-000000_a/up.sql",
            _ => "V1__a.sql",
        };
        let message = error(&[(with, SQL), (file, SQL)]);
        assert!(message.starts_with(&format!("db/{file} stands alone: there is no {wanted}")), "{message}");
    }
    assert!(error(&[("1_a/down.sql", SQL)]).starts_with("db/1_a has no up.sql"));
}

#[test]
fn a_file_that_belongs_to_no_migration_is_refused() {
    for (belongs, stray, layout) in [
        ("1_a.up.sql", "2_b.up.SQL", "golang-migrate"),
        ("1_a.up.sql", "init.sql", "golang-migrate"),
        ("1_a.up.sql", "old/0_x.up.sql", "golang-migrate"),
        ("1_a.sql", "2_b.sqll", "plain"),
        ("V1__a.sql", "v2__b.sql", "flyway"),
        ("V1__a.sql", "V2__b.java", "flyway"),
        ("V1__a.sql", "2_b.sql", "flyway"),
        ("2024-01-02-000000_a/up.sql", "2024-01-02-000000_a/dwon.sql", "diesel"),
        ("2024-01-02-000000_a/up.sql", "2024-01-02-000000_a/meta.toml", "diesel"),
        ("1_a/up.sql", "1_a/notes.txt", "native-many"),
    ] {
        let message = error(&[(belongs, SQL), (stray, "")]);
        let expected = format!("db/{stray} belongs to no migration: the files of {layout} are");
        assert!(message.starts_with(&expected), "{message}");
    }
    let goose = [("1_a.sql", "-- +goose Up\nSELECT 1;"), ("2_b.go", "package migrations")];
    assert!(error(&goose).starts_with("db/2_b.go belongs to no migration: the files of goose are"));
    let unmarked = [goose[0], ("2_b.sql", "SELECT 1;")];
    assert!(error(&unmarked).starts_with("db/2_b.sql: line 1: statements before `-- +goose Up`"));
    let sqitch = [("sqitch.plan", "a 2024\n"), ("deploy/a.sql", SQL), ("deploy/b.sql", SQL)];
    assert!(error(&sqitch).starts_with("db/deploy/b.sql belongs to no migration"));
}

#[test]
fn what_flyway_would_do_besides_is_refused() {
    let with = |path, text| error(&[("V1__a.sql", SQL), (path, text)]);
    assert!(with("afterMigrate.sql", SQL).starts_with("db/afterMigrate.sql: this is a callback of Flyway"));
    assert!(with("B1__a.sql", SQL).starts_with("db/B1__a.sql: a baseline migration"));
    let message = with("V2__b.sql", "SELECT 1;\nSELECT '${name}';");
    assert!(message.starts_with("db/V2__b.sql: line 2: Flyway replaces ${name} before"), "{message}");
    let message = with("V1__a.sql.conf", "\nexecuteInTransaction=no\n");
    assert!(message.starts_with("db/V1__a.sql.conf: line 2: `executeInTransaction=no` is not"), "{message}");
    let files = [("V2__b.sql", "SELECT '${name}';"), ("V2__b.sql.conf", "placeholderReplacement=false")];
    assert_eq!(ids(&found(&files)), ["V2__b"]);
}

#[test]
fn a_plan_of_sqitch_says_where_it_is_wrong() {
    let plan = |text| error(&[("sqitch.plan", text), ("deploy/a.sql", SQL)]);
    assert!(
        plan("a 2024\nb 2024\n").starts_with("db/sqitch.plan: line 2: b is in the plan, and deploy/b.sql")
    );
    assert!(plan("a 2024\na 2024\n").starts_with("db/sqitch.plan: line 2: a stands in the plan twice"));
    assert!(plan("a 2024\n-a 2024\n").starts_with("db/sqitch.plan: line 2: the plan takes a change back"));
    assert!(plan("%project=p\n").starts_with("db/deploy/a.sql belongs to no migration"));
}

#[test]
fn text_that_is_none_is_refused_with_its_line() {
    let files = [("1_a.sql".to_owned(), b"-- +goose Up\n\xff".to_vec())].into();
    let message = read("db", &files, Some(Layout::Goose)).unwrap_err().to_string();
    assert!(message.starts_with("db/1_a.sql: line 2: this is not valid UTF-8"), "{message}");
    let metadata = [("2024-01-02-000000_a/up.sql", SQL), ("2024-01-02-000000_a/metadata.toml", "\nx = ")];
    assert!(error(&metadata).starts_with("db/2024-01-02-000000_a/metadata.toml:2:"), "{}", error(&metadata));
}
