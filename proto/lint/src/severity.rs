//! What is done about a finding.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stopover_model::pipeline::LintSettings;

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

    /// What a stage of a pipeline wants: its own settings over those for all stages. Its "all" goes over what those name,
    /// too.
    pub fn of_stage(pipeline: &LintSettings, stage: &LintSettings) -> Result<Self, UnknownRule> {
        let (mut severities, _) = Self::of_settings(pipeline)?;
        let (own, all) = Self::of_settings(stage)?;
        if let Some(all) = all {
            severities.all = all;
            let on = severities.named.iter_mut().filter(|(rule, severity)| {
                // One that is off by default, and that is named to be off, is off.
                rule.off_because().is_none() || **severity != Severity::Allow
            });
            on.for_each(|(_, severity)| *severity = all);
        }
        severities.named.extend(own.named);
        Ok(severities)
    }

    /// One table, and what it says of all.
    fn of_settings(settings: &LintSettings) -> Result<(Self, Option<Severity>), UnknownRule> {
        let (mut severities, mut all) = (Self::default(), None);
        for severity in [Severity::Allow, Severity::Warn, Severity::Refuse] {
            let names = settings.lists().into_iter().filter(|(key, _)| *key == severity.name());
            for name in names.flat_map(|(_, names)| names) {
                let selector = name.parse()?;
                all = all.or((selector == Selector::All).then_some(severity));
                severities.set(selector, severity);
            }
        }
        Ok((severities, all))
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
    use Severity::{Allow, Refuse, Warn};

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
    fn a_stage_goes_over_its_pipeline() {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let pipeline = LintSettings {
            allow: list(&["ban-drop-view"]),
            warn: list(&["all", "require-lock-timeout"]),
            refuse: list(&["ban-drop-column", "ban-drop-table"]),
        };
        let of = |stage: &LintSettings| {
            let severities = Severities::of_stage(&pipeline, stage).unwrap();
            ["ban-drop-view", "ban-drop-column", "ban-drop-table", "renaming-table", "require-lock-timeout"]
                .map(|name| severities.of(rule(name)))
        };
        assert_eq!(of(&LintSettings::default()), [Allow, Refuse, Refuse, Warn, Warn]);
        let named = LintSettings { allow: list(&["ban-drop-column"]), ..LintSettings::default() };
        assert_eq!(of(&named), [Allow, Allow, Refuse, Warn, Warn]);
        let lenient = LintSettings { refuse: list(&["ban-drop-table"]), allow: list(&["all"]), warn: vec![] };
        assert_eq!(of(&lenient), [Allow, Allow, Refuse, Allow, Allow]);
        let strict = LintSettings { refuse: list(&["all"]), ..LintSettings::default() };
        assert_eq!(of(&strict), [Refuse; 5]);
        let unknown = LintSettings { warn: list(&["ban-drop"]), ..LintSettings::default() };
        assert!(Severities::of_stage(&pipeline, &unknown).is_err());
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
