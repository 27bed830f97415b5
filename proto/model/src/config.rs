//! Reading TOML so that an error names the file, the line and the way out.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;

/// A TOML text that can't be used. Shows the place as a compiler would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file as it was named to us.
    pub file: String,
    /// From 1; 0 when the error is about the whole file.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
    source_line: String,
}

impl ConfigError {
    /// An error at a byte range of `text`.
    #[must_use]
    pub fn at(file: &str, text: &str, span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let Some(span) = span else {
            return Self::whole(file, message);
        };
        let start = floor_char_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let source_line = text[line_start..].lines().next().unwrap_or_default();
        Self {
            file: file.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message: message.into(),
            source_line: source_line.to_owned(),
        }
    }

    /// An error about the whole file.
    #[must_use]
    pub fn whole(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message: message.into(),
            source_line: String::new(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{}: {}", self.file, self.message);
        }
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        let number = self.line.to_string();
        writeln!(f, "{number} | {}", self.source_line.replace('\t', " "))?;
        write!(f, "{:width$} | {:>column$}", "", "^", width = number.len(), column = self.column)
    }
}

impl std::error::Error for ConfigError {}

/// Reads a TOML text into `T`; `file` is only for the error.
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|e| ConfigError::at(file, text, e.span(), with_suggestion(e.message())))
}

/// Adds the nearest known name to serde's "unknown field `x`, expected one of `a`, `b`".
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (true, Some(given)) = (message.starts_with("unknown "), quoted.next()) else {
        return message.to_owned();
    };
    match quoted.map(|known| (strsim::damerau_levenshtein(given, known), known)).min() {
        Some((d, known)) if d <= 2.max(given.len() / 3) => {
            format!("{message}\nhint: did you mean `{known}`?")
        }
        _ => message.to_owned(),
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Sample {
        environment: String,
        soak: Option<String>,
    }

    #[test]
    fn a_misspelt_key_is_shown_in_its_place_with_the_nearest_name() {
        let error = parse::<Sample>("pipeline.toml", "environment = \"é\"\nsaok = \"1h\"\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "pipeline.toml:2:1: unknown field `saok`, expected `environment` or `soak`\n\
             hint: did you mean `soak`?\n\
             2 | saok = \"1h\"\n  | ^"
        );
    }

    #[test]
    fn a_missing_key_is_about_the_file() {
        let error = parse::<Sample>("p.toml", "").unwrap_err();
        assert!(error.to_string().contains("missing field `environment`"), "{error}");
    }
}
