//! agent.toml: where the server is, where the agent keeps its things, and the databases that it works on.
//!
//! Read once, at the start. Errors show the place in the file and the way out; a secret is never repeated.

mod skeleton;
mod vault;
mod web;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;
use serde::Deserialize;
use stopover_model::config::{self, ConfigError};
use stopover_model::id::DatabaseName;

use crate::backup::ProgramPaths;
use crate::connection::ServerUrl;
use crate::postgres::DatabaseConfig;
use crate::vault::Vault;
use crate::web::WebConfig;
use vault::RawBackup;
use web::RawWeb;

pub use skeleton::skeleton;

/// What the file is called in the agent's directory.
pub const FILE: &str = "agent.toml";

/// A checked agent.toml. Its paths are absolute: the programs that the agent starts work in another directory.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    pub server: ServerUrl,
    /// Where the identity lies.
    pub state_dir: PathBuf,
    pub backup_directory: PathBuf,
    pub vault: Vault,
    /// So many tables are dumped and restored at a time.
    pub backup_jobs: u32,
    /// A secret of the backups' destination, or a header of [http], stands in the file itself.
    pub(crate) holds_secret: bool,
    /// Makes backups in `pg_dump`'s place: a program and its arguments.
    pub backup_command: Option<Vec<String>>,
    pub programs: ProgramPaths,
    pub databases: Vec<DatabaseConfig>,
    /// What monitors may ask over HTTP.
    pub web: WebConfig,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    #[error("could not read {}; `stopover-agent join` writes one, or name yours with --config", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Content(#[from] ConfigError),
    #[error(
        "{} holds a password or another secret and can be read by others; run `chmod 600 {}`, or move it into a file of its own (password_file, say)",
        path.display(),
        path.display()
    )]
    Readable { path: PathBuf },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    server: toml::Spanned<String>,
    state_dir: Option<PathBuf>,
    pg_dump: Option<toml::Spanned<PathBuf>>,
    pg_restore: Option<toml::Spanned<PathBuf>>,
    #[serde(default)]
    backup: RawBackup,
    #[serde(default)]
    http: RawWeb,
    #[serde(default)]
    database: Vec<DatabaseConfig>,
}

impl AgentConfig {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, InvalidConfig> {
        let failed = |source| InvalidConfig::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
        let config = Self::parse(path, &text)?;
        let secret = |database: &DatabaseConfig| {
            let mut urls = [Some(&database.url), database.scratch_url.as_ref()].into_iter().flatten();
            urls.any(|url| holds_password(url.expose_secret()))
        };
        if mode & 0o077 != 0 && (config.databases.iter().any(secret) || config.holds_secret) {
            return Err(InvalidConfig::Readable { path: path.to_owned() });
        }
        Ok(config)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let raw: RawConfig = config::parse(&file, text)?;
        let server = raw
            .server
            .get_ref()
            .parse()
            .map_err(|e: crate::connection::ConnectError| at(&file, text, &raw.server, e.to_string()))?;
        check_databases(&file, &raw.database)?;
        // Without a current directory there is nothing to begin at, and the path stays as it is.
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let here = whole.parent().unwrap_or(Path::new("/")).to_owned();
        let state_dir = raw.state_dir.map_or_else(|| here.clone(), |dir| here.join(dir));
        let web = raw.http.checked(&file, text, &here)?;
        let holds_secret = raw.backup.holds_secret() || web.headers.iter().any(|(_, set)| set.holds_secret());
        let command =
            raw.backup.command.clone().map(|command| backup_command(&file, text, command)).transpose()?;
        let backup_jobs = raw.backup.jobs(&file, text)?;
        let (vault, backup) = raw.backup.checked((&file, text), &here, &state_dir)?;
        let programs = ProgramPaths {
            pg_dump: raw.pg_dump.map(|p| absolute(&file, text, p)).transpose()?,
            pg_restore: raw.pg_restore.map(|p| absolute(&file, text, p)).transpose()?,
        };
        let mut databases = raw.database;
        for database in &mut databases {
            database.password_file = database.password_file.take().map(|p| here.join(p));
            database.data_path = database.data_path.take().map(|p| here.join(p));
            database.directory.clone_from(&here);
            let root = database.sslrootcert.take();
            database.sslrootcert = root.map(|r| if r == "system" { r } else { in_directory(&here, r) });
        }
        Ok(Self {
            server,
            state_dir,
            backup_directory: backup,
            backup_command: command,
            vault,
            backup_jobs,
            holds_secret,
            programs,
            databases,
            web,
        })
    }
}

fn check_databases(file: &str, databases: &[DatabaseConfig]) -> Result<(), ConfigError> {
    if databases.is_empty() {
        let message = "the agent has no database to work on; add a [[database]] with name and url";
        return Err(ConfigError::whole(file, message));
    }
    let mut names: BTreeSet<&DatabaseName> = BTreeSet::new();
    match databases.iter().find(|d| !names.insert(&d.name)) {
        None => Ok(()),
        Some(twice) => {
            let message = format!("two [[database]] are called {}; give each its own name", twice.name);
            Err(ConfigError::whole(file, message))
        }
    }
}

/// A path that isn't text stays as it was written.
fn in_directory(here: &Path, path: String) -> String {
    here.join(&path).into_os_string().into_string().unwrap_or(path)
}

fn absolute(file: &str, text: &str, path: toml::Spanned<PathBuf>) -> Result<PathBuf, ConfigError> {
    if path.get_ref().is_absolute() {
        return Ok(path.into_inner());
    }
    let message = "this must be an absolute path, such as /usr/lib/postgresql/15/bin/pg_dump";
    Err(ConfigError::at(file, text, Some(path.span()), message))
}

