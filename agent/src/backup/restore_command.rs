//! The line that brings a backup back, safe to paste into a shell.

use std::path::Path;

/// `zstd -dc FILE | pg_restore --clean --if-exists --no-owner -d DATABASE`.
pub(crate) fn restore_command(file: &Path, database: &str) -> String {
    format!(
        "zstd -dc {} | pg_restore --clean --if-exists --no-owner -d {}",
        shell(&file.display().to_string()),
        shell(&connection(database))
    )
}

/// `pg_restore` takes a name with `=` in it, or one that looks like a URL, for a whole connection string.
fn connection(database: &str) -> String {
    if plain(database) && !database.starts_with('-') {
        return database.to_owned();
    }
    format!("dbname='{}'", database.replace('\\', r"\\").replace('\'', r"\'"))
}

fn shell(word: &str) -> String {
    if plain(word) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn plain(word: &str) -> bool {
    !word.is_empty()
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay_readable_and_hostile_ones_stay_names() {
        let line = |file: &str, database: &str| restore_command(Path::new(file), database);
        assert_eq!(
            line("/b/a.dump.zst", "users"),
            "zstd -dc /b/a.dump.zst | pg_restore --clean --if-exists --no-owner -d users"
        );
        assert!(line("/b/it's", "a").starts_with(r"zstd -dc '/b/it'\''s' |"));
        assert!(line("/b/a", "src host=evil").ends_with(r"-d 'dbname='\''src host=evil'\'''"));
        assert!(line("/b/a", "-x").ends_with(r"-d 'dbname='\''-x'\'''"));
    }
}
