//! What the linter says.

use serde::Serialize;

use crate::rule::Rule;
use crate::script::Role;
use crate::severity::Severity;

/// Everything found in the scripts that were looked at together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of the scripts, and in each by its place.
    pub findings: Vec<Finding>,
    /// How many a comment in the SQL took away.
    pub ignored: usize,
    /// The statements that only PostgreSQL can judge.
    pub unread: Vec<Unread>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The migration and its script.
    pub migration: String,
    pub role: Role,
    /// As it was named to the linter.
    pub file: String,
    pub start: Place,
    /// Behind the last character.
    pub end: Place,
    /// The line of `start`.
    pub line_text: String,
    pub rule: Rule,
    /// Never [`Severity::Allow`].
    pub severity: Severity,
    pub message: String,
    pub help: Option<String>,
    /// What else is known, that may make it matter less.
    pub note: Option<String>,
    pub rewrite: Option<Rewrite>,
}

/// Counted from 1; the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// SQL to copy instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rewrite {
    pub title: String,
    pub sql: String,
}

/// A statement that could not be looked at in full, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    pub file: String,
    pub line: u32,
    pub why: String,
}

impl Report {
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}
