//! A finding before anybody has asked whether it is wanted.

use std::ops::Range;

use crate::catalogue::Entry;
use crate::finding::Rewrite;
use crate::rule::Rule;

#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) rule: Rule,
    /// Of the script's text.
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) note: Option<String>,
    pub(crate) rewrite: Option<Rewrite>,
}

impl Raw {
    pub(crate) fn new(rule: Rule, range: Range<usize>, message: impl Into<String>) -> Self {
        Self { rule, range, message: message.into(), help: None, note: None, rewrite: None }
    }

    pub(crate) fn ours(rule: &'static Entry, range: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Rule::ours(rule), range, message)
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    pub(crate) fn rewrite(self, title: &str, sql: impl Into<String>) -> Self {
        Self { rewrite: Some(Rewrite { title: title.to_owned(), sql: sql.into() }), ..self }
    }
}
