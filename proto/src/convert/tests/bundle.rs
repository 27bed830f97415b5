//! A migration's files travel byte by byte, and their errors reach people as they are.

use prost::Message;
use stopover_model::migration::{Migration, MigrationError};

use crate::convert::{InvalidBundle, field};
use crate::v1;

fn bundle(id: &str, files: &[(&str, &[u8])]) -> v1::MigrationBundle {
    let file = |(name, content): &(&str, &[u8])| v1::migration_bundle::File {
        name: (*name).to_owned(),
        content: content.to_vec(),
    };
    v1::MigrationBundle { id: id.to_owned(), files: files.iter().map(file).collect(), series: 7 }
}

#[test]
fn a_migration_comes_back_with_its_digest() {
    let toml = "table = \"t\"\nbatch_above_rows = 5\n";
    let files: [(&str, &[u8]); 4] = [
        ("down.sql", b"ALTER TABLE t DROP a;\r\n"),
        ("migration.toml", toml.as_bytes()),
        ("up.batch.sql", b"ALTER TABLE t ADD a int"),
        ("up.sql", "\u{feff}ALTER TABLE t ADD a int;".as_bytes()),
    ];
    let sent = bundle("001_x", &files);
    let migration = Migration::try_from(sent.clone()).unwrap();
    let wire = v1::MigrationBundle::from(&migration);
    assert_eq!(wire, sent);
    let read = v1::MigrationBundle::decode(&wire.encode_to_vec()[..]).unwrap();
    assert_eq!(Migration::try_from(read).unwrap(), migration);
}

#[test]
fn an_error_in_the_files_is_not_buried_under_the_way_to_them() {
    let wire = vec![bundle("001_x", &[("up.sql", b"SELECT 1")]), bundle("002_y", &[])];
    let error: InvalidBundle = field::messages::read::<_, Migration>(wire, "migrations").unwrap_err();
    assert!(matches!(error, InvalidBundle::Migration(MigrationError::NoUp { .. })), "{error:?}");
    assert!(error.to_string().starts_with("002_y has no up.sql"), "{error}");
}

#[test]
fn a_bundle_that_is_none_is_refused_by_its_field() {
    let twice = bundle("001_x", &[("up.sql", b"SELECT 1"), ("up.sql", b"SELECT 2")]);
    let error = field::message::read::<_, Migration>(Some(twice), "migration").unwrap_err();
    assert_eq!(error.to_string(), "`migration.files[1].name`: there are two files with the name \"up.sql\"");
    let error = field::messages::read::<_, Migration>(vec![bundle("../x", &[])], "migrations").unwrap_err();
    assert!(error.to_string().starts_with("`migrations[0].id`: `../x` is not a migration's name"), "{error}");
    let error = field::message::read::<v1::MigrationBundle, Migration>(None, "migration").unwrap_err();
    assert!(error.to_string().starts_with("`migration`: is missing"), "{error}");
}
