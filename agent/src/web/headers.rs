//! Headers of agent.toml: tokens, mostly. Those in files are read for each question, so that they can be changed meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// The headers of one beginning of addresses. Shown without their values.
#[derive(Clone)]
pub struct HeaderSet(Vec<(HeaderName, Value)>);

#[derive(Clone)]
enum Value {
    Given(HeaderValue),
    File(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum InvalidHeader {
    #[error("`{0}` is not the name of a header")]
    Name(String),
    #[error("the value of the header {0} can't be sent: it holds a line break, say")]
    Value(HeaderName),
    #[error("the file of the header {name}, {}, can't be read: {why}", path.display())]
    Read { name: HeaderName, path: PathBuf, why: String },
    #[error("{} holds a secret and can be read by others; run `chmod 600 {}`", path.display(), path.display())]
    Readable { path: PathBuf },
}

impl HeaderSet {
    /// `{ Authorization = "Bearer …" }`, or `{ Authorization_file = "app.token" }` with a path that begins at `here`.
    pub fn parse(written: &BTreeMap<String, String>, here: &Path) -> Result<Self, InvalidHeader> {
        let read = |(key, value): (&String, &String)| {
            let (name, file) = match key.strip_suffix("_file") {
                Some(name) => (name, true),
                None => (key.as_str(), false),
            };
            let name: HeaderName =
                name.parse().map_err(|_| InvalidHeader::Name(key.escape_debug().to_string()))?;
            let value =
                if file { Value::File(here.join(value)) } else { Value::Given(header(&name, value)?) };
            Ok((name, value))
        };
        written.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// A value stands in agent.toml itself.
    #[must_use]
    pub fn holds_secret(&self) -> bool {
        self.0.iter().any(|(_, value)| matches!(value, Value::Given(_)))
    }

    pub(super) fn read(&self) -> Result<HeaderMap, InvalidHeader> {
        let read = |(name, value): &(HeaderName, Value)| {
            let value = match value {
                Value::Given(value) => value.clone(),
                Value::File(path) => header(name, &read_secret(name, path)?)?,
            };
            Ok((name.clone(), value))
        };
        self.0.iter().map(read).collect()
    }
}

impl fmt::Debug for HeaderSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

fn header(name: &HeaderName, value: &str) -> Result<HeaderValue, InvalidHeader> {
    let mut header = HeaderValue::from_str(value).map_err(|_| InvalidHeader::Value(name.clone()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// The first line.
fn read_secret(name: &HeaderName, path: &Path) -> Result<String, InvalidHeader> {
    let failed = |e: std::io::Error| InvalidHeader::Read {
        name: name.clone(),
        path: path.to_owned(),
        why: e.to_string(),
    };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(InvalidHeader::Readable { path: path.to_owned() });
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
