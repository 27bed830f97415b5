//! Names of tables, indexes and other objects, decoded as PostgreSQL decodes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cursor::Cursor;

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
    write!(f, "\"{}\"", part.replace('"', "\"\""))
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is not a name; write name, schema.name, or \"Quoted Name\" as in SQL")]
pub struct InvalidName(String);

/// Reads a name as SQL would, such as `users`, `app.users` or `"My Schema"."Users"`.
impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut cursor = Cursor::new(text);
        match cursor.name() {
            Some(name) if cursor.is_at_end() => Ok(name),
            _ => Err(InvalidName(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn folds_what_is_unquoted_and_keeps_the_rest() {
        assert_eq!(name("Users"), Name::unqualified("users"));
        assert_eq!(name(" \"We\"\"ird; t\" "), Name::unqualified("We\"ird; t"));
        assert_eq!(name("App . \"Users\""), Name { schema: Some("app".into()), name: "Users".into() });
        assert_eq!(name("db.app.users"), Name { schema: Some("app".into()), name: "users".into() });
        assert_eq!(name(r#"U&"d\0061t\+000061""#), Name::unqualified("data"));
        assert_eq!(name("ÉTÉ"), Name::unqualified("ÉtÉ"));
    }

    #[test]
    fn shows_itself_as_sql() {
        assert_eq!(name("\"App\".users_1").to_string(), "\"App\".users_1");
        assert_eq!(name("\"We\"\"ird\"").to_string(), "\"We\"\"ird\"");
    }

    #[test]
    fn refuses_what_is_no_name() {
        for text in ["", "a b", "users; drop table x", "'users'", "a.", "\"\"", "\"open", "1a"] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }
}
