//! Why a file can't be cut into statements. Every error names the line and the way out.

use std::fmt;

use thiserror::Error;

/// A file that psql would read otherwise than its author meant, or that no server could take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SplitError {
    #[error("line {line}: {command} is a command of psql's own, which no server understands; {hint}")]
    MetaCommand { line: u32, command: String, hint: &'static str },
    #[error(
        "line {line}: a NUL byte, which PostgreSQL can't store or read; remove it (is the file UTF-16 or binary?)"
    )]
    Nul { line: u32 },
    #[error("line {line}: {what} opened here is never closed; close it, or remove its opening")]
    Unclosed { line: u32, what: Unclosed },
    #[error(
        "line {line}: a statement begins behind COPY ... FROM STDIN and goes on after the data; \
         move it below the line with \\."
    )]
    AcrossCopyData { line: u32 },
    #[error(
        "line {line}: binary COPY data can't stand in an SQL file; write the data as text or CSV, or use INSERT"
    )]
    BinaryCopy { line: u32 },
}

impl SplitError {
    /// The line of the file, counted from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        match self {
            Self::MetaCommand { line, .. }
            | Self::Nul { line }
            | Self::Unclosed { line, .. }
            | Self::AcrossCopyData { line }
            | Self::BinaryCopy { line } => *line,
        }
    }
}

/// What was opened and reached the end of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unclosed {
    String,
    QuotedIdentifier,
    Comment,
    /// With its tag, such as `$body$`.
    DollarQuote(String),
    Parenthesis,
    /// `BEGIN ATOMIC` of a function or procedure without its `END`.
    AtomicBody,
}

impl fmt::Display for Unclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("the string '"),
            Self::QuotedIdentifier => f.write_str("the quoted identifier \""),
            Self::Comment => f.write_str("the comment /*"),
            Self::DollarQuote(tag) => write!(f, "the quote {tag}"),
            Self::Parenthesis => f.write_str("the parenthesis ("),
            Self::AtomicBody => f.write_str("the body BEGIN ATOMIC"),
        }
    }
}
