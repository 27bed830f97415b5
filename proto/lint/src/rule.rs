//! A rule, by its name.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::catalogue::{self, Concern, Entry, Origin};

/// One of squawk's rules, under the name that squawk gives it, or one of ours, which begins with `stopover/`.
#[derive(Clone, Copy)]
pub struct Rule(&'static Entry);

/// A name that is no rule's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no rule is called `{}`{}", name.escape_debug(), hint(*nearest))]
pub struct UnknownRule {
    pub name: String,
    /// The rule whose name is so much alike that it may have been meant.
    pub nearest: Option<Rule>,
}

impl Rule {
    /// Every rule, ours first.
    pub fn all() -> impl Iterator<Item = Self> {
        catalogue::entries().map(Self)
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        &self.0.name
    }

    /// What it finds, in half a line.
    #[must_use]
    pub fn finds(self) -> &'static str {
        self.0.finds
    }

    /// Why it reports nothing unless it is asked for by name.
    #[must_use]
    pub fn off_because(self) -> Option<&'static str> {
        self.0.off
    }

    /// Where it is documented; ours are documented by [`Rule::finds`] and by what they say.
    #[must_use]
    pub fn url(self) -> Option<String> {
        matches!(self.0.origin, Origin::Squawk(_))
            .then(|| format!("https://squawkhq.com/docs/{}", self.0.name))
    }

    pub(crate) fn concern(self) -> Concern {
        self.0.concern
    }

    pub(crate) fn squawk(self) -> Option<squawk_linter::Rule> {
        match self.0.origin {
            Origin::Squawk(rule) => Some(rule),
            Origin::Ours => None,
        }
    }

    /// The rule of an entry that is known to be there.
    pub(crate) fn of_squawk(rule: squawk_linter::Rule) -> Option<Self> {
        Self::all().find(|r| r.squawk() == Some(rule))
    }

    pub(crate) fn ours(entry: &'static Entry) -> Self {
        Self(entry)
    }
}

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(name: &str) -> Result<Self, UnknownRule> {
        // squawk knows this rule by two names.
        let wanted = if name == "prefer-timestamptz" { "prefer-timestamp-tz" } else { name };
        Self::all()
            .find(|rule| rule.name() == wanted)
            .ok_or_else(|| UnknownRule { name: name.to_owned(), nearest: nearest(name) })
    }
}

/// Also found without our prefix, and with other words' order forgiven as far as letters are alike.
fn nearest(name: &str) -> Option<Rule> {
    const ALIKE: f64 = 0.75;
    let name = name.to_ascii_lowercase().replace(['_', ' '], "-");
    let likeness = |rule: &Rule| {
        let bare = rule.name().strip_prefix("stopover/").unwrap_or(rule.name());
        strsim::normalized_damerau_levenshtein(&name, rule.name())
            .max(strsim::normalized_damerau_levenshtein(&name, bare))
    };
    let best = Rule::all().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) >= ALIKE).then_some(best)
}

fn hint(nearest: Option<Rule>) -> String {
    nearest.map(|rule| format!("; did you mean `{rule}`?")).unwrap_or_default()
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Rule {}

impl PartialOrd for Rule {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rule {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.name().cmp(other.name())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_found_by_its_name_and_by_what_is_nearly_it() {
        assert_eq!("ban-drop-column".parse::<Rule>().unwrap().name(), "ban-drop-column");
        assert_eq!("prefer-timestamptz".parse(), "prefer-timestamp-tz".parse::<Rule>());
        let error = |name: &str| name.parse::<Rule>().unwrap_err().to_string();
        assert_eq!(
            error("ban-drop-colum"),
            "no rule is called `ban-drop-colum`; did you mean `ban-drop-column`?"
        );
        assert_eq!(
            error("update_without_where"),
            "no rule is called `update_without_where`; did you mean `stopover/update-without-where`?"
        );
        assert_eq!(error("x\u{1b}"), "no rule is called `x\\u{1b}`");
    }

    #[test]
    fn only_squawks_rules_have_a_page() {
        let url = |name: &str| name.parse::<Rule>().unwrap().url();
        assert_eq!(url("ban-drop-column").unwrap(), "https://squawkhq.com/docs/ban-drop-column");
        assert_eq!(url("stopover/update-without-where"), None);
    }
}
