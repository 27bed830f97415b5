//! Pipelines, with the names of rules in them checked.

use stopover_model::config::ConfigError;
use stopover_model::pipeline::Pipeline;

use crate::rule::UnknownRule;
use crate::severity::Selector;

/// Reads a pipeline file; `file` names it in errors. A name that is no rule's is one.
pub fn read_pipeline(file: &str, text: &str) -> Result<Pipeline, ConfigError> {
    Pipeline::parse_with(file, text, &|name| name.parse().map(canonical).map_err(|error| unknown(&error)))
}

fn canonical(selector: Selector) -> String {
    match selector {
        Selector::All => "all".to_owned(),
        Selector::One(rule) => rule.name().to_owned(),
    }
}

fn unknown(error: &UnknownRule) -> String {
    let hint = match error.nearest {
        Some(rule) => format!("did you mean `{rule}`?"),
        None => "`stopover lint --rules` lists them all".to_owned(),
    };
    format!("no rule is called `{}`\nhint: {hint}", error.name.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_rules_is_shown_in_its_place_with_the_nearest() {
        let stage = "name = \"p\"\n[[stage]]\nenvironment = \"s\"\n[stage.lint]\n";
        let read = |line: &str| read_pipeline("p.toml", &format!("{stage}{line}\n"));
        let settings = read("refuse = [\"all\", \"prefer-timestamptz\"]").unwrap().stages[0].lint.clone();
        assert_eq!(settings.refuse, ["all", "prefer-timestamp-tz"]);
        assert_eq!(
            read("warn = [\"all\", \"update-without-were\"]").unwrap_err().to_string(),
            "p.toml:5:16: no rule is called `update-without-were`\n\
             hint: did you mean `stopover/update-without-where`?\n\
             5 | warn = [\"all\", \"update-without-were\"]\n  |                ^"
        );
        let far = read("warn = \"x\"").unwrap_err().to_string();
        assert!(far.contains("hint: `stopover lint --rules` lists them all"), "{far}");
    }
}
