//! What a server is told on its command line and in server.toml, checked and with the defaults filled in.
//!
//! Nothing is opened or made here.

mod audit;
mod mail;
mod oidc;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use serde::Deserialize;
use stopover_model::config::{self, ConfigError};
use stopover_model::id::{GroupName, InvalidId, SecretName};
use stopover_model::pipeline::check_url;
use stopover_model::role::{Grant, InvalidGrant, Role, Scope};

use crate::people::GroupRoles;
use crate::secrets::{self, RawSecret, Secrets};
use audit::RawAudit;
pub use audit::{AuditSettings, AuditWebhook};
use mail::RawSmtp;
pub use mail::{Smtp, SmtpTls};
pub use oidc::OidcSettings;
use oidc::RawOidc;

/// The store's file in the data directory, where no other store is named.
const STORE_FILE: &str = "stopover.db";

/// Stopover's server: sequences database migrations through their environments.
///
/// Its first start prints the token of the operator `admin`, once.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "stopover-server", version, about)]
pub struct Arguments {
    /// Settings; see deploy/samples/server.toml. Without it, everything has its default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the authority's key and the SQLite file are; made where it is missing. Goes before the setting `data_dir`.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The address and port to serve on; port 0 takes a free one. Goes before the setting `listen`.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// The first start writes the admin's token there (mode 0600), and does not print it.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// The address and port are written there once the server takes connections.
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,
    /// What is logged: `info`, `debug`, `stopover_server=debug,info`.
    #[arg(long, value_name = "FILTER", env = "STOPOVER_LOG", default_value = "info")]
    pub log: String,
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    /// What the server's certificate is for.
    pub names: Vec<String>,
    pub store: StorePlace,
    pub reflection: bool,
    pub log_format: LogFormat,
    pub audit: AuditSettings,
    /// What groups may do.
    pub roles: GroupRoles,
    /// Whose word counts for who somebody is, beside the tokens made here.
    pub oidc: Option<OidcSettings>,
    /// How it is reached from outside, for those who are to call back.
    pub url: Option<String>,
    pub secrets: Secrets,
    pub smtp: Option<Smtp>,
    pub notifications: NotificationSettings,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationSettings {
    /// What has not reached somebody by then never will.
    pub give_up_after: Duration,
}

impl Default for NotificationSettings {
    fn default() -> Self {
        Self { give_up_after: Duration::from_hours(24) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// SQLite, in the data directory.
    File(PathBuf),
    Url(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("could not read the settings in `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Invalid(#[from] ConfigError),
    #[error("there is no place for the server's data: name one with --data-dir, or set HOME")]
    NoDataDirectory,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    listen: Option<toml::Spanned<String>>,
    data_dir: Option<PathBuf>,
    names: Option<toml::Spanned<Vec<String>>>,
    store: Option<toml::Spanned<String>>,
    #[serde(default)]
    reflection: bool,
    #[serde(default)]
    log_format: LogFormat,
    url: Option<toml::Spanned<String>>,
    #[serde(default)]
    secrets: BTreeMap<SecretName, toml::Spanned<RawSecret>>,
    smtp: Option<RawSmtp>,
    #[serde(default)]
    notifications: RawNotifications,
    #[serde(default)]
    role: Vec<RawRole>,
    oidc: Option<RawOidc>,
    #[serde(default)]
    audit: RawAudit,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRole {
    group: toml::Spanned<String>,
    role: toml::Spanned<String>,
    /// Without it: all.
    environments: Option<toml::Spanned<Vec<toml::Spanned<String>>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNotifications {
    give_up_after: Option<toml::Spanned<String>>,
}

impl Config {
    /// Reads the file that the arguments name, if they name one. The arguments go before the file, the file before the
    /// defaults.
    pub fn load(
        arguments: &Arguments,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SettingsError> {
        let (file, text) = match &arguments.config {
            Some(path) => {
                let failed = |source| SettingsError::Read { path: path.clone(), source };
                (path.clone(), std::fs::read_to_string(path).map_err(failed)?)
            }
            None => (PathBuf::new(), String::new()),
        };
        let name = file.display().to_string();
        let raw: Raw = config::parse(&name, &text)?;
        // A path in the file means the same wherever the server is started.
        let from_file = raw.data_dir.as_ref().map(|dir| file.parent().unwrap_or(Path::new("")).join(dir));
        let data_dir = arguments
            .data_dir
            .clone()
            .or(from_file)
            .or_else(|| default_data_dir(environment))
            .ok_or(SettingsError::NoDataDirectory)?;
        let at = |span, message: &str| ConfigError::at(&name, &text, Some(span), message);
        let directory = file.parent().unwrap_or(Path::new(""));
        let secrets = secrets::read(raw.secrets, directory, (&name, &text))?;
        let smtp = raw.smtp.map(|smtp| smtp.read(|secret| secrets.has(secret), directory, (&name, &text)));
        let audit = raw.audit.read(|secret| secrets.has(secret), directory, (&name, &text))?;
        let mut notifications = NotificationSettings::default();
        if let Some(age) = raw.notifications.give_up_after {
            notifications.give_up_after =
                stopover_model::duration::parse(age.get_ref()).map_err(|why| at(age.span(), &why))?;
        }
        if let Some(url) = &raw.url {
            check_url(url.get_ref()).map_err(|why| at(url.span(), &why))?;
        }
        Ok(Self {
            listen: match (arguments.listen, &raw.listen) {
                (Some(address), _) => address,
                (None, None) => SocketAddr::from(([0, 0, 0, 0], 7443)),
                (None, Some(text)) => text.get_ref().parse().map_err(|_| {
                    at(
                        text.span(),
                        "this is no address and port; write it as \"0.0.0.0:7443\" or \"[::]:7443\"",
                    )
                })?,
            },
            names: match raw.names {
                None => default_names(),
                Some(names) if names.get_ref().is_empty() => {
                    let message =
                        "the server needs a name: give those by which agents and operators reach it";
                    return Err(at(names.span(), message).into());
                }
                Some(names) => names.into_inner(),
            },
            store: match raw.store {
                None => StorePlace::File(data_dir.join(STORE_FILE)),
                Some(url) if has_known_scheme(url.get_ref()) => StorePlace::Url(url.into_inner()),
                Some(url) => {
                    let message = "write it as \"postgres://user@host:5432/database\" or \"sqlite:///absolute/path.db\"";
                    return Err(at(url.span(), message).into());
                }
            },
            data_dir,
            reflection: raw.reflection,
            log_format: raw.log_format,
            audit,
            roles: group_roles(raw.role, &at)?,
            oidc: raw.oidc.map(|oidc| oidc.read(directory, (&name, &text))).transpose()?,
            url: raw.url.map(|url| url.into_inner().trim_end_matches('/').to_owned()),
            smtp: smtp.transpose()?,
            secrets,
            notifications,
        })
    }
}

fn group_roles(
    raw: Vec<RawRole>,
    at: &impl Fn(std::ops::Range<usize>, &str) -> ConfigError,
) -> Result<GroupRoles, ConfigError> {
    let mut roles = Vec::new();
    for RawRole { group, role, environments } in raw {
        let in_place =
            |text: &toml::Spanned<String>, why: &dyn std::fmt::Display| at(text.span(), &why.to_string());
        let name: GroupName = group.get_ref().parse().map_err(|why: InvalidId| in_place(&group, &why))?;
        let role: Role = role.get_ref().parse().map_err(|why: InvalidGrant| in_place(&role, &why))?;
        let Some(environments) = environments else {
            roles.push((name, Grant { role, scope: Scope::Everywhere }));
            continue;
        };
        if environments.get_ref().is_empty() {
            return Err(at(
                environments.span(),
                "the role counts nowhere: name environments, or leave this out for all",
            ));
        }
        for environment in environments.get_ref() {
            let scope =
                environment.get_ref().parse().map_err(|why: InvalidGrant| in_place(environment, &why))?;
            roles.push((name.clone(), Grant { role, scope }));
        }
    }
    Ok(GroupRoles::new(roles))
}

fn has_known_scheme(url: &str) -> bool {
    ["postgres://", "postgresql://", "sqlite://"].iter().any(|scheme| url.starts_with(scheme))
}

/// `$STATE_DIRECTORY` (systemd's `StateDirectory=`), else where the user's own data belongs.
fn default_data_dir(environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // It may name several, one after the other.
    let state = environment("STATE_DIRECTORY").and_then(|dirs| std::env::split_paths(&dirs).next());
    state.filter(|dir| !dir.as_os_str().is_empty()).or_else(|| {
        let share = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")))?;
        Some(share.join("stopover-server"))
    })
}

/// This machine, as it is called here.
fn default_names() -> Vec<String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    if rustls::pki_types::DnsName::try_from(host).is_ok() && !names.iter().any(|name| name == host) {
        names.push(host.to_owned());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(name: &str) -> Option<OsString> {
        (name == "HOME").then(|| OsString::from("/home/anna"))
    }

    fn load(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server.toml");
        std::fs::write(&file, text).unwrap();
        let arguments = Arguments { config: Some(file), ..Arguments::default() };
        Config::load(&arguments, home)
            .map_err(|error| error.to_string().replace(&dir.path().display().to_string(), ""))
    }

    #[test]
    fn everything_has_a_default() {
        let config = Config::load(&Arguments::default(), home).unwrap();
        assert_eq!(config.listen.to_string(), "0.0.0.0:7443");
        assert_eq!(config.data_dir, Path::new("/home/anna/.local/share/stopover-server"));
        let file = config.data_dir.join("stopover.db");
        assert_eq!(
            (config.store, config.reflection, config.log_format),
            (StorePlace::File(file), false, LogFormat::Text)
        );
        assert_eq!(config.names[..3], ["localhost", "127.0.0.1", "::1"]);
        assert!(matches!(Config::load(&Arguments::default(), |_| None), Err(SettingsError::NoDataDirectory)));
    }

    #[test]
    fn arguments_go_before_the_file_and_paths_are_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server.toml");
        std::fs::write(
            &file,
            "listen = \"[::1]:1\"\ndata_dir = \"data\"\nnames = [\"s.example.com\"]\nreflection = true\n\
             store = \"postgres://me@db/stopover\"\nlog_format = \"json\"\n",
        )
        .unwrap();
        let mut arguments = Arguments { config: Some(file), ..Arguments::default() };
        let config = Config::load(&arguments, home).unwrap();
        assert_eq!(config.listen.to_string(), "[::1]:1");
        assert_eq!(config.data_dir, dir.path().join("data"));
        assert_eq!(config.store, StorePlace::Url("postgres://me@db/stopover".to_owned()));
        assert_eq!((config.reflection, config.log_format), (true, LogFormat::Json));

        arguments.listen = Some("127.0.0.1:0".parse().unwrap());
        arguments.data_dir = Some("/elsewhere".into());
        let config = Config::load(&arguments, home).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:0");
        assert_eq!(config.data_dir, Path::new("/elsewhere"));
    }

    #[test]
    fn what_is_wrong_is_shown_in_its_place() {
        for (text, expected) in [
            ("lisen = \"x\"", "/server.toml:1:1: unknown field `lisen`"),
            ("listen = \"7443\"", "/server.toml:1:10: this is no address and port; write it as"),
            ("names = []", "/server.toml:1:9: the server needs a name"),
            ("store = \"mysql://x\"", "/server.toml:1:9: write it as \"postgres://"),
            ("log_format = \"xml\"", "unknown variant `xml`"),
            ("[[role]]\ngroup = \"dba\"\nrole = \"owner\"", "/server.toml:3:8: `owner` is no role"),
            (
                "[[role]]\ngroup = \"dba\"\nrole = \"viewer\"\nenvironments = []",
                "/server.toml:4:16: the role counts nowhere",
            ),
            (
                "[[role]]\ngroup = \"dba\"\nrole = \"viewer\"\nenvironments = [\"No\"]",
                "/server.toml:4:17: `No` is not the name of an environment",
            ),
            ("url = \"here\"", "/server.toml:1:7: `here` is no URL"),
            ("[secrets]\nA = { file = \"x\" }", "`A` is not the name of a secret"),
            ("[secrets]\na = { file = \"x\", env = \"Y\" }", "/server.toml:2:5: write where the secret is"),
            ("[smtp]\nhost = \"h\"\nfrom = \"me\"", "/server.toml:3:8: `me` is no mail address"),
            (
                "[smtp]\nhost = \"h\"\nfrom = \"a@b\"\nusername = \"u\"\npassword = \"p\"",
                "/server.toml:5:12: there is no secret `p`; add",
            ),
            ("[smtp]\nhost = \"h\"\nfrom = \"a@b\"\nusername = \"u\"", "and no `password`"),
            (
                "[secrets]\np = { env = \"P\" }\n[smtp]\nhost = \"h\"\nfrom = \"a@b\"\ntls = \"none\"\n\
                 username = \"u\"\npassword = \"p\"",
                "would send its password in clear",
            ),
            ("[oidc]\nissuer = \"https://id\"", "missing field `client_id`"),
            ("[oidc]\nissuer = \"id\"\nclient_id = \"s\"", "/server.toml:2:10: `id` is no URL"),
            (
                "[oidc]\nissuer = \"http://id.example.com\"\nclient_id = \"s\"",
                "/server.toml:2:10: whoever is in between could sign in as anybody",
            ),
            (
                "[oidc]\nissuer = \"https://id/?a=b\"\nclient_id = \"s\"",
                "/server.toml:2:10: `https://id/?a=b` has more than a host and a path",
            ),
            ("[oidc]\nissuer = \"https://id\"\nclient_id = \"\"", "/server.toml:3:13: this is empty; write"),
            (
                "[oidc]\nissuer = \"https://id\"\nclient_id = \"s\"\naudience = \" \"",
                "/server.toml:4:12: this is empty; leave it out",
            ),
            (
                "[oidc]\nissuer = \"https://id\"\nclient_id = \"s\"\ngroups_claim = \"\"",
                "/server.toml:4:16: this is empty; name the claim",
            ),
            (
                "[oidc]\nissuer = \"https://id\"\nclient_id = \"s\"\nname_claim = \"\"",
                "/server.toml:4:14: this is empty; name the claim",
            ),
            (
                "[oidc]\nissuer = \"https://id\"\nclient_id = \"s\"\nscopes = [\"email\"]",
                "/server.toml:4:10: without the scope \"openid\"",
            ),
            (
                "[oidc]\nissuer = \"https://id\"\nclient_id = \"s\"\nscopes = [\"openid email\"]",
                "/server.toml:4:11: this is no scope",
            ),
            (
                "[oidc]\nissuer = \"https://id\"\nclient_id = \"s\"\nca = \"nowhere.pem\"",
                "/server.toml:4:6: could not read /nowhere.pem",
            ),
            (
                "[oidc]\nissuer = \"https://id\"\nclient_id = \"s\"\nca = \"server.toml\"",
                "/server.toml:4:6: this file holds no certificate",
            ),
            (
                "[oidc]\nissuer = \"https://id\"\nclient_id = \"s\"\nclient_secret = \"x\"",
                "/server.toml:4:1: unknown field `client_secret`",
            ),
            ("[notifications]\ngive_up_after = \"1\"", "/server.toml:2:17: `1` is not a duration"),
            ("[audit]\nwebhook = \"https://a\"", "/server.toml:2:11: the calls are signed: add `secret`"),
            ("[audit]\nsecret = \"a\"", "/server.toml:2:10: nothing is signed with it: add `webhook`"),
            (
                "[audit]\nwebhook = \"https://a\"\nsecret = \"a\"",
                "/server.toml:3:10: there is no secret `a`; add",
            ),
            (
                "[secrets]\na = { env = \"A\" }\n[audit]\nwebhook = \"a\"\nsecret = \"a\"",
                "/server.toml:4:11: `a` is no URL",
            ),
            ("[audit]\nheadfile = \"x\"", "/server.toml:2:1: unknown field `headfile`"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(expected), "{text} gave {error}");
        }
        let missing = Arguments { config: Some("/nowhere/server.toml".into()), ..Arguments::default() };
        let error = Config::load(&missing, home).unwrap_err();
        assert_eq!(error.to_string(), "could not read the settings in `/nowhere/server.toml`");
    }

    #[test]
    fn sign_in_by_oidc_has_its_defaults() {
        let oidc =
            load("[oidc]\nissuer = \"https://id.example.com/\"\nclient_id = \"stopover\"").unwrap().oidc;
        let oidc = oidc.unwrap();
        assert_eq!((oidc.issuer.as_str(), oidc.audience.as_str()), ("https://id.example.com/", "stopover"));
        assert_eq!((oidc.groups_claim.as_str(), oidc.name_claim.as_str()), ("groups", "email"));
        assert!(oidc.scopes.is_empty() && oidc.ca.is_none());
        load("[oidc]\nissuer = \"http://127.0.0.1:8080\"\nclient_id = \"s\"").unwrap();
    }

    #[test]
    fn the_sample_is_what_it_says() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples/server.toml");
        let config = Config::load(&Arguments { config: Some(sample), ..Arguments::default() }, home).unwrap();
        assert_eq!(config.names, ["stopover.example.com"]);
        assert_eq!(config.store, StorePlace::File("/var/lib/stopover-server/stopover.db".into()));
    }
}
