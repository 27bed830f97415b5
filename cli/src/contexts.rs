//! Several servers, each with its token: `contexts.toml` beside the configuration, for its owner's eyes alone.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use stopover_model::config;

use crate::failure::Failure;
use crate::oidc::SignIn;

const FILE: &str = "contexts.toml";

/// All contexts, as they are in the file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// The one in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    #[serde(default, rename = "context")]
    pub all: BTreeMap<String, Saved>,
}

/// A server, and how to get in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    pub server: String,
    /// The authority's certificate itself (PEM): the file that it came from may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Instead of a token of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<SignIn>,
}

impl Saved {
    /// Whether a command may be run with it.
    #[must_use]
    pub fn lets_in(&self) -> bool {
        self.token.is_some() || self.oidc.is_some()
    }
}

impl Contexts {
    /// Of the directory in which the configuration is; none where there is no file. One that others can read is refused.
    pub fn read(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(FILE);
        let unreadable = |error: &std::io::Error| {
            Failure::usage(format!("could not read {}", path.display())).because(error)
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(&error)),
        };
        let mode = fs::metadata(&path).map_err(|error| unreadable(&error))?.permissions().mode();
        if mode & 0o077 != 0 {
            let path = path.display();
            return Err(Failure::usage(format!(
                "the contexts hold tokens and can be read by others: {path}"
            ))
            .with_hint(format!("chmod 600 {path}")));
        }
        config::parse(&path.display().to_string(), &text).map_err(|error| Failure::usage(error.to_string()))
    }

    /// All of it or nothing, whatever happens meanwhile.
    pub fn write(&self, directory: &Path) -> Result<(), Failure> {
        let path = directory.join(FILE);
        let text = toml::to_string(self)
            .map_err(|error| Failure::failed("could not write the contexts").because(&error))?;
        let fresh = directory.join(format!("{FILE}.new"));
        let write = || -> std::io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            match fs::remove_file(&fresh) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write()
            .map_err(|error| Failure::failed(format!("could not write {}", path.display())).because(&error))
    }

    /// The one that is named, or else the one in use; with its name.
    pub fn chosen(&self, named: Option<&str>) -> Result<Option<(&str, &Saved)>, Failure> {
        match named.or(self.current.as_deref()) {
            None => Ok(None),
            Some(name) => match self.all.get_key_value(name) {
                Some((name, saved)) => Ok(Some((name, saved))),
                None => Err(self.unknown(name)),
            },
        }
    }

    #[must_use]
    pub fn unknown(&self, name: &str) -> Failure {
        let names: Vec<_> = self.all.keys().map(String::as_str).collect();
        let there = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
        Failure::usage(format!("there is no context {name}; there is {there}"))
            .with_hint(format!("stopover context add {name} --server https://HOST:PORT"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::line::text;

    fn saved(server: &str) -> Saved {
        Saved {
            server: server.to_owned(),
            ca: Some("pem\n".to_owned()),
            token: Some("sto_x".to_owned()),
            oidc: None,
        }
    }

    #[test]
    fn they_are_kept_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("stopover");
        assert_eq!(Contexts::read(&home).unwrap(), Contexts::default());
        let all = BTreeMap::from([("prod".to_owned(), saved("https://a"))]);
        let contexts = Contexts { current: Some("prod".to_owned()), all };
        contexts.write(&home).unwrap();
        contexts.write(&home).unwrap();
        assert_eq!(Contexts::read(&home).unwrap(), contexts);
        let file = home.join(FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = text(&Contexts::read(&home).unwrap_err().lines());
        assert!(
            refused.contains("can be read by others") && refused.contains("hint: chmod 600"),
            "{refused}"
        );
    }

    #[test]
    fn one_is_chosen_by_name_or_is_in_use() {
        let all =
            BTreeMap::from([("a".to_owned(), saved("https://a")), ("b".to_owned(), saved("https://b"))]);
        let contexts = Contexts { current: Some("a".to_owned()), all };
        assert_eq!(contexts.chosen(None).unwrap().unwrap().0, "a");
        assert_eq!(contexts.chosen(Some("b")).unwrap().unwrap().1.server, "https://b");
        let unknown = text(&contexts.chosen(Some("c")).unwrap_err().lines());
        assert!(unknown.contains("there is no context c; there is a, b"), "{unknown}");
    }
}
