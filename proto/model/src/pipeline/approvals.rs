//! Who has to approve a stage, and how many of them; and what its checklist has.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::config::ConfigError;
use crate::id::{GroupName, InvalidId, OperatorName};
use crate::text::as_text;

/// A stage's `approvals` and `approvers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalSettings {
    /// So many different people; 0: none.
    pub needed: u32,
    /// Empty: anybody but the one who created the deployment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<Approver>,
}

/// Whose approval counts: `anna`, or `group:dba`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Approver {
    Person(OperatorName),
    Group(GroupName),
}

impl ApprovalSettings {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Why nobody could follow them.
    pub fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.approvers.iter().find(|a| !seen.insert(*a)) {
            return Err(format!("`approvers` has {twice} twice"));
        }
        if self.needed == 0 && !self.approvers.is_empty() {
            return Err(
                "`approvers` says who approves, and no approval is needed here; add approvals = 1".to_owned()
            );
        }
        let groups = self.approvers.iter().any(|a| matches!(a, Approver::Group(_)));
        if !groups && !self.approvers.is_empty() && self.approvers.len() < self.needed as usize {
            return Err(format!(
                "approvals = {} needs as many different people, and `approvers` names {}; name more, or a group: \
                 \"group:dba\"",
                self.needed,
                self.approvers.len()
            ));
        }
        Ok(())
    }

    /// Whether this person's approval counts.
    #[must_use]
    pub fn names(&self, person: &OperatorName, groups: &[GroupName]) -> bool {
        let fits = |approver: &Approver| match approver {
            Approver::Person(name) => name == person,
            Approver::Group(group) => groups.contains(group),
        };
        self.approvers.is_empty() || self.approvers.iter().any(fits)
    }

    /// Who could approve, without these people: "anna, or somebody of the group dba".
    #[must_use]
    pub fn who(&self, without: &[&OperatorName]) -> String {
        let word = |approver: &Approver| match approver {
            Approver::Person(name) if without.contains(&name) => None,
            Approver::Person(name) => Some(name.to_string()),
            Approver::Group(group) => Some(format!("somebody of the group {group}")),
        };
        if self.approvers.is_empty() {
            return "anybody else with a token".to_owned();
        }
        let mut words: Vec<_> = self.approvers.iter().filter_map(word).collect();
        match (words.pop(), words.is_empty()) {
            (None, _) => "nobody else".to_owned(),
            (Some(only), true) => only,
            (Some(last), false) => format!("{} or {last}", words.join(", ")),
        }
    }

    /// Whether there are people for all of them when this one can't be among them. Who is in a group is not known here.
    #[must_use]
    pub fn possible_without(&self, creator: &OperatorName) -> bool {
        let others = self.approvers.iter().filter(|a| **a != Approver::Person(creator.clone())).count();
        let groups = self.approvers.iter().any(|a| matches!(a, Approver::Group(_)));
        self.approvers.is_empty() || groups || others >= self.needed as usize
    }
}

/// Why a checklist is none.
pub fn check_checklist(items: &[String]) -> Result<(), (usize, String)> {
    const LONGEST: usize = 200;
    let mut seen = BTreeSet::new();
    for (place, item) in items.iter().enumerate() {
        let why = if item.trim().is_empty() {
            "an item of `checklist` is empty; say what is to be done".to_owned()
        } else if item.chars().any(char::is_control) || item.trim() != item {
            format!("the item {item:?} has a line break, another control character, or a space at an end")
        } else if item.chars().count() > LONGEST {
            format!(
                "an item of `checklist` has more than {LONGEST} characters; it is typed when it is ticked"
            )
        } else if !seen.insert(item.to_lowercase()) {
            format!("`checklist` has `{item}` twice")
        } else {
            continue;
        };
        return Err((place, why));
    }
    Ok(())
}

/// The keys as they stand in a stage.
pub(super) struct RawGates<'a> {
    pub(super) approvals: &'a Option<Spanned<i64>>,
    pub(super) approvers: &'a Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) checklist: &'a [Spanned<String>],
}

impl RawGates<'_> {
    pub(super) fn approvals(&self, file: &str, text: &str) -> Result<ApprovalSettings, ConfigError> {
        const MOST: i64 = 20;
        let at = |span, message: String| ConfigError::at(file, text, Some(span), message);
        let needed = match self.approvals {
            None => 0,
            Some(number) => {
                u32::try_from(*number.get_ref()).ok().filter(|n| i64::from(*n) <= MOST).ok_or_else(|| {
                    let message =
                        format!("`approvals` is so many people as have to approve: from 0 to {MOST}");
                    at(number.span(), message)
                })?
            }
        };
        let written = self.approvers.as_ref();
        let read = |name: &Spanned<String>| {
            let wrong = |error: InvalidId| {
                let message = format!("{error}; a group is written \"group:NAME\"");
                at(name.span(), message)
            };
            name.get_ref().parse::<Approver>().map_err(wrong)
        };
        let approvers = written.map_or(&[][..], |list| list.get_ref().as_slice()).iter().map(read);
        let settings = ApprovalSettings { needed, approvers: approvers.collect::<Result<_, _>>()? };
        let span = written.map(Spanned::span);
        settings.check().map_err(|message| ConfigError::at(file, text, span, message))?;
        Ok(settings)
    }

    pub(super) fn checklist(&self, file: &str, text: &str) -> Result<Vec<String>, ConfigError> {
        let items: Vec<_> = self.checklist.iter().map(|item| item.get_ref().clone()).collect();
        check_checklist(&items).map_err(|(place, message)| {
            ConfigError::at(file, text, self.checklist.get(place).map(Spanned::span), message)
        })?;
        Ok(items)
    }
}

