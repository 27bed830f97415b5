//! The same small migrations, written down as each tool reads them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where they are.
pub(crate) struct Written {
    /// Also what `stopover` is given: it reads dbmate's files as they are.
    pub(crate) dbmate: PathBuf,
    pub(crate) sqlx: PathBuf,
    /// One file that includes all, each migration in its own transaction with a row that records it.
    pub(crate) psql: PathBuf,
    /// How many tables are there at the end.
    pub(crate) tables: i64,
}

impl Written {
    pub(crate) fn new(directory: &Path, count: usize) -> Self {
        let base = directory.join("many");
        let (dbmate, sqlx, psql) = (base.join("dbmate"), base.join("sqlx"), base.join("all.sql"));
        for directory in [&dbmate, &sqlx] {
            fs::create_dir_all(directory).expect("a directory");
        }
        let mut all = String::from("CREATE TABLE schema_migrations (version text PRIMARY KEY);\n");
        for number in 0..count {
            let version = 20_260_101_000_000_u64 + number as u64;
            let (name, up) = migration(number);
            let file = format!("{version}_{name}.sql");
            let plain = sqlx.join(&file);
            write_file(&dbmate.join(&file), &format!("-- migrate:up\n{up}\n-- migrate:down\n"));
            write_file(&plain, &up);
            let _ = writeln!(
                all,
                "BEGIN;\n\\i {}\nINSERT INTO schema_migrations VALUES ('{version}');\nCOMMIT;",
                plain.display()
            );
        }
        write_file(&psql, &all);
        let tables = i64::try_from(count.div_ceil(KINDS)).expect("a small number");
        Self { dbmate, sqlx, psql, tables }
    }
}

const KINDS: usize = 4;

/// A table, then a column, an index and a few rows for it, and again.
fn migration(number: usize) -> (String, String) {
    let table = format!("accounts_{}", number / KINDS);
    match number % KINDS {
        0 => (
            format!("create_{table}"),
            format!(
                "CREATE TABLE {table} (\n    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n    \
                 email text NOT NULL,\n    created_at timestamptz NOT NULL DEFAULT now()\n);\n"
            ),
        ),
        1 => (
            format!("add_name_to_{table}"),
            format!("ALTER TABLE {table} ADD COLUMN name text NOT NULL DEFAULT '';\n"),
        ),
        2 => (
            format!("index_{table}_by_email"),
            format!("CREATE INDEX {table}_email_idx ON {table} (email);\n"),
        ),
        _ => (
            format!("fill_{table}"),
            format!(
                "INSERT INTO {table} (email, name) VALUES ('a@example.com', 'A'), ('b@example.com', 'B');\n"
            ),
        ),
    }
}

fn write_file(path: &Path, text: &str) {
    fs::write(path, text).expect("a file can be written");
}
