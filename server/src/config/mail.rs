//! `[smtp]`: the server that takes our mail.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use stopover_model::config::ConfigError;
use stopover_model::id::SecretName;
use stopover_model::pipeline::check_address;
use toml::Spanned;

/// How mail leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    /// With the name of the secret that is the password.
    pub login: Option<(String, SecretName)>,
    /// Who writes.
    pub from: String,
    /// An authority that certifies the server beside the system's own (PEM).
    pub ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// Plain at first; TLS before anything is said, or nothing is.
    #[default]
    StartTls,
    /// From the first byte.
    Tls,
    /// Never; for a relay on the same machine.
    None,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSmtp {
    host: String,
    port: Option<u16>,
    #[serde(default)]
    tls: SmtpTls,
    username: Option<String>,
    password: Option<Spanned<SecretName>>,
    from: Spanned<String>,
    ca: Option<PathBuf>,
}

impl RawSmtp {
    pub(super) fn read(
        self,
        is_secret: impl Fn(&SecretName) -> bool,
        directory: &Path,
        (file, text): (&str, &str),
    ) -> Result<Smtp, ConfigError> {
        let at = |span, message: String| ConfigError::at(file, text, Some(span), message);
        check_address(self.from.get_ref()).map_err(|why| at(self.from.span(), why))?;
        let login = match (self.username, self.password) {
            (None, None) => None,
            (Some(username), Some(password)) => {
                if !is_secret(password.get_ref()) {
                    let name = password.get_ref();
                    let message = format!(
                        "there is no secret `{name}`; add `{name} = {{ file = \"...\" }}` to [secrets]"
                    );
                    return Err(at(password.span(), message));
                }
                Some((username, password.into_inner()))
            }
            (None, Some(password)) => {
                return Err(at(password.span(), "`password` needs a `username`".into()));
            }
            (Some(_), None) => {
                let message = "[smtp] has a `username`, and no `password`: the name of one of the [secrets]";
                return Err(ConfigError::whole(file, message));
            }
        };
        if login.is_some() && self.tls == SmtpTls::None {
            let message = "[smtp] would send its password in clear; leave out tls = \"none\", or the login";
            return Err(ConfigError::whole(file, message));
        }
        let port = match self.tls {
            SmtpTls::StartTls => 587,
            SmtpTls::Tls => 465,
            SmtpTls::None => 25,
        };
        Ok(Smtp {
            host: self.host,
            port: self.port.unwrap_or(port),
            tls: self.tls,
            login,
            from: self.from.into_inner(),
            ca: self.ca.map(|path| directory.join(path)),
        })
    }
}
