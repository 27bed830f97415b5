//! A bucket, from its URL and options. Whether it is there and may be written to shows when it is used.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::{ClientConfigKey, ObjectStore};
use serde::Deserialize;

use super::bucket::Bucket;

/// A part of a few MB goes in this time over any line that a backup makes sense over. `timeout` in the options changes it.
const REQUEST: Duration = Duration::from_mins(5);

/// A value as agent.toml may have it.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum OptionValue {
    Text(String),
    Flag(bool),
    Number(i64),
}

/// `[backup.options]`. Shown without its values, which may be secrets.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Options(BTreeMap<String, OptionValue>);

#[derive(Debug, thiserror::Error)]
pub enum InvalidDestination {
    #[error(
        "`{0}` is no destination; write a directory, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
    )]
    Url(String),
    #[error("the prefix in `{url}` can't be used: {why}")]
    Prefix { url: String, why: String },
    #[error("`{key}` is not an option of {store}; see {documentation}")]
    Option { key: String, store: &'static str, documentation: &'static str },
    #[error("`{key}` and `{key}_file` both stand there; keep one of them")]
    Twice { key: String },
    #[error("could not read {}, which `{key}` names: {why}", path.display())]
    Secret { key: String, path: PathBuf, why: String },
    #[error("{} holds a secret and can be read by others; run `chmod 600 {}`", path.display(), path.display())]
    Readable { path: PathBuf },
    #[error(
        "the endpoint `{0}` is reached without encryption, so that others could read backups on their way; use https, or \
         write `allow_http = true` under [backup.options] where that is meant"
    )]
    Http(String),
    #[error("the destination can't be used: {0}")]
    Store(String),
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl std::fmt::Display for OptionValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl Options {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a secret stands here itself. In doubt it does: the price of a false alarm is a chmod.
    #[must_use]
    pub fn holds_secret(&self) -> bool {
        let secret = |key: &str| {
            let named = ["secret", "token", "sas", "key"].iter().any(|word| key.contains(word));
            named && !key.ends_with("_id") && !key.ends_with("_file") && !key.ends_with("_endpoint")
        };
        self.0.keys().any(|key| secret(key))
    }

    /// The store's own keys: what stands in files is read, by paths that begin at `here`.
    fn resolved(
        &self,
        here: &Path,
        knows: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, String)>, InvalidDestination> {
        let mut resolved = Vec::new();
        for (key, value) in &self.0 {
            // Some of the store's own keys name files as well; those it reads itself.
            let Some(secret) = key.strip_suffix("_file").filter(|_| !knows(key)) else {
                resolved.push((key.clone(), value.to_string()));
                continue;
            };
            if self.0.contains_key(secret) {
                return Err(InvalidDestination::Twice { key: secret.to_owned() });
            }
            resolved.push((secret.to_owned(), read_secret(key, &here.join(value.to_string()))?));
        }
        Ok(resolved)
    }
}

fn read_secret(key: &str, path: &Path) -> Result<String, InvalidDestination> {
    let failed = |error: std::io::Error| InvalidDestination::Secret {
        key: key.to_owned(),
        path: path.to_owned(),
        why: error.to_string(),
    };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(InvalidDestination::Readable { path: path.to_owned() });
    }
    Ok(std::fs::read_to_string(path).map_err(failed)?.trim_end_matches(['\r', '\n']).to_owned())
}

impl Bucket {
    /// Whether a destination is a URL rather than a directory.
    #[must_use]
    pub fn is_url(text: &str) -> bool {
        text.contains("://")
    }

