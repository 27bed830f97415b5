//! What is wrong with a message, and where in it.

use std::fmt;

use stopover_model::id::InvalidId;

/// A message that came over the wire holds what no such message may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidWire {
    /// The way to the field: `event.step_finished.outcome.failed.error`; empty for the value itself.
    pub field: String,
    pub why: String,
}

/// An error that can say in which field of the enclosing message it arose.
pub trait AtField {
    /// Puts `field` in front of the way to the wrong value.
    #[must_use]
    fn at_field(self, field: &str) -> Self;
}

/// [`AtField`] for results, so that a conversion of a part reads `part.try_into().in_field("part")?`.
pub trait InField {
    #[must_use]
    fn in_field(self, field: &str) -> Self;
}

impl InvalidWire {
    pub fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), why: why.into() }
    }

    /// A required message, or a choice of which nothing is set.
    #[must_use]
    pub fn missing(field: &str) -> Self {
        Self::new(field, "is missing; both ends may need the same version of Stopover")
    }
}

impl AtField for InvalidWire {
    fn at_field(mut self, field: &str) -> Self {
        if self.field.is_empty() {
            field.clone_into(&mut self.field);
        } else {
            self.field.insert(0, '.');
            self.field.insert_str(0, field);
        }
        self
    }
}

impl<T, E: AtField> InField for Result<T, E> {
    fn in_field(self, field: &str) -> Self {
        self.map_err(|error| error.at_field(field))
    }
}

impl fmt::Display for InvalidWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.why)
        } else {
            write!(f, "`{}`: {}", self.field, self.why)
        }
    }
}

impl std::error::Error for InvalidWire {}

impl From<InvalidId> for InvalidWire {
    fn from(error: InvalidId) -> Self {
        Self::new("", error.to_string())
    }
}
