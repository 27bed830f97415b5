//! Histories as the ordinary tests read them: tests/histories/TOOL, written by the tool itself.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shop::{Shop, copy_directory};
use crate::tools::Tool;

/// Set by `tests/real-tools --record`.
const RECORD: &str = "STOPOVER_RECORD_HISTORIES";

/// Writes what the tool has left: its directory, its history as SQL, and what it says is applied.
pub(crate) fn record_where_asked(tool: &impl Tool, shop: &Shop, applied: &[String]) {
    if std::env::var_os(RECORD).is_none() {
        return;
    }
    let place = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/histories")).join(tool.name());
    if place.exists() {
        fs::remove_dir_all(&place).expect("the older recording can be removed");
    }
    copy_directory(&shop.directory().join(tool.directory()), &place.join("migrations"));
    let dump = shop.dump(&[tool.history(), &["--inserts"]].concat());
    let head = format!("-- Written by {}; recorded by tests/real-tools --record.\n", tool.version(shop));
    write(&place.join("history.sql"), &(head + &statements(&dump)));
    write(&place.join("applied"), &(applied.join("\n") + "\n"));
}

/// Without the settings and comments around the tables, which differ between versions of `pg_dump`.
fn statements(dump: &str) -> String {
    let mut text = String::new();
    let noise = |line: &&str| !line.is_empty() && !line.starts_with("--") && !line.starts_with("SET ");
    for line in dump.lines().filter(noise).filter(|line| !line.starts_with("SELECT pg_catalog.set_config")) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
