//! Finds PostgreSQL's own programs. Never takes a wrapper: `initdb` and `postgres` must lie side by side.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ClusterError;

/// Absolute paths of the server programs of one installation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Programs {
    pub(crate) initdb: PathBuf,
    pub(crate) postgres: PathBuf,
}

impl Programs {
    /// Another program of the same installation; not every package brings all of them.
    pub(crate) fn beside_postgres(&self, name: &str) -> PathBuf {
        self.postgres.with_file_name(name)
    }

    /// PATH comes first, so that a person can choose; then the newest packaged version; then `pg_config`.
    pub(crate) fn find() -> Result<Self, ClusterError> {
        on_path(&std::env::var_os("PATH").unwrap_or_default())
            .or_else(|| newest_packaged(Path::new("/usr/lib/postgresql")))
            .or_else(from_pg_config)
            .ok_or(ClusterError::ProgramsNotFound)
    }

    fn beside(initdb: &Path) -> Option<Self> {
        // A link in /usr/local/bin leads to the directory where its neighbours lie.
        let initdb = initdb.canonicalize().ok()?;
        let postgres = initdb.with_file_name("postgres");
        (initdb.is_file() && postgres.is_file()).then_some(Self { initdb, postgres })
    }
}

fn on_path(path: &std::ffi::OsStr) -> Option<Programs> {
    std::env::split_paths(path).find_map(|directory| Programs::beside(&directory.join("initdb")))
}

/// Debian and its descendants keep each version in a directory of its own, off PATH.
fn newest_packaged(parent: &Path) -> Option<Programs> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    versions.sort();
    versions.iter().rev().find_map(|(_, directory)| Programs::beside(&directory.join("bin/initdb")))
}

fn from_pg_config() -> Option<Programs> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let directory = String::from_utf8(output.stdout).ok()?;
    Programs::beside(&Path::new(directory.trim_end()).join("initdb"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn install(directory: &Path) {
        fs::create_dir_all(directory).unwrap();
        for program in ["initdb", "postgres"] {
            fs::write(directory.join(program), "").unwrap();
        }
    }

    #[test]
    fn the_newest_complete_version_wins_by_number_not_by_letter() {
        let parent = tempfile::tempdir().unwrap();
        install(&parent.path().join("9/bin"));
        install(&parent.path().join("15/bin"));
        fs::create_dir_all(parent.path().join("17/bin")).unwrap();
        let found = newest_packaged(parent.path()).unwrap();
        assert!(found.initdb.ends_with("15/bin/initdb"), "{found:?}");
    }

    #[test]
    fn a_link_on_the_path_leads_to_the_real_directory() {
        let parent = tempfile::tempdir().unwrap();
        let (real, links) = (parent.path().join("real"), parent.path().join("links"));
        install(&real);
        fs::create_dir(&links).unwrap();
        symlink(real.join("initdb"), links.join("initdb")).unwrap();
        let found = on_path(links.as_os_str()).unwrap();
        assert!(found.postgres.ends_with("real/postgres"), "{found:?}");
    }

    #[test]
    fn a_directory_without_the_server_is_passed_over() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("initdb"), "").unwrap();
        assert_eq!(on_path(parent.path().as_os_str()), None);
        let message = ClusterError::ProgramsNotFound.to_string();
        assert!(message.contains("apt-get install postgresql"), "{message}");
    }
}
