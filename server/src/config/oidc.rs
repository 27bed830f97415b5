//! `[oidc]`: the identity provider whose word counts for who somebody is.

use std::path::{Path, PathBuf};

use reqwest::Certificate;
use serde::Deserialize;
use stopover_model::config::ConfigError;
use toml::Spanned;
use url::{Host, Url};

/// Which tokens count, and what is read in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// As it stands in its tokens, to the letter.
    pub issuer: String,
    /// Of the command line, as the provider knows it: a public client that may use the device flow.
    pub client_id: String,
    /// Whom tokens have to be for.
    pub audience: String,
    pub groups_claim: String,
    /// Holds what somebody is called here. People must not be able to change it by themselves.
    pub name_claim: String,
    /// None: what the command line asks for by itself.
    pub scopes: Vec<String>,
    /// Certificates of authorities in PEM, trusted beside the system's own.
    pub ca: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOidc {
    issuer: Spanned<String>,
    client_id: Spanned<String>,
    audience: Option<Spanned<String>>,
    groups_claim: Option<Spanned<String>>,
    name_claim: Option<Spanned<String>>,
    scopes: Option<Spanned<Vec<Spanned<String>>>>,
    ca: Option<Spanned<PathBuf>>,
}

impl RawOidc {
    pub(super) fn read(
        self,
        directory: &Path,
        (file, text): (&str, &str),
    ) -> Result<OidcSettings, ConfigError> {
        let at = |span, message: &str| ConfigError::at(file, text, Some(span), message);
        check_issuer(self.issuer.get_ref()).map_err(|why| at(self.issuer.span(), &why))?;
        let named = |given: Option<Spanned<String>>, default: &str, way_out: &str| match given {
            None => Ok(default.to_owned()),
            Some(given) if given.get_ref().trim().is_empty() => {
                Err(at(given.span(), &format!("this is empty; {way_out}")))
            }
            Some(given) => Ok(given.into_inner()),
        };
        let client_id = named(
            Some(self.client_id),
            "",
            "write the name under which the provider knows the command line",
        )?;
        let ca = self.ca.map(|path| {
            let place = directory.join(path.get_ref());
            let pem = std::fs::read_to_string(&place)
                .map_err(|error| at(path.span(), &format!("could not read {}: {error}", place.display())))?;
            match Certificate::from_pem_bundle(pem.as_bytes()) {
                Ok(all) if !all.is_empty() => Ok(pem),
                _ => Err(at(
                    path.span(),
                    "this file holds no certificate; it wants -----BEGIN CERTIFICATE-----",
                )),
            }
        });
        Ok(OidcSettings {
            audience: named(self.audience, &client_id, "leave it out where tokens are for the client_id")?,
            groups_claim: named(
                self.groups_claim,
                "groups",
                "name the claim that lists the groups of somebody, or leave it out for `groups`",
            )?,
            name_claim: named(
                self.name_claim,
                "email",
                "name the claim that says what somebody is called, or leave it out for `email`",
            )?,
            scopes: self.scopes.map(|scopes| read_scopes(scopes, &at)).transpose()?.unwrap_or_default(),
            ca: ca.transpose()?,
            issuer: self.issuer.into_inner(),
            client_id,
        })
    }
}

fn read_scopes(
    scopes: Spanned<Vec<Spanned<String>>>,
    at: &impl Fn(std::ops::Range<usize>, &str) -> ConfigError,
) -> Result<Vec<String>, ConfigError> {
    let span = scopes.span();
    let mut read = Vec::new();
    for scope in scopes.into_inner() {
        let one = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
        if scope.get_ref().is_empty() || !scope.get_ref().chars().all(one) {
            return Err(at(
                scope.span(),
                "this is no scope; write each by itself: scopes = [\"openid\", \"email\"]",
            ));
        }
        read.push(scope.into_inner());
    }
    if !read.iter().any(|scope| scope == "openid") {
        return Err(at(
            span,
            "without the scope \"openid\" the provider says of nobody who they are; add it",
        ));
    }
    Ok(read)
}

/// In clear only where nobody is in between.
fn check_issuer(text: &str) -> Result<(), String> {
    let url: Url = text.parse().map_err(|error| {
        format!("`{text}` is no URL ({error}); write the issuer as it stands in its own tokens")
    })?;
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(format!("`{text}` names no host; write it as \"https://id.example.com\"")),
    };
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        _ => {
            return Err(format!(
                "whoever is in between could sign in as anybody through `{text}`; write https://"
            ));
        }
    }
    if url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err(format!(
            "`{text}` has more than a host and a path; write the issuer as its tokens have it"
        ));
    }
    Ok(())
}