    /// Opens `s3://`, `gs://` or `az://`. Credentials come from the options, else from where the cloud's own programs find
    /// them: variables, the machine's or the pod's identity.
    pub fn open(url: &str, options: &Options, here: &Path) -> Result<Self, InvalidDestination> {
        // The second time it is there already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let no_url = || InvalidDestination::Url(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(no_url)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || bucket.contains(['@', '?', '#']) || prefix.contains(['?', '#']) {
            return Err(no_url());
        }
        let prefix = object_store::path::Path::parse(prefix.trim_end_matches('/'))
            .map_err(|error| InvalidDestination::Prefix { url: url.to_owned(), why: error.to_string() })?;
        let url = url.trim_end_matches('/').to_owned();
        match scheme {
            "s3" => Ok(whole(url, prefix, s3(bucket, options, here)?)),
            "gs" => Ok(whole(url, prefix, gs(bucket, options, here)?)),
            "az" => Ok(whole(url, prefix, az(bucket, options, here)?)),
            _ => Err(no_url()),
        }
    }
}

fn whole<S: ObjectStore + MultipartStore>(url: String, prefix: object_store::path::Path, store: S) -> Bucket {
    let store = Arc::new(store);
    Bucket::new(url, prefix, Arc::clone(&store) as Arc<dyn ObjectStore>, store)
}

fn s3(
    bucket: &str,
    options: &Options,
    here: &Path,
) -> Result<impl ObjectStore + MultipartStore, InvalidDestination> {
    const HELP: &str = "https://docs.rs/object_store/latest/object_store/aws/enum.AmazonS3ConfigKey.html";
    let options = read(options, here, "S3", HELP, &AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp))?;
    let set = AmazonS3Builder::from_env().with_bucket_name(bucket);
    let set = set.with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), seconds(REQUEST));
    options.into_iter().fold(set, |set, (key, value)| set.with_config(key, value)).build().map_err(unusable)
}

fn gs(
    bucket: &str,
    options: &Options,
    here: &Path,
) -> Result<impl ObjectStore + MultipartStore, InvalidDestination> {
    const HELP: &str = "https://docs.rs/object_store/latest/object_store/gcp/enum.GoogleConfigKey.html";
    let options = read(
        options,
        here,
        "Google Cloud Storage",
        HELP,
        &GoogleConfigKey::Client(ClientConfigKey::AllowHttp),
    )?;
    let set = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
    let set = set.with_config(GoogleConfigKey::Client(ClientConfigKey::Timeout), seconds(REQUEST));
    options.into_iter().fold(set, |set, (key, value)| set.with_config(key, value)).build().map_err(unusable)
}

fn az(
    bucket: &str,
    options: &Options,
    here: &Path,
) -> Result<impl ObjectStore + MultipartStore, InvalidDestination> {
    const HELP: &str = "https://docs.rs/object_store/latest/object_store/azure/enum.AzureConfigKey.html";
    let options =
        read(options, here, "Azure's storage", HELP, &AzureConfigKey::Client(ClientConfigKey::AllowHttp))?;
    let set = MicrosoftAzureBuilder::from_env().with_container_name(bucket);
    let set = set.with_config(AzureConfigKey::Client(ClientConfigKey::Timeout), seconds(REQUEST));
    options.into_iter().fold(set, |set, (key, value)| set.with_config(key, value)).build().map_err(unusable)
}

/// The options under the store's own keys. An endpoint without TLS has to be meant.
fn read<K: FromStr + PartialEq>(
    options: &Options,
    here: &Path,
    store: &'static str,
    documentation: &'static str,
    allow_http: &K,
) -> Result<Vec<(K, String)>, InvalidDestination> {
    let resolved = options.resolved(here, |key| key.parse::<K>().is_ok())?;
    let mut read = Vec::new();
    for (key, value) in &resolved {
        let known = key.parse::<K>();
        let known =
            known.map_err(|_| InvalidDestination::Option { key: key.clone(), store, documentation })?;
        read.push((known, value.clone()));
    }
    let allowed = read.iter().any(|(key, value)| key == allow_http && value == "true");
    match resolved.iter().find(|(_, value)| value.starts_with("http://")) {
        Some((_, endpoint)) if !allowed => Err(InvalidDestination::Http(endpoint.clone())),
        _ => Ok(read),
    }
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn unusable(error: object_store::Error) -> InvalidDestination {
    InvalidDestination::Store(super::problem::said(&error))
}
