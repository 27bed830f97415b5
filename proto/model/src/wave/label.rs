//! Labels of databases, and what selects by them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::as_text;

/// A label's key and value have at most so many characters each.
const LONGEST: usize = 63;

/// What an agent.toml says of a database: `{ tier = "canary", region = "eu" }`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Labels(BTreeMap<String, String>);

/// Labels that a database has to have, all of them: `tier=canary`, `tier=canary,region=eu`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector(BTreeMap<String, String>);

impl Labels {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl Selector {
    #[must_use]
    pub fn fits(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(key, value)| labels.0.get(key) == Some(value))
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = String;

    fn try_from(labels: BTreeMap<String, String>) -> Result<Self, String> {
        for (key, value) in &labels {
            check(key, "label")?;
            check(value, "value of a label")?;
        }
        Ok(Self(labels))
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut labels = BTreeMap::new();
        for part in text.split(',') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("`{part}` selects nothing; a label is selected with NAME=VALUE"));
            };
            let (key, value) = (key.trim(), value.trim());
            check(key, "label")?;
            check(value, "value of a label")?;
            if labels.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(format!("`{text}` asks for the label {key} twice"));
            }
        }
        Ok(Self(labels))
    }
}

as_text!(Selector, String);

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        f.pad(&all.join(","))
    }
}

fn check(word: &str, what: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if word.is_empty() || word.len() > LONGEST || !word.chars().all(fits) {
        return Err(format!(
            "`{}` is not the {what}; it is 1 to {LONGEST} letters, digits, '-', '_', '.' and '/'",
            word.escape_debug()
        ));
    }
    Ok(())
}
