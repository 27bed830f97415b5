//! Files that hold the way there and the way back.

use super::*;

const DBMATE: &str = "-- a comment\n-- migrate:up transaction:false\nCREATE TABLE t (a int);\n\n-- migrate:down\nDROP TABLE t;\n";
const GOOSE: &str = "-- +goose Up\n-- +goose StatementBegin\nCREATE TABLE t (a int);\n-- +goose StatementEnd\n\n\
    -- +goose Down\nDROP TABLE t;\n";

/// As git makes it on Windows, and as its editors save it.
fn variants(text: &str) -> [String; 3] {
    let crlf = text.replace('\n', "\r\n");
    [text.to_owned(), crlf.clone(), format!("\u{feff}{crlf}")]
}

fn statements(directory: &Directory) -> Vec<(Vec<u32>, Vec<u32>)> {
    let lines = |script: &crate::migration::Script| script.statements().iter().map(|s| s.line).collect();
    directory
        .migrations
        .iter()
        .map(|m| (lines(&m.up), m.down.as_ref().map(lines).unwrap_or_default()))
        .collect()
}

#[test]
fn dbmate() {
    for text in variants(DBMATE) {
        let it = found(&[("20240102_b.sql", &text), ("20240101_a.sql", &text)]);
        assert_eq!((it.layout, ids(&it)), (Layout::Dbmate, vec!["20240101_a", "20240102_b"]), "{text:?}");
        assert_eq!(modes(&it.migrations[0]), (TransactionMode::Never, TransactionMode::Auto));
        assert_eq!(statements(&it)[0], (vec![3], vec![6]), "lines are those of the file");
    }
    let it = found(&[("1_a.sql", "--migrate:up\nSELECT 1;\n-- migrate:down\n\n")]);
    assert!(it.migrations[0].down.is_none(), "the template's empty section is no way back");
}

#[test]
fn goose() {
    for text in variants(GOOSE) {
        let it = found(&[("00010_b.sql", &text), ("00009_a.sql", &text)]);
        assert_eq!((it.layout, ids(&it)), (Layout::Goose, vec!["00009_a", "00010_b"]), "{text:?}");
        assert_eq!(modes(&it.migrations[0]), (TransactionMode::Auto, TransactionMode::Auto));
        assert_eq!(statements(&it)[0], (vec![3], vec![7]));
    }
}

#[test]
fn goose_takes_no_transaction_anywhere_and_in_any_case() {
    for text in [
        format!("-- +goose NO TRANSACTION\n{GOOSE}"),
        GOOSE.replace("Up\n", "Up\n-- +goose no transaction\n"),
        GOOSE.replace("StatementBegin\n", "StatementBegin\n--+goose NO TRANSACTION\n"),
        format!("{GOOSE}\n-- +goose NO TRANSACTION"),
    ] {
        for text in variants(&text) {
            let it = found(&[("1_a.sql", &text)]);
            assert_eq!(
                modes(&it.migrations[0]),
                (TransactionMode::Never, TransactionMode::Never),
                "{text:?}"
            );
        }
    }
}

#[test]
fn errors_have_the_lines_of_the_file() {
    let text = GOOSE.replace("CREATE TABLE t (a int);", "SELECT 1;\n\\i other.sql");
    assert!(error(&[("1_a.sql", &text)]).starts_with("db/1_a.sql: line 4: \\i is a command of psql's own"));
    let text = DBMATE.replace("DROP TABLE t;", "DROP TABLE t;\nCOMMIT;");
    assert!(error(&[("1_a.sql", &text)]).starts_with("db/1_a.sql: line 7: COMMIT without a BEGIN"));
}

#[test]
fn a_marker_that_is_not_understood_is_never_passed_over() {
    for (text, expected) in [
        ("SELECT 1;\n-- +goose Up\n", "line 1: statements before `-- +goose Up`"),
        ("-- +goose Up\n-- +goose Upp\n", "line 2: this is none of goose's annotations"),
        ("-- +goose Up\n  -- +goose Down\n", "line 2: this is none of goose's annotations"),
        ("-- +goose Up\n-- +goose Up\n", "line 2: a second `-- +goose Up`"),
        ("-- +goose Down\n", "line 1: `-- +goose Up` has to stand before"),
        (
            "-- +goose Up\n-- +goose StatementBegin\n-- +goose Down\n",
            "line 3: `-- +goose StatementEnd` is missing",
        ),
        ("-- +goose Up\n-- +goose StatementBegin\nSELECT 1;", "line 2: this block is never closed"),
        ("-- +goose Up\n-- +goose StatementEnd\n", "line 2: `-- +goose StatementEnd` without"),
        ("-- +goose Up\n-- +goose ENVSUB ON\n", "line 2: goose would replace environment variables"),
        ("-- +goose NO TRANSACTION\n", "there is no line `-- +goose Up`"),
        ("-- migrate:down\n-- migrate:up\n", "line 1: `-- migrate:up` has to stand before"),
        ("SELECT 1;\n-- migrate:up\n", "line 1: statements before `-- migrate:up`"),
        ("-- migrate:up\n-- migrate:up\n", "line 2: a second `-- migrate:up`"),
    ] {
        let message = error(&[("1_a.sql", text)]);
        assert!(message.starts_with(&format!("db/1_a.sql: {expected}")), "{text:?} gave {message}");
    }
}
