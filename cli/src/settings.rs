//! Which server, with which token, trusting whom: from options, the environment and the configuration file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use stopover_model::config;
use stopover_proto::token::{OperatorToken, looks_signed};
use tonic::transport::Uri;

use crate::args::Global;
use crate::contexts::{Contexts, Saved};
use crate::failure::Failure;
use crate::oidc::Kept;

/// All that a connection needs.
#[derive(Debug)]
pub struct Settings {
    pub server: Uri,
    pub credential: Credential,
    /// PEM; None for the system's authorities.
    pub ca: Option<Vec<u8>>,
}

/// What the server is shown.
#[derive(Debug)]
pub enum Credential {
    Token(OperatorToken),
    /// Somebody else sees to it that it is good: the CI's own, say.
    Jwt(Jwt),
    /// Renewed in time.
    Kept(Box<Kept>),
}

/// A token that an identity provider has signed. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Jwt(pub String);

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jwt(..)")
    }
}

/// The environment, as far as it matters here.
#[derive(Debug, Default)]
pub struct Environment {
    pub token: Option<String>,
    pub config: Option<PathBuf>,
    pub config_home: Option<PathBuf>,
    pub home: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    server: Option<String>,
    token: Option<String>,
    token_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    /// A context's.
    #[serde(skip)]
    pem: Option<String>,
    #[serde(skip)]
    kept: Option<Kept>,
}

const NO_SERVER: &str = "give --server URL, set $STOPOVER_SERVER, or write `server = \"https://...\"` into \
                         ~/.config/stopover/config.toml; to try it all on this machine: stopover dev";
const NO_TOKEN: &str = "stopover login; or give --token-file FILE, set $STOPOVER_TOKEN, or write `token_file = \"...\"` into ~/.config/stopover/config.toml";

impl Environment {
    #[must_use]
    pub fn of_the_process() -> Self {
        let path = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Self {
            token: std::env::var("STOPOVER_TOKEN").ok().filter(|v| !v.is_empty()),
            config: path("STOPOVER_CONFIG"),
            config_home: path("XDG_CONFIG_HOME"),
            home: path("HOME"),
        }
    }

    /// Where the contexts are: beside the configuration.
    #[must_use]
    pub fn directory(&self) -> Option<PathBuf> {
        let (file, _) = self.config_file()?;
        file.parent().map(Path::to_owned)
    }

    /// The file, and whether somebody named it: then it must be there.
    fn config_file(&self) -> Option<(PathBuf, bool)> {
        if let Some(path) = &self.config {
            return Some((path.clone(), true));
        }
        let home =
            self.config_home.clone().or_else(|| self.home.as_ref().map(|home| home.join(".config")))?;
        Some((home.join("stopover/config.toml"), false))
    }
}

impl Settings {
    /// Options win over the environment, that over the context, and that over the file. What a context holds is for its own
    /// server: where another one is named, nothing of it counts.
    pub fn find(global: &Global, environment: &Environment) -> Result<Self, Failure> {
        let file = match from_context(global, environment)? {
            Some(context) => context,
            None => read_config(environment)?,
        };
        let server = global.server.clone().or(file.server);
        let server = server.ok_or_else(|| Failure::usage("no server is configured").with_hint(NO_SERVER))?;
        let credential = match (&global.token_file, &environment.token) {
            (Some(path), _) => read_credential(path)?,
            (None, Some(token)) => parse_credential("$STOPOVER_TOKEN", token)?,
            (None, None) => match (&file.token, &file.token_file, file.kept) {
                (Some(token), ..) => parse_credential("`token` in the configuration", token)?,
                (None, Some(path), _) => read_credential(path)?,
                (None, None, Some(kept)) => Credential::Kept(Box::new(kept)),
                (None, None, None) => {
                    return Err(Failure::usage("no operator's token is configured").with_hint(NO_TOKEN));
                }
            },
        };
        Ok(Self {
            server: parse_server(&server)?,
            credential,
            ca: authority(global.ca.as_ref().or(file.ca.as_ref()), file.pem)?,
        })
    }
}

