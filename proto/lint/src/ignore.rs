//! `-- squawk-ignore rule, other-rule` and `-- squawk-ignore-file rule`, for squawk's rules and for ours.
//!
//! As squawk does: such a comment counts for what is found on its own line and on the next one. Beyond that, one directly
//! above a statement counts for all of the statement, however many lines it has.

use std::ops::Range;

use stopover_model::sql;

use crate::catalogue;
use crate::raw::Raw;
use crate::reading::Reading;
use crate::rule::{Rule, UnknownRule};

pub(crate) struct Ignores {
    all_of_the_file: bool,
    of_the_file: Vec<Rule>,
    of_lines: Vec<LineIgnore>,
}

struct LineIgnore {
    line: u32,
    /// The statement below.
    statement: Option<Range<usize>>,
    rules: Vec<Rule>,
}

/// A comment that begins with the words.
struct Directive<'a> {
    /// Of the rules' names in the script's text.
    start: usize,
    names: &'a str,
    is_file: bool,
}

impl Ignores {
    /// Reads them, with a finding for each name that is no rule's.
    pub(crate) fn of(reading: &Reading<'_>) -> (Self, Vec<Raw>) {
        let mut ignores = Self { all_of_the_file: false, of_the_file: Vec::new(), of_lines: Vec::new() };
        let mut wrong = Vec::new();
        for (comment, statement) in comments(reading) {
            let Some(directive) = Directive::read(reading.text, &comment) else { continue };
            let mut rules = Vec::new();
            for (range, name) in directive.rules() {
                match name.parse::<Rule>() {
                    Ok(rule) => rules.push(rule),
                    Err(unknown) => wrong.push(unknown_rule(range, name, &unknown)),
                }
            }
            let names_nothing = directive.rules().next().is_none();
            if !directive.is_file {
                if names_nothing {
                    let message = "This comment ignores nothing: it names no rule.";
                    let help = "Write the rules behind it, as in `-- squawk-ignore ban-drop-column`.";
                    wrong.push(Raw::ours(&catalogue::UNKNOWN_IGNORE, comment, message).help(help));
                } else {
                    ignores.of_lines.push(LineIgnore {
                        line: line(reading.text, directive.start),
                        statement,
                        rules,
                    });
                }
            } else if names_nothing {
                ignores.all_of_the_file = true;
            } else {
                ignores.of_the_file.extend(rules);
            }
        }
        (ignores, wrong)
    }

    pub(crate) fn covers(&self, reading: &Reading<'_>, raw: &Raw) -> bool {
        if raw.rule == Rule::ours(&catalogue::UNKNOWN_IGNORE) {
            return false;
        }
        if self.all_of_the_file || self.of_the_file.contains(&raw.rule) {
            return true;
        }
        let at = line(reading.text, raw.range.start);
        self.of_lines.iter().filter(|ignore| ignore.rules.contains(&raw.rule)).any(|ignore| {
            ignore.line == at
                || ignore.line + 1 == at
                || ignore.statement.as_ref().is_some_and(|of| of.contains(&raw.range.start))
        })
    }
}

impl<'a> Directive<'a> {
    fn read(text: &'a str, comment: &Range<usize>) -> Option<Self> {
        let inside = text[comment.clone()].trim_start_matches(['-', '/', '*']).trim_start();
        let behind = inside.strip_prefix("squawk-ignore")?;
        let (is_file, names) = match behind.strip_prefix("-file") {
            Some(names) => (true, names),
            None => (false, behind),
        };
        // `squawk-ignored` is a word of somebody else's.
        if names.starts_with(|c: char| c.is_alphanumeric() || c == '-' && !names.starts_with("--")) {
            return None;
        }
        let start = comment.end - names.len();
        let names = names.strip_suffix("*/").unwrap_or(names);
        Some(Self { start, names: names.split("--").next().unwrap_or(names), is_file })
    }

    /// Each name with its place.
    fn rules(&self) -> impl Iterator<Item = (Range<usize>, &'a str)> {
        let mut at = self.start;
        self.names.split(',').filter_map(move |part| {
            let start = at + (part.len() - part.trim_start().len());
            at += part.len() + 1;
            let name = part.trim();
            (!name.is_empty()).then_some((start..start + name.len(), name))
        })
    }
}

