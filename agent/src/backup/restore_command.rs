//! The line that brings a backup back, safe to paste into a shell.

use std::path::Path;

/// `zstd -dc FILE | pg_restore --clean --if-exists --no-owner -d DATABASE`.
pub(crate) fn restore_command(file: &Path, database: &str, into: Into) -> String {
    let file = shell(&file.display().to_string());
    format!("{}zstd -dc {file} | {}", into.before(database), into.pg_restore(database))
}

/// The same of a directory, by several jobs.
pub(crate) fn of_directory(directory: &Path, jobs: u32, database: &str, into: Into) -> String {
    let directory = shell(&directory.display().to_string());
    format!("{}{} -j {jobs} {directory}", into.before(database), into.pg_restore(database))
}

/// The same for a backup that lies elsewhere, or that needs an identity. The cloud's own program fetches it.
pub(crate) fn elsewhere(locations: &[String], encrypted: bool, database: &str, into: Into) -> String {
    let fetch: Vec<String> = locations.iter().map(|location| fetched(location)).collect();
    let fetch = match &fetch[..] {
        [one] => one.clone(),
        several => format!("{{ {}; }}", several.join("; ")),
    };
    let decrypt = if encrypted { "age -d -i IDENTITY | " } else { "" };
    format!("{}{fetch} | {decrypt}zstd -dc | {}", into.before(database), into.pg_restore(database))
}

fn fetched(location: &str) -> String {
    let quoted = shell(location);
    match location.split_once("://") {
        Some(("s3", _)) => format!("aws s3 cp {quoted} -"),
        Some(("gs", _)) => format!("gcloud storage cat {quoted}"),
        Some(("az", rest)) => {
            let (container, blob) = rest.split_once('/').unwrap_or((rest, ""));
            let (container, blob) = (shell(container), shell(blob));
            format!("az storage blob download -c {container} -n {blob} -f /dev/stdout --no-progress")
        }
        _ => format!("cat {quoted}"),
    }
}

/// How a backup is to be brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    /// Over the database itself.
    Place,
    /// A new database: the rows of most tables are not in the backup, and must not be replaced by nothing.
    New,
}

impl Into {
    fn before(self, database: &str) -> String {
        match self {
            Self::Place => String::new(),
            Self::New => format!("createdb --template template0 -- {} && ", shell(&new(database))),
        }
    }

    fn pg_restore(self, database: &str) -> String {
        match self {
            Self::Place => {
                format!("pg_restore --clean --if-exists --no-owner -d {}", shell(&connection(database)))
            }
            Self::New => format!("pg_restore --no-owner -d {}", shell(&connection(&new(database)))),
        }
    }
}

fn new(database: &str) -> String {
    format!("{database}_backup")
}

/// `pg_restore` takes a name with `=` in it, or one that looks like a URL, for a whole connection string.
fn connection(database: &str) -> String {
    if plain(database) && !database.starts_with('-') && !database.contains(':') {
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
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay_readable_and_hostile_ones_stay_names() {
        let line = |file: &str, database: &str| restore_command(Path::new(file), database, Into::Place);
        assert_eq!(
            line("/b/a.dump.zst", "users"),
            "zstd -dc /b/a.dump.zst | pg_restore --clean --if-exists --no-owner -d users"
        );
        assert!(line("/b/it's", "a").starts_with(r"zstd -dc '/b/it'\''s' |"));
        assert!(line("/b/a", "src host=evil").ends_with(r"-d 'dbname='\''src host=evil'\'''"));
        assert_eq!(
            elsewhere(&["s3://b/p/a".into(), "s3://b/p/a.2".into()], true, "users", Into::Place),
            "{ aws s3 cp s3://b/p/a -; aws s3 cp s3://b/p/a.2 -; } | age -d -i IDENTITY | zstd -dc | \
             pg_restore --clean --if-exists --no-owner -d users"
        );
        assert_eq!(
            restore_command(Path::new("/b/a.dump.zst"), "users", Into::New),
            "createdb --template template0 -- users_backup && zstd -dc /b/a.dump.zst | pg_restore --no-owner -d users_backup"
        );
        assert_eq!(
            of_directory(Path::new("/b/a.dump.dir"), 4, "users", Into::Place),
            "pg_restore --clean --if-exists --no-owner -d users -j 4 /b/a.dump.dir"
        );
        assert!(line("/b/a", "-x").ends_with(r"-d 'dbname='\''-x'\'''"));
    }
}
