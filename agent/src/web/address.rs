//! Addresses that begin with another one, told by their parts and not by their text.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

/// All addresses under this one: `https://app.internal/api` holds `https://app.internal/api/health`, and neither
/// `https://app.internal/apis` nor `https://app.internal.example.com/api`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed(Url);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the beginning of addresses: write it as https://HOST/ or https://HOST:PORT/PATH/")]
pub struct InvalidAddress(String);

impl Allowed {
    #[must_use]
    pub fn holds(&self, url: &Url) -> bool {
        let (prefix, path) = (self.0.path().trim_end_matches('/'), url.path());
        let below = path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        // A user in an address may be there to make it look like another one.
        self.0.origin() == url.origin() && below && url.username().is_empty() && url.password().is_none()
    }
}

impl FromStr for Allowed {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.escape_debug().to_string());
        let url = Url::parse(text).map_err(|_| invalid())?;
        let plain = url.username().is_empty() && url.password().is_none();
        let whole =
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
        if plain && whole { Ok(Self(url)) } else { Err(invalid()) }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_held_by_its_origin_and_whole_parts_of_its_path() {
        let holds =
            |prefix: &str, url: &str| prefix.parse::<Allowed>().unwrap().holds(&Url::parse(url).unwrap());
        assert!(holds("https://app.internal/", "https://app.internal/health?deep=1"));
        assert!(holds("https://app.internal", "https://app.internal:443/health"));
        assert!(holds("https://app.internal/api/", "https://app.internal/api"));
        for outside in [
            "http://app.internal/api/health",
            "https://app.internal:8443/api/health",
            "https://app.internal.example.com/api/health",
            "https://app.internal@example.com/api/health",
            "https://user@app.internal/api/health",
            "https://app.internal/apis",
            "https://app.internal/api/../admin",
            "https://app.internal/api/%2e%2e/admin",
        ] {
            assert!(!holds("https://app.internal/api", outside), "{outside}");
        }
    }

    #[test]
    fn what_begins_no_address_is_refused() {
        for text in ["app.internal", "ftp://app.internal/", "https://u:p@app.internal/", "https://a/?q=1", ""]
        {
            assert!(text.parse::<Allowed>().is_err(), "{text}");
        }
    }
}
