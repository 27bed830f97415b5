//! Finds `pg_dump` and `pg_restore`: by absolute path, of one installation, and not older than the server.
//!
//! A wrapper that picks a version by its own lights (Debian's `/usr/bin/pg_dump`) is passed over.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use stopover_model::report::{ErrorClass, StepError};
use tokio::process::Command;

/// What agent.toml says about the programs; what it does not say is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramPaths {
    pub pg_dump: Option<PathBuf>,
    pub pg_restore: Option<PathBuf>,
}

/// The programs of one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Programs {
    pub(crate) pg_dump: PathBuf,
    pub(crate) pg_restore: PathBuf,
    /// As `pg_dump --version` says it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub(crate) version: String,
}

/// Finds programs that can dump a server of this version (150018 for 15.18).
pub(crate) async fn find(paths: &ProgramPaths, server_version_num: u32) -> Result<Programs, StepError> {
    let server = server_version_num / 10_000;
    let candidates = match &paths.pg_dump {
        Some(path) => vec![path.clone()],
        None => installed("pg_dump", &std::env::var_os("PATH").unwrap_or_default(), &packaged_parents()),
    };
    let mut newest: Option<(u32, PathBuf)> = None;
    for pg_dump in candidates {
        let version = match version_of(&pg_dump).await {
            Ok(version) => version,
            Err(error) if paths.pg_dump.is_some() => return Err(error),
            Err(_) => continue,
        };
        let major = major_of(&version).unwrap_or(0);
        if major >= server {
            let pg_restore = paths.pg_restore.clone().unwrap_or_else(|| pg_dump.with_file_name("pg_restore"));
            version_of(&pg_restore).await?;
            return Ok(Programs { pg_dump, pg_restore, version });
        }
        newest = newest.max(Some((major, pg_dump)));
    }
    Err(missing(newest, server))
}

fn missing(newest: Option<(u32, PathBuf)>, server: u32) -> StepError {
    let message = match newest {
        Some((major, path)) => format!(
            "{} is version {major}, and can't dump a server of version {server}: pg_dump must not be older than the server",
            path.display()
        ),
        None => "pg_dump was not found on this machine".to_owned(),
    };
    StepError::new(ErrorClass::Setup, message).with_hint(format!(
        "install PostgreSQL's client programs, version {server} or newer (Debian and Ubuntu: \
         apt-get install postgresql-client-{server}, from apt.postgresql.org where the distribution has none; \
         RHEL: dnf install postgresql{server}), or set pg_dump in agent.toml to the path of one"
    ))
}

/// The version that a program says it has: `pg_dump (PostgreSQL) 15.18 (Debian ...)` is `15.18 (Debian ...)`.
async fn version_of(program: &Path) -> Result<String, StepError> {
    let failed = |why: String| {
        StepError::new(ErrorClass::Setup, format!("could not run {}: {why}", program.display())).with_hint(
            "set pg_dump and pg_restore in agent.toml to the absolute paths of PostgreSQL's programs",
        )
    };
    let output = Command::new(program)
        .arg("--version")
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.split_once("(PostgreSQL) ") {
        Some((_, version)) if output.status.success() => Ok(version.trim().to_owned()),
        _ => Err(failed(format!("`--version` answered `{}`", text.trim().escape_debug()))),
    }
}

/// 15 of `15.18 (Debian)`, 17 of `17beta1`.
fn major_of(version: &str) -> Option<u32> {
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().ok()
}

/// Where distributions keep each version in a directory of its own: parent, and what lies between version and `bin`.
fn packaged_parents() -> Vec<PathBuf> {
    ["/usr/lib/postgresql", "/usr/pgsql", "/opt/postgresql"].map(PathBuf::from).into()
}

/// The real programs of this name, the newest packaged one first, then those on PATH.
fn installed(name: &str, path: &std::ffi::OsStr, parents: &[PathBuf]) -> Vec<PathBuf> {
    let mut packaged: Vec<(u32, PathBuf)> =
        parents.iter().flat_map(|parent| versions_under(parent)).collect();
    packaged.sort_by(|a, b| b.cmp(a));
    let directories = packaged.into_iter().map(|(_, directory)| directory).chain(std::env::split_paths(path));
    let mut found: Vec<PathBuf> = Vec::new();
    for directory in directories.filter(|d| d.is_absolute()) {
        // A link leads to the directory where its neighbours lie; a wrapper has another name at its end.
        let Ok(program) = directory.join(name).canonicalize() else { continue };
        if program.is_file() && program.file_name().is_some_and(|n| n == name) && !found.contains(&program) {
            found.push(program);
        }
    }
    found
}

/// `/usr/lib/postgresql/15/bin`, and `/usr/pgsql-15/bin` for the parent `/usr/pgsql`.
fn versions_under(parent: &Path) -> Vec<(u32, PathBuf)> {
    let entries = |directory: &Path| {
        std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok).collect::<Vec<_>>()
    };
    let nested = entries(parent).into_iter().filter_map(|entry| {
        let version = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    let prefix = format!("{}-", parent.file_name().and_then(|n| n.to_str()).unwrap_or_default());
    let beside = entries(parent.parent().unwrap_or(parent)).into_iter().filter_map(|entry| {
        let version = entry.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    nested.chain(beside).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn program(path: &Path, version: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        fs::write(path, format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_newest_packaged_version_comes_first_and_wrappers_never() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        program(&path("postgresql/9/bin/pg_dump"), "9.6.3");
        program(&path("postgresql/15/bin/pg_dump"), "15.18");
        program(&path("postgresql-16/bin/pg_dump"), "16.1");
        program(&path("wrapper/pg_wrapper"), "?");
        fs::create_dir(path("bin")).unwrap();
        symlink(path("wrapper/pg_wrapper"), path("bin/pg_dump")).unwrap();
        program(&path("own/pg_dump"), "15.1");
        let search = std::env::join_paths([path("bin"), path("own"), "relative".into()]).unwrap();
        let found = installed("pg_dump", &search, &[path("postgresql")]);
        let names: Vec<_> = ["postgresql-16/bin", "postgresql/15/bin", "postgresql/9/bin", "own"]
            .map(|d| path(d).join("pg_dump").canonicalize().unwrap())
            .into();
        assert_eq!(found, names);
    }

    #[tokio::test]
    async fn an_older_pg_dump_is_refused_with_the_package_to_install() {
        let root = tempfile::tempdir().unwrap();
        let old = root.path().join("pg_dump");
        program(&old, "14.9 (Debian)");
        let paths = ProgramPaths { pg_dump: Some(old), pg_restore: None };
        let error = find(&paths, 150_018).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Setup);
        assert!(error.message.contains("is version 14"), "{}", error.message);
        assert!(error.hint.unwrap().contains("postgresql-client-15"));
    }

    #[tokio::test]
    async fn this_machines_programs_are_found() {
        let programs = find(&ProgramPaths::default(), 150_000).await.unwrap();
        assert!(programs.pg_dump.is_absolute() && programs.pg_restore.is_absolute(), "{programs:?}");
        assert!(major_of(&programs.version).unwrap() >= 15, "{programs:?}");
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(
            ["15.18 (Debian)", "17beta1", "16", "x"].map(major_of),
            [Some(15), Some(17), Some(16), None]
        );
    }
}
