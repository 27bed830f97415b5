//! A deployment's outcome as a column holds it.

use serde::de::value::{Error as TextError, StrDeserializer};
use serde::{Deserialize as _, de::IntoDeserializer as _};
use stopover_model::event::DeploymentOutcome;

use super::error::Cause;

pub(super) fn outcome_of(text: &str) -> Result<DeploymentOutcome, Cause> {
    let text: StrDeserializer<'_, TextError> = text.into_deserializer();
    DeploymentOutcome::deserialize(text).map_err(|error| Cause::row("outcome", error))
}

/// As [`outcome_of`] reads it.
pub(super) fn text_of(outcome: DeploymentOutcome) -> Result<String, Cause> {
    match serde_json::to_value(outcome) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        Ok(_) => Err(Cause::row("outcome", "it is no text")),
        Err(error) => Err(Cause::row("outcome", error)),
    }
}
