//! An enum's value as a column holds it: its name.

use serde::Serialize;
use serde::de::value::{Error as TextError, StrDeserializer};
use serde::de::{Deserialize, IntoDeserializer as _};

use super::error::Cause;

pub(super) fn value_of<'a, T: Deserialize<'a>>(column: &'static str, text: &'a str) -> Result<T, Cause> {
    let text: StrDeserializer<'a, TextError> = text.into_deserializer();
    T::deserialize(text).map_err(|error| Cause::row(column, error))
}

/// As [`value_of`] reads it.
pub(super) fn text_of(column: &'static str, value: impl Serialize) -> Result<String, Cause> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        Ok(_) => Err(Cause::row(column, "it is no text")),
        Err(error) => Err(Cause::row(column, error)),
    }
}