impl FromStr for Approver {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.strip_prefix("group:") {
            Some(group) => group.parse().map(Self::Group),
            None => text.parse().map(Self::Person),
        }
    }
}

as_text!(Approver, InvalidId);

impl fmt::Display for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(name) => name.fmt(f),
            Self::Group(group) => write!(f, "group:{group}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tests::parse_stage as parse;
    use crate::pipeline::{BackupLevel, StageSpec};

    #[test]
    fn people_groups_and_what_is_to_be_done_are_read() {
        let stage = parse(
            "approvals = 2\napprovers = [\"group:dba\", \"anna\"]\nchecklist = [\"Team notified\", \"Dashboards\"]",
        );
        let stage = stage.unwrap();
        assert_eq!(stage.approvals.needed, 2);
        assert_eq!(
            stage.approvals.approvers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["group:dba", "anna"]
        );
        assert_eq!(stage.checklist, ["Team notified", "Dashboards"]);
        assert!(parse("approvals = 1").unwrap().approvals.approvers.is_empty());
    }

    #[test]
    fn a_stage_with_approvals_rehearses_unless_it_says_no() {
        let stage = parse("approvals = 1").unwrap();
        assert!(stage.rehearse && stage.backup.level == BackupLevel::Restored);
        let stage = parse("approvals = 1\nrehearse = false").unwrap();
        assert!(!stage.rehearse && stage.backup.level == BackupLevel::Recorded);
        assert!(!parse("approvals = 0").unwrap().rehearse);
        assert!(!parse("checklist = [\"x\"]").unwrap().rehearse);
        let error = parse("approvals = 1\nbackup = \"decoded\"").unwrap_err();
        assert!(error.contains("pipeline.toml:5:10: a stage with approvals rehearses"), "{error}");
        assert!(error.contains("rehearse = false"), "{error}");
    }

    #[test]
    fn what_is_none_is_shown_in_its_place() {
        for (lines, expected) in [
            ("approvals = -1", "pipeline.toml:4:13: `approvals` is so many people"),
            ("approvals = \"two\"", "pipeline.toml:4:13: invalid type"),
            (
                "approvals = 1\napprovers = [\"Anna\"]",
                "pipeline.toml:5:14: `Anna` is not the name of an operator",
            ),
            ("approvals = 1\napprovers = [\"group:\"]", "is not the name of a group"),
            (
                "approvals = 1\napprovers = [\"anna\", \"anna\"]",
                "pipeline.toml:5:13: `approvers` has anna twice",
            ),
            ("approvers = [\"anna\"]", "pipeline.toml:4:13: `approvers` says who approves"),
            ("approvals = 2\napprovers = [\"anna\"]", "pipeline.toml:5:13: approvals = 2 needs as many"),
            ("checklist = [\"a\", \"A\"]", "pipeline.toml:4:19: `checklist` has `A` twice"),
            ("checklist = [\"a\", \" \"]", "pipeline.toml:4:19: an item of `checklist` is empty"),
            ("checklist = [\"a\\nb\"]", "has a line break"),
            ("checklist = \"a\"", "expected a sequence"),
            ("chekclist = [\"a\"]", "did you mean `checklist`?"),
        ] {
            let error = parse(lines).unwrap_err();
            assert!(error.contains(expected), "{lines} gave {error}");
        }
    }

    #[test]
    fn who_could_is_said_in_words() {
        let creator: OperatorName = "anna".parse().unwrap();
        let settings = |approvers: &[&str]| ApprovalSettings {
            needed: 1,
            approvers: approvers.iter().map(|a| a.parse().unwrap()).collect(),
        };
        let all = settings(&["ben", "anna", "group:dba"]);
        assert_eq!(all.who(&[&creator]), "ben or somebody of the group dba");
        assert!(all.possible_without(&creator) && !settings(&["anna"]).possible_without(&creator));
        assert_eq!(settings(&["anna"]).who(&[&creator]), "nobody else");
    }

    #[test]
    fn a_stage_from_an_older_log_reads_as_it_did() {
        let json = serde_json::to_value(parse("").unwrap()).unwrap();
        assert!(json.get("approvals").is_none() && json.get("checklist").is_none(), "{json}");
        assert_eq!(serde_json::from_value::<StageSpec>(json).unwrap(), parse("").unwrap());
    }
}
