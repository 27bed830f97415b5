//! The secrets that the settings name: keys of webhooks, URLs that let in whoever knows them, the password of the mail server.
//!
//! Each is read when it is used, so that a new one counts at once where it lies in a file. None is ever logged or stored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use stopover_model::config::ConfigError;
use stopover_model::id::SecretName;

/// Where the secrets lie, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<SecretName, SecretSource>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    File(PathBuf),
    /// A variable of the server's environment.
    Env(String),
}

/// Why a secret is not there. Never says what is in it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(
        "server.toml has no secret `{0}`; add `{0} = {{ file = \"...\" }}` to its [secrets], and start the server again"
    )]
    Unknown(SecretName),
    #[error(
        "could not read the secret `{name}` from `{path}`; see that the file is there and that the server's user may read it"
    )]
    File {
        name: SecretName,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the secret `{name}` is to be in the variable {variable}, which is not set; set it where the server is started"
    )]
    Env { name: SecretName, variable: String },
    #[error("the secret `{0}` is empty; put it where server.toml says that it is")]
    Empty(SecretName),
}

impl Secrets {
    #[must_use]
    pub fn has(&self, name: &SecretName) -> bool {
        self.0.contains_key(name)
    }

    /// A line break at the end is none of it.
    pub fn read(&self, name: &SecretName) -> Result<SecretString, SecretError> {
        let source = self.0.get(name).ok_or_else(|| SecretError::Unknown(name.clone()))?;
        let text = match source {
            SecretSource::File(path) => std::fs::read_to_string(path)
                .map_err(|source| SecretError::File { name: name.clone(), path: path.clone(), source })?,
            SecretSource::Env(variable) => std::env::var(variable)
                .map_err(|_| SecretError::Env { name: name.clone(), variable: variable.clone() })?,
        };
        match text.trim() {
            "" => Err(SecretError::Empty(name.clone())),
            text => Ok(text.into()),
        }
    }

    /// Reads each once, so that what is wrong is said when the server starts.
    pub fn check(&self) -> Result<(), SecretError> {
        self.0.keys().try_for_each(|name| self.read(name).map(drop))
    }
}

impl FromIterator<(SecretName, SecretSource)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (SecretName, SecretSource)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

/// `{ file = "..." }` or `{ env = "..." }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSecret {
    file: Option<PathBuf>,
    env: Option<String>,
}

/// The table `[secrets]`; relative paths begin at `directory`.
pub(crate) fn read(
    raw: BTreeMap<SecretName, toml::Spanned<RawSecret>>,
    directory: &Path,
    (file, text): (&str, &str),
) -> Result<Secrets, ConfigError> {
    let source = |(name, raw): (SecretName, toml::Spanned<RawSecret>)| {
        let span = raw.span();
        let source = match raw.into_inner() {
            RawSecret { file: Some(path), env: None } => SecretSource::File(directory.join(path)),
            RawSecret { file: None, env: Some(variable) } if !variable.is_empty() => {
                SecretSource::Env(variable)
            }
            _ => {
                let message = "write where the secret is: { file = \"/path\" } or { env = \"VARIABLE\" }";
                return Err(ConfigError::at(file, text, Some(span), message));
            }
        };
        Ok((name, source))
    };
    raw.into_iter().map(source).collect()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_secret_is_read_when_it_is_used_and_what_is_wrong_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, name): (_, SecretName) = (dir.path().join("key"), "hook".parse().unwrap());
        let all: Secrets = [(name.clone(), SecretSource::File(path.clone()))].into_iter().collect();
        let error = all.check().unwrap_err().to_string();
        assert!(error.contains("could not read the secret `hook`"), "{error}");
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(all.read(&name).unwrap().expose_secret(), "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(all.read(&name).unwrap().expose_secret(), "two");
        std::fs::write(&path, " \n").unwrap();
        assert!(all.read(&name).unwrap_err().to_string().contains("`hook` is empty"));
        let unknown = all.read(&"other".parse().unwrap()).unwrap_err().to_string();
        assert!(unknown.contains("no secret `other`; add `other = { file"), "{unknown}");
        assert!(!format!("{:?}", all.read(&name)).contains("two"));
    }
}
