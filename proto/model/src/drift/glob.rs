//! Names of objects that are none of the pipeline's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::DriftedObject;
use crate::text::as_text;

/// `partman.*`, `public.events_p*`: a name with its schema, where `*` stands for anything, `?` for one character and
/// `[a-z]` for one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectGlob(::glob::Pattern);

impl ObjectGlob {
    /// Whether it means the object, or the table that the object belongs to. What means all in a schema means the schema.
    #[must_use]
    pub fn fits(&self, object: &DriftedObject) -> bool {
        self.0.matches(&object.name)
            || object.table.as_ref().is_some_and(|table| self.0.matches(table))
            || object.kind == "schema" && self.0.matches(&format!("{}.", object.name))
    }
}

impl FromStr for ObjectGlob {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty; name objects with their schema, as in \"public.events_p*\"".to_owned());
        }
        ::glob::Pattern::new(text).map(Self).map_err(|error| format!("`{text}` is no pattern: {}", error.msg))
    }
}

impl fmt::Display for ObjectGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

as_text!(ObjectGlob, String);