/// What the context in use says, where there is one and no other server is asked for.
fn from_context(global: &Global, environment: &Environment) -> Result<Option<ConfigFile>, Failure> {
    let Some(directory) = environment.directory() else { return Ok(None) };
    let contexts = Contexts::read(&directory)?;
    let Some((name, saved)) = contexts.chosen(global.context.as_deref())? else { return Ok(None) };
    match &global.server {
        Some(server) if server.trim_end_matches('/') != saved.server.trim_end_matches('/') => {
            if global.context.is_some() {
                let message =
                    format!("--server {server} is not the server of the context {name}, {}", saved.server);
                return Err(Failure::usage(message).with_hint("leave one of them out"));
            }
            Ok(None)
        }
        _ => {
            let Saved { server, ca, token, oidc } = saved.clone();
            let kept = oidc.map(|sign_in| Kept { sign_in, directory, context: name.to_owned() });
            Ok(Some(ConfigFile { server: Some(server), token, pem: ca, kept, ..ConfigFile::default() }))
        }
    }
}

pub(crate) fn authority(path: Option<&PathBuf>, pem: Option<String>) -> Result<Option<Vec<u8>>, Failure> {
    match path {
        Some(path) => {
            fs::read(path).map(Some).map_err(|e| unreadable("the authority's certificate", path, &e))
        }
        None => Ok(pem.map(String::into_bytes)),
    }
}

fn read_config(environment: &Environment) -> Result<ConfigFile, Failure> {
    let Some((path, named)) = environment.config_file() else {
        return Ok(ConfigFile::default());
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(ConfigFile::default());
        }
        Err(error) => return Err(unreadable("the configuration", &path, &error)),
    };
    let mut file: ConfigFile =
        config::parse(&path.display().to_string(), &text).map_err(|e| Failure::usage(e.to_string()))?;
    if file.token.is_some() {
        only_ours("the configuration holds a token and", &path)?;
    }
    if file.token.is_some() && file.token_file.is_some() {
        let message = format!("{}: token and token_file are both set; remove one", path.display());
        return Err(Failure::usage(message));
    }
    // Paths are relative to the file that names them.
    let base = path.parent().unwrap_or(Path::new("."));
    for named in [&mut file.token_file, &mut file.ca].into_iter().flatten() {
        *named = base.join(&*named);
    }
    Ok(file)
}

pub(crate) fn read_token(path: &Path) -> Result<OperatorToken, Failure> {
    parse_token(&path.display().to_string(), &read_secret(path)?)
}

fn read_credential(path: &Path) -> Result<Credential, Failure> {
    parse_credential(&path.display().to_string(), &read_secret(path)?)
}

fn read_secret(path: &Path) -> Result<String, Failure> {
    only_ours("the token's file", path)?;
    fs::read_to_string(path).map_err(|e| unreadable("the token's file", path, &e))
}

fn parse_credential(source: &str, text: &str) -> Result<Credential, Failure> {
    let text = text.trim();
    if looks_signed(text) {
        return Ok(Credential::Jwt(Jwt(text.to_owned())));
    }
    parse_token(source, text).map(Credential::Token)
}

pub(crate) fn parse_token(source: &str, text: &str) -> Result<OperatorToken, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{source} holds no token")).because(&error))
}

fn only_ours(what: &str, path: &Path) -> Result<(), Failure> {
    let metadata = fs::metadata(path).map_err(|e| unreadable("the token's file", path, &e))?;
    let others = metadata.permissions().mode() & 0o077;
    if others == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::usage(format!("{what} can be read by others: {path}"))
        .with_hint(format!("chmod 600 {path}")))
}

pub(crate) fn parse_server(text: &str) -> Result<Uri, Failure> {
    let hint = "write it as https://HOST:PORT";
    let uri: Uri = text.trim_end_matches('/').parse().map_err(|error| {
        Failure::usage(format!("the server's address `{text}` is no URL")).because(&error).with_hint(hint)
    })?;
    match uri.scheme_str() {
        Some("https")
            if uri.host().is_some_and(|h| !h.is_empty()) && uri.path() == "/" && uri.query().is_none() =>
        {
            Ok(uri)
        }
        Some("http") => {
            let message = format!("the server's address `{text}` would send the token in clear");
            Err(Failure::usage(message).with_hint(hint))
        }
        _ => Err(Failure::usage(format!("the server's address `{text}` is not usable")).with_hint(hint)),
    }
}

