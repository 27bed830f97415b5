//! Names of tables, indexes and other objects, decoded as PostgreSQL decodes them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name, with its schema where one was written. Unquoted parts are folded to lower case, quoted ones are kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    pub name: String,
}

impl Name {
    /// A name without a schema, taken as it is.
    #[must_use]
    pub fn unqualified(name: impl Into<String>) -> Self {
        Self { schema: None, name: name.into() }
    }

    /// For SQL that is put together and for `to_regclass`: every part in quotes.
    #[must_use]
    pub fn quoted(&self) -> String {
        let schema = self.schema.as_ref().map(|schema| format!("{}.", quoted(schema)));
        format!("{}{}", schema.unwrap_or_default(), quoted(&self.name))
    }
}

/// An identifier in quotes, whatever it holds.
#[must_use]
pub fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// As it may stand in SQL: a part that folding would change is quoted. Key words are not looked up, so a table
/// named "select" is shown bare; whoever builds SQL quotes every part.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write_part(f, schema)?;
            f.write_str(".")?;
        }
        write_part(f, &self.name)
    }
}

fn write_part(f: &mut fmt::Formatter<'_>, part: &str) -> fmt::Result {
    let plain_start = part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if plain_start && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        return f.write_str(part);
    }
    f.write_str(&quoted(part))
}