/// No shell looks for the program, and the agent works in no particular directory.
fn backup_command(
    file: &str,
    text: &str,
    command: toml::Spanned<Vec<String>>,
) -> Result<Vec<String>, ConfigError> {
    if command.get_ref().first().is_some_and(|program| Path::new(program).is_absolute()) {
        return Ok(command.into_inner());
    }
    let message =
        "write a program by its absolute path, and its arguments: [\"/usr/local/bin/snapshot\", \"users\"]";
    Err(ConfigError::at(file, text, Some(command.span()), message))
}

fn at<T>(file: &str, text: &str, place: &toml::Spanned<T>, message: String) -> ConfigError {
    ConfigError::at(file, text, Some(place.span()), message)
}

/// In doubt it does: the price of a false alarm is a chmod.
fn holds_password(url: &str) -> bool {
    let user = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(user, _)| user);
    url.contains("password") || user.is_some_and(|user| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "server = \"https://stopover.example:8443\"\n[[database]]\nname = \"users\"\nurl = \"host=db dbname=users\"\n";

    fn parse(text: &str) -> Result<AgentConfig, String> {
        AgentConfig::parse(Path::new("/etc/stopover/agent.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn paths_are_taken_from_the_files_own_directory() {
        let config = parse(GOOD).unwrap();
        assert_eq!(config.state_dir, Path::new("/etc/stopover"));
        assert_eq!(config.backup_directory, Path::new("/etc/stopover/backups"));
        let text = format!("state_dir = \"/var/lib/stopover\"\n{GOOD}password_file = \"secret\"\n");
        let config = parse(&text).unwrap();
        assert_eq!(config.backup_directory, Path::new("/var/lib/stopover/backups"));
        assert_eq!(config.databases[0].password_file.as_deref(), Some(Path::new("/etc/stopover/secret")));
    }

    #[test]
    fn a_file_named_from_the_current_directory_gives_absolute_paths_too() {
        let text = format!("{GOOD}password_file = \"secret\"\nsslrootcert = \"ca.pem\"\n");
        for path in ["agent.toml", "agent/agent.toml"] {
            let config = AgentConfig::parse(Path::new(path), &text).unwrap();
            let paths = [&config.state_dir, &config.backup_directory];
            assert!(paths.iter().all(|p| p.is_absolute()), "{paths:?}");
            assert!(config.databases[0].password_file.as_ref().unwrap().is_absolute());
            assert!(Path::new(config.databases[0].sslrootcert.as_ref().unwrap()).is_absolute());
        }
        let config =
            AgentConfig::parse(Path::new("a"), &format!("{GOOD}sslrootcert = \"system\"\n")).unwrap();
        assert_eq!(config.databases[0].sslrootcert.as_deref(), Some("system"));
    }

    #[test]
    fn a_root_certificate_in_the_url_is_taken_from_the_files_own_directory_too() {
        for (written, expected) in
            [("ca.pem", "/etc/stopover/ca.pem"), ("/srv/ca.pem", "/srv/ca.pem"), ("system", "system")]
        {
            let url = |query: &str| format!("postgresql://db/users?sslmode=verify-full&sslrootcert={query}");
            for url in
                [url(written), format!("host=db dbname=users sslmode=verify-full sslrootcert={written}")]
            {
                let config = parse(&GOOD.replace("host=db dbname=users", &url)).unwrap();
                let database = crate::postgres::Database::new(&config.databases[0]).unwrap();
                assert_eq!(database.root_certificate(), Some(Path::new(expected)), "{url}");
            }
        }
    }

    #[test]
    fn errors_show_the_place_and_the_way_out() {
        let cases = [
            (format!("{GOOD}pasword_file = \"x\"\n"), "agent.toml:5:1: unknown field `pasword_file`"),
            (format!("{GOOD}pasword_file = \"x\"\n"), "did you mean `password_file`?"),
            (GOOD.replace("https", "http"), "write it as https://HOST:PORT"),
            (GOOD.replace("\"users\"", "\"Users\""), "`Users` is not the name of a database"),
            (format!("pg_dump = \"pg_dump\"\n{GOOD}"), "agent.toml:1:11: this must be an absolute path"),
            (format!("{GOOD}[[database]]\nname = \"users\"\nurl = \"\"\n"), "give each its own name"),
            ("server = \"https://a:1\"\n".to_owned(), "add a [[database]] with name and url"),
            (String::new(), "missing field `server`"),
        ];
        for (text, expected) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(expected), "{text}\n gave {error}");
        }
    }

    #[test]
    fn a_password_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let load = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            AgentConfig::load(&path)
        };
        let secret = GOOD.replace("host=db dbname=users", "postgresql://u:hunter2@db/users");
        let error = load(&secret, 0o640).unwrap_err().to_string();
        assert!(error.contains("chmod 600") && !error.contains("hunter2"), "{error}");
        assert!(load(&secret, 0o600).is_ok());
        assert!(load(GOOD, 0o644).is_ok());
        assert!(load(&GOOD.replace("host=db", "host=db password=x"), 0o644).is_err());
    }

    #[test]
    fn the_sample_is_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples/agent.toml");
        let config = AgentConfig::load(&path).unwrap();
        assert_eq!(config.databases.len(), 2);
        for database in &config.databases {
            crate::postgres::Database::new(database).unwrap();
        }
    }

    #[test]
    fn the_skeleton_says_what_is_missing() {
        let server = "https://stopover.example:8443".parse().unwrap();
        let text = skeleton(&server, &"staging".parse().unwrap());
        assert!(parse(&text).unwrap_err().contains("add a [[database]]"));
        let commented_in =
            text.replace("# [[database]]", "[[database]]").replace("# name", "name").replace("# url", "url");
        let config = parse(&commented_in).unwrap();
        assert_eq!((config.server, config.databases.len()), (server, 1));
    }
}
