//! Values that stand as text wherever they are kept: in settings, in JSON, in the log.

/// For `#[serde(try_from = "String", into = "String")]`, by what the type's `FromStr` and `Display` say.
macro_rules! as_text {
    ($kind:ty, $error:ty) => {
        impl TryFrom<String> for $kind {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }
    };
}

pub(crate) use as_text;
