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

/// "8.0 GB"
pub(crate) fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit behind the point")]
    shown_size(bytes as f64)
}

/// The same of what was calculated.
pub(crate) fn shown_size(bytes: f64) -> String {
    let (value, unit) = match bytes {
        b if b < 1e3 => return format!("{b:.0} B"),
        b if b < 1e6 => (b / 1e3, "kB"),
        b if b < 1e9 => (b / 1e6, "MB"),
        b if b < 1e12 => (b / 1e9, "GB"),
        b => (b / 1e12, "TB"),
    };
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}
