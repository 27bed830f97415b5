//! What a pipeline makes of the linter's findings: the tables `[lint]` and `[stage.lint]`.
//!
//! Only the linter knows the names of rules; whoever reads a pipeline that counts has them checked by it
//! ([`super::Pipeline::parse_with`]).

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use toml::Spanned;

use crate::config::ConfigError;

/// Rules by what is done about what they find, each by its name, or "all". Who is in no list is warned of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LintSettings {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warn: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refuse: Vec<String>,
}

impl LintSettings {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The lists with the keys under which they stand.
    #[must_use]
    pub fn lists(&self) -> [(&'static str, &[String]); 3] {
        [("allow", &self.allow), ("warn", &self.warn), ("refuse", &self.refuse)]
    }
}

/// Gives a rule's name as the linter has it, or says why there is none.
pub type RuleNames<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// The table as it is written: a list of names, or one name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLint {
    allow: Option<Spanned<Names>>,
    warn: Option<Spanned<Names>>,
    refuse: Option<Spanned<Names>>,
}

#[derive(Debug)]
enum Names {
    One(String),
    Many(Vec<Spanned<String>>),
}

impl RawLint {
    pub(super) fn read(
        self,
        file: &str,
        text: &str,
        names: RuleNames<'_>,
    ) -> Result<LintSettings, ConfigError> {
        let mut seen: Vec<(&str, String)> = Vec::new();
        let mut read = |key: &'static str, value: Option<Spanned<Names>>| {
            let mut list = Vec::new();
            for given in value.map(each).unwrap_or_default() {
                let at = |message: String| ConfigError::at(file, text, Some(given.span()), message);
                let name = names(given.get_ref()).map_err(at)?;
                if let Some((first, _)) = seen.iter().find(|(_, known)| *known == name) {
                    let message = if *first == key {
                        format!("`{name}` is named twice")
                    } else {
                        format!("`{name}` is in `{first}` and in `{key}`; leave it in one of them")
                    };
                    return Err(at(message));
                }
                seen.push((key, name.clone()));
                list.push(name);
            }
            Ok(list)
        };
        Ok(LintSettings {
            allow: read("allow", self.allow)?,
            warn: read("warn", self.warn)?,
            refuse: read("refuse", self.refuse)?,
        })
    }
}

fn each(names: Spanned<Names>) -> Vec<Spanned<String>> {
    let span = names.span();
    match names.into_inner() {
        Names::One(name) => vec![Spanned::new(span, name)],
        Names::Many(names) => names,
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rules' names, or \"all\"")
    }

    fn visit_str<E>(self, name: &str) -> Result<Names, E> {
        Ok(Names::One(name.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Names, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = items.next_element()? {
            names.push(name);
        }
        Ok(Names::Many(names))
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::Pipeline;

    fn parse(of_all: &str, of_stage: &str) -> Result<Pipeline, String> {
        let text = format!(
            "name = \"p\"\n[lint]\n{of_all}\n[[stage]]\nenvironment = \"s\"\n[stage.lint]\n{of_stage}\n"
        );
        let known = |name: &str| match name {
            "all" | "ban-drop-column" | "renaming-table" => Ok(name.to_owned()),
            "old-name" => Ok("renaming-table".to_owned()),
            _ => Err(format!("no rule is called `{name}`")),
        };
        Pipeline::parse_with("pipeline.toml", &text, &known).map_err(|e| e.to_string())
    }

    #[test]
    fn lists_and_single_names_are_read_for_all_stages_and_for_one() {
        let pipeline = parse("refuse = [\"ban-drop-column\", \"old-name\"]", "allow = \"all\"").unwrap();
        assert_eq!(pipeline.lint.refuse, ["ban-drop-column", "renaming-table"]);
        assert_eq!(pipeline.stages[0].lint.allow, ["all"]);
        assert!(parse("", "").unwrap().lint.is_default());
    }

    #[test]
    fn errors_stand_at_the_name() {
        for (line, expected) in [
            ("warn = [\"all\", \"ban-drop\"]", "pipeline.toml:3:16: no rule is called `ban-drop`"),
            ("refuse = \"ban-drop\"", "pipeline.toml:3:10: no rule is called `ban-drop`"),
            (
                "warn = [\"all\"]\nrefuse = [\"all\"]",
                "pipeline.toml:4:11: `all` is in `warn` and in `refuse`",
            ),
            (
                "warn = [\"old-name\", \"renaming-table\"]",
                "pipeline.toml:3:21: `renaming-table` is named twice",
            ),
            ("refuze = \"all\"", "pipeline.toml:3:1: unknown field `refuze`"),
            ("refuse = 1", "pipeline.toml:3:10: invalid type: integer `1`, expected a list of rules' names"),
            ("refuse = [1]", "pipeline.toml:3:11: invalid type: integer `1`, expected a string"),
        ] {
            let error = parse(line, "").unwrap_err();
            assert!(error.starts_with(expected), "{line} gave {error}");
        }
        let error = parse("", "allow = [\"ban-drop\"]").unwrap_err();
        assert!(error.starts_with("pipeline.toml:7:10: no rule is called `ban-drop`"), "{error}");
    }

    #[test]
    fn where_nothing_is_said_digests_and_old_logs_stay_what_they_were() {
        let silent = parse("", "").unwrap();
        let json = serde_json::to_value(&silent).unwrap();
        assert!(json.get("lint").is_none() && json["stages"][0].get("lint").is_none(), "{json}");
        assert_eq!(serde_json::from_value::<Pipeline>(json).unwrap(), silent);
        let json = serde_json::to_string(&parse("warn = \"all\"", "").unwrap().lint).unwrap();
        assert_eq!(json, r#"{"warn":["all"]}"#);
    }
}
