//! `[http]`: which addresses monitors may ask, and with which headers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use stopover_model::config::ConfigError;

use super::at;
use crate::web::{Allowed, HeaderSet, InvalidAddress, WebConfig};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWeb {
    #[serde(default)]
    allow: Vec<toml::Spanned<String>>,
    timeout: Option<toml::Spanned<String>>,
    ca: Option<toml::Spanned<PathBuf>>,
    #[serde(default)]
    headers: BTreeMap<toml::Spanned<String>, BTreeMap<String, String>>,
}

impl RawWeb {
    /// Paths begin at `here`.
    pub(super) fn checked(self, file: &str, text: &str, here: &Path) -> Result<WebConfig, ConfigError> {
        let address = |written: &toml::Spanned<String>| {
            let parsed = written.get_ref().parse();
            parsed.map_err(|e: InvalidAddress| at(file, text, written, e.to_string()))
        };
        let allow: Vec<Allowed> = self.allow.iter().map(address).collect::<Result<_, _>>()?;
        let mut headers = Vec::new();
        for (written, values) in &self.headers {
            let set = HeaderSet::parse(values, here).map_err(|e| at(file, text, written, e.to_string()))?;
            headers.push((address(written)?, set));
        }
        let timeout = self.timeout.as_ref().map(|written| {
            let timeout = stopover_model::duration::parse(written.get_ref());
            let timeout = timeout.map_err(|why| at(file, text, written, why))?;
            if timeout.is_zero() {
                return Err(at(file, text, written, "no answer comes in no time; write 10s, say".to_owned()));
            }
            Ok(timeout)
        });
        let authorities = self.ca.as_ref().map(|written| {
            let path = here.join(written.get_ref());
            let failed = |e: std::io::Error| at(file, text, written, format!("{}: {e}", path.display()));
            std::fs::read(&path).map_err(failed)
        });
        Ok(WebConfig {
            allow,
            headers,
            timeout: timeout.transpose()?.unwrap_or(WebConfig::DEFAULT_TIMEOUT),
            authorities: authorities.transpose()?.unwrap_or_default(),
        })
    }
}