/// Every comment, with the statement that it stands directly above or inside of.
fn comments<'a>(reading: &'a Reading<'_>) -> impl Iterator<Item = (Range<usize>, Option<Range<usize>>)> + 'a {
    let found = |text: &'a str, offset: usize| {
        sql::comments(text).map(move |c| offset + c.start..offset + c.start + c.text.len())
    };
    let end = reading.statements.last().map_or(0, |last| last.at.resume.max(last.at.end));
    let behind = found(&reading.text[end..], end).map(|comment| (comment, None));
    let statements = reading.statements.iter().flat_map(move |statement| {
        let above = statement.at.leading_comments;
        let inside = found(statement.at.text, statement.at.start).map(|comment| (comment, None));
        found(above, statement.at.start - above.len())
            .map(move |comment| {
                let gap: Vec<_> = reading.text[comment.end..statement.at.start].split('\n').collect();
                let between = gap.get(1..gap.len() - 1).unwrap_or_default();
                let directly = between.iter().all(|line| !line.trim().is_empty());
                (comment, directly.then(|| statement.range()))
            })
            .chain(inside)
    });
    statements.chain(behind)
}

fn unknown_rule(range: Range<usize>, name: &str, unknown: &UnknownRule) -> Raw {
    let words: Vec<_> = name.split_whitespace().collect();
    let message = format!("This comment ignores nothing: no rule is called `{}`.", name.escape_debug());
    let raw = Raw::ours(&catalogue::UNKNOWN_IGNORE, range, message);
    if words.len() > 1 && words[0].parse::<Rule>().is_ok() {
        return raw.help("Write a comma between two rules, and `--` before a reason.");
    }
    match unknown.nearest {
        Some(rule) => raw.help(format!("Did you mean `{rule}`?")),
        None => raw.help("`stopover lint --rules` lists them."),
    }
}

fn line(text: &str, offset: usize) -> u32 {
    let lines = text[..offset].matches('\n').count();
    u32::try_from(lines).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sql, rules};

    #[test]
    fn a_comment_counts_for_its_line_and_the_next() {
        assert_eq!(rules(Sql::up("ALTER TABLE t DROP a;")), ["1:15 ban-drop-column"]);
        for sql in [
            "-- squawk-ignore ban-drop-column\nALTER TABLE t DROP a;",
            "-- squawk-ignore ban-drop-table, ban-drop-column -- nobody reads it\nALTER TABLE t DROP a;",
            "/* squawk-ignore ban-drop-column */ ALTER TABLE t DROP a;",
            "ALTER TABLE t\n-- squawk-ignore ban-drop-column\nDROP a;",
            "ALTER TABLE t DROP a; -- squawk-ignore ban-drop-column",
            "-- squawk-ignore ban-drop-column\r\nALTER TABLE t\r\n\r\n  DROP a;",
            "-- squawk-ignore ban-drop-column\n-- squawk-ignore ban-drop-table\nALTER TABLE t DROP a;",
            "SELECT 1;\n-- squawk-ignore-file ban-drop-column\nSELECT 2;\n\nALTER TABLE t DROP a;",
            "ALTER TABLE t DROP a;\n\n-- squawk-ignore-file",
        ] {
            assert_eq!(rules(Sql::up(sql)), [""; 0], "{sql}");
        }
        for sql in [
            "-- squawk-ignore ban-drop-table\nALTER TABLE t DROP a;",
            "-- squawk-ignore ban-drop-column\n\nALTER TABLE t DROP a;",
            "SELECT '-- squawk-ignore-file ban-drop-column';\nALTER TABLE t DROP a;",
            "-- squawk-ignored ban-drop-column\nALTER TABLE t DROP a;",
        ] {
            assert_eq!(rules(Sql::up(sql)).len(), 1, "{sql}");
        }
    }

    #[test]
    fn ours_are_ignored_in_the_same_way() {
        let sql = "-- squawk-ignore stopover/update-without-where\nUPDATE t SET a = 1;";
        assert_eq!(rules(Sql::up(sql)), [""; 0]);
    }

    #[test]
    fn a_name_that_is_no_rule_is_a_finding_in_its_place() {
        let sql =
            "-- ü\n-- squawk-ignore ban-drop-colum, ban-drop-table\nSELECT 1;\n-- squawk-ignore\nSELECT 2;";
        let found = crate::testing::lint(Sql::up(sql));
        let shown: Vec<_> =
            found.findings.iter().map(|f| (f.start.line, f.start.column, f.end.column)).collect();
        assert_eq!(shown, [(2, 18, 32), (4, 1, 17)]);
        assert_eq!(found.findings[0].help.as_deref(), Some("Did you mean `ban-drop-column`?"));
        let reason = "-- squawk-ignore ban-drop-column nobody reads it\nSELECT 1;";
        let found = crate::testing::lint(Sql::up(reason));
        assert_eq!(
            found.findings[0].help.as_deref(),
            Some("Write a comma between two rules, and `--` before a reason.")
        );
    }
}
