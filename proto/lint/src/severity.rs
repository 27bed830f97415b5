//! What is done about a finding.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rule::{Rule, UnknownRule};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is not even shown.
    Allow,
    /// It is shown.
    Warn,
    /// It is shown, and nothing goes on.
    Refuse,
}

/// One rule, or all that are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selector {
    All,
    One(Rule),
}

/// Which severity each rule has. A rule named by itself comes before `all`, whatever the order; one that is off by default
/// is on once it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Severities {
    all: Severity,
    named: BTreeMap<Rule, Severity>,
}

impl Default for Severities {
    fn default() -> Self {
        Self { all: Severity::Warn, named: BTreeMap::new() }
    }
}

impl Severities {
    /// Sets what is selected, and says what it was set to before, if it was.
    pub fn set(&mut self, selector: Selector, severity: Severity) -> Option<Severity> {
        match selector {
            Selector::All => {
                self.all = severity;
                None
            }
            Selector::One(rule) => {
                for part in rule.parts() {
                    self.named.entry(part).or_insert(severity);
                }
                self.named.insert(rule, severity)
            }
        }
    }

    #[must_use]
    pub fn of(&self, rule: Rule) -> Severity {
        match self.named.get(&rule) {
            Some(severity) => *severity,
            None if rule.off_because().is_some() => Severity::Allow,
            None => self.all,
        }
    }
}

impl Rule {
    /// The rules that an older name of squawk's stands for.
    fn parts(self) -> impl Iterator<Item = Self> {
        let parts = self.squawk().map(|rule| rule.expands_to().to_vec()).unwrap_or_default();
        parts.into_iter().filter_map(Self::of_squawk)
    }
}

impl FromStr for Selector {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(Self::One) }
    }
}

impl Severity {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Refuse => "refuse",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str) -> Rule {
        name.parse().unwrap()
    }

    #[test]
    fn a_named_rule_comes_before_all_in_any_order() {
        let mut one = Severities::default();
        assert_eq!(one.of(rule("ban-drop-column")), Severity::Warn);
        assert_eq!(one.set(Selector::One(rule("ban-drop-column")), Severity::Allow), None);
        one.set(Selector::All, Severity::Refuse);
        assert_eq!(one.of(rule("ban-drop-column")), Severity::Allow);
        assert_eq!(one.of(rule("ban-drop-table")), Severity::Refuse);
    }

    #[test]
    fn what_is_off_is_on_once_it_is_named() {
        let mut one = Severities::default();
        one.set(Selector::All, Severity::Refuse);
        assert_eq!(one.of(rule("require-lock-timeout")), Severity::Allow);
        one.set(Selector::One(rule("require-timeout-settings")), Severity::Warn);
        assert_eq!(one.of(rule("require-lock-timeout")), Severity::Warn, "the older name stands for it");
        assert_eq!(one.of(rule("ban-add-column")), Severity::Allow);
    }
}