fn unreadable(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("could not read {what} {}", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;
    use crate::render::line::text;

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            let home = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(home.0.path().join("stopover")).unwrap();
            home.write("token", &OperatorToken::new([7; 32]).expose(), 0o600);
            home.write("ca.pem", "pem", 0o644);
            home
        }

        fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.0.path().join("stopover").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }

        fn find(&self, line: &str) -> Result<Settings, String> {
            let environment =
                Environment { config_home: Some(self.0.path().to_owned()), ..Environment::default() };
            find_in(line, &environment)
        }
    }

    fn find_in(line: &str, environment: &Environment) -> Result<Settings, String> {
        let words = ["stopover", "list"].into_iter().chain(line.split_whitespace());
        let global = Cli::try_parse_from(words).unwrap().global;
        Settings::find(&global, environment).map_err(|f| text(&f.lines()))
    }

    fn token_of(settings: &Settings) -> String {
        match &settings.credential {
            Credential::Token(token) => token.expose(),
            Credential::Jwt(Jwt(text)) => text.clone(),
            Credential::Kept(kept) => kept.sign_in.bearer.clone(),
        }
    }

    #[test]
    fn a_signed_token_is_taken_where_one_of_the_server_is() {
        let environment = Environment { token: Some("eyJh.eyJz.c2ln\n".into()), ..Environment::default() };
        let settings = find_in("--server https://h", &environment).unwrap();
        assert_eq!(token_of(&settings), "eyJh.eyJz.c2ln");
        assert!(!format!("{settings:?}").contains("eyJz"));
    }

    #[test]
    fn the_file_gives_everything_and_its_paths_are_relative_to_it() {
        let home = Home::new();
        home.write(
            "config.toml",
            "server = \"https://h:1\"\ntoken_file = \"token\"\nca = \"ca.pem\"\n",
            0o644,
        );
        let settings = home.find("").unwrap();
        assert_eq!(settings.server, "https://h:1/");
        assert_eq!(settings.ca.as_deref(), Some(&b"pem"[..]));
        assert_eq!(token_of(&settings), OperatorToken::new([7; 32]).expose());
    }

    #[test]
    fn options_win_over_the_environment_and_that_over_the_file() {
        let home = Home::new();
        home.write("config.toml", "server = \"https://file\"\ntoken_file = \"token\"\n", 0o600);
        let config_home = Some(home.0.path().to_owned());
        let token = Some(OperatorToken::new([8; 32]).expose());
        let environment = Environment { token, config_home, ..Environment::default() };
        let settings = find_in("--server https://option", &environment).unwrap();
        assert_eq!(settings.server, "https://option/");
        assert_eq!(token_of(&settings), OperatorToken::new([8; 32]).expose());
        let file = home.write("other", &OperatorToken::new([9; 32]).expose(), 0o600);
        let settings = find_in(&format!("--token-file {}", file.display()), &environment).unwrap();
        assert_eq!(token_of(&settings), OperatorToken::new([9; 32]).expose());
    }

    #[test]
    fn a_token_that_others_can_read_is_refused_with_the_remedy() {
        let home = Home::new();
        let file = home.write("token", &OperatorToken::new([7; 32]).expose(), 0o644);
        let error = home.find(&format!("--server https://h --token-file {}", file.display())).unwrap_err();
        assert!(error.contains("can be read by others") && error.contains("hint: chmod 600 "), "{error}");
        let token = OperatorToken::new([7; 32]).expose();
        home.write("config.toml", &format!("server = \"https://h\"\ntoken = \"{token}\"\n"), 0o640);
        assert!(
            home.find("").unwrap_err().contains("the configuration holds a token and can be read by others")
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_with_the_way_out() {
        let home = Home::new();
        assert!(home.find("").unwrap_err().contains("hint: give --server URL"));
        assert!(
            home.find("--server https://h")
                .unwrap_err()
                .contains("hint: stopover login; or give --token-file FILE")
        );
        home.write("config.toml", "token_file = \"token\"\nsever = \"https://h\"\n", 0o600);
        assert!(home.find("").unwrap_err().contains("config.toml:2:1: unknown field `sever`"));
        for (server, expected) in [
            ("http://h", "would send the token in clear"),
            ("h:7443", "is not usable"),
            ("https://h/path", "is not usable"),
            ("https://a b", "no URL"),
        ] {
            let error = parse_server(server).map_err(|f| text(&f.lines())).unwrap_err();
            assert!(error.contains(expected), "{server}: {error}");
        }
        let environment =
            Environment { config: Some("/nowhere/config.toml".into()), ..Environment::default() };
        assert!(find_in("", &environment).unwrap_err().contains("/nowhere/config.toml"));
    }

    #[test]
    fn a_wrong_token_is_not_repeated() {
        let environment = Environment { token: Some("hunter2".into()), ..Environment::default() };
        let error = find_in("--server https://h", &environment).unwrap_err();
        assert!(
            error.starts_with("error: $STOPOVER_TOKEN holds no token: this is not an operator's token"),
            "{error}"
        );
        assert!(!error.contains("hunter2"));
    }
}
