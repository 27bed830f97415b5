//! squawk's rules over a script, with what our engine does in mind.

use std::ops::Range;

use squawk_linter::{Edit, Fix, Linter, Violation};
use squawk_syntax::ast::{self, AstNode as _};

use crate::finding::Rewrite;
use crate::raw::Raw;
use crate::reading::Reading;
use crate::rule::Rule;
use crate::severity::{Severities, Severity};
use crate::tree::range_of;
use crate::volatile;
use crate::way_out;

/// What the wanted rules find, in the order of the text.
pub(crate) fn findings(reading: &Reading<'_>, severities: &Severities) -> Vec<Raw> {
    let wanted = Rule::all().filter(|rule| severities.of(*rule) != Severity::Allow).filter_map(Rule::squawk);
    let mut linter = Linter::from(wanted);
    linter.settings.assume_in_transaction = reading.one_transaction;
    let violations = linter.lint(&reading.parse, &reading.masked);
    violations.into_iter().filter_map(|violation| finding(reading, violation)).collect()
}

fn finding(reading: &Reading<'_>, violation: Violation) -> Option<Raw> {
    let rule = Rule::of_squawk(violation.code)?;
    let mut range = range_of(violation.text_range);
    let index = reading.statement_at(&range);
    if let Some(index) = index {
        range.end = range.end.min(reading.statements[index].at.end);
    }
    if violation.code == squawk_linter::Rule::AddingFieldWithDefault && is_steady(reading, &range) {
        return None;
    }
    let mut raw = Raw::new(rule, range.clone(), violation.message);
    raw.help = violation.help;
    if let Some(index) = index {
        raw.rewrite = way_out::of(reading, index, violation.code, &range)
            .or_else(|| rewritten(reading, index, &violation.fix?));
    }
    Some(raw)
}

/// Whether the default that a range is about is one value for all rows.
fn is_steady(reading: &Reading<'_>, range: &Range<usize>) -> bool {
    let root = reading.parse.syntax_node();
    let mut expressions = root.descendants().filter(|node| range_of(node.text_range()) == *range);
    expressions.find_map(ast::Expr::cast).is_some_and(|expr| volatile::is_steady(&expr))
}

/// The statement after squawk's own edits, if they are all inside it.
fn rewritten(reading: &Reading<'_>, index: usize, fix: &Fix) -> Option<Rewrite> {
    let statement = &reading.statements[index];
    let within = statement.range();
    let mut edits: Vec<&Edit> = fix.edits.iter().collect();
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.text_range.start()));
    let mut sql = statement.at.text.to_owned();
    for edit in edits {
        let range = range_of(edit.text_range);
        if range.start < within.start || range.end > within.end {
            return None;
        }
        let text = edit.text.clone().unwrap_or_default();
        sql.replace_range(range.start - within.start..range.end - within.start, &in_case_of(&sql, text));
    }
    Some(Rewrite { title: fix.title.replace('`', ""), sql: sql + ";" })
}

/// squawk writes key words in small letters; most people don't, and then neither do we.
fn in_case_of(sql: &str, text: String) -> String {
    let shouts =
        sql.split_whitespace().next().is_some_and(|word| word.bytes().all(|b| b.is_ascii_uppercase()));
    if shouts && !text.contains(['\'', '"']) { text.to_ascii_uppercase() } else { text }
}
