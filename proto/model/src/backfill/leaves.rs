//! Whether an UPDATE makes its own condition false: only then may it be run once more over the same rows.
//!
//! Said only where it is plain: a column is set to a constant, and a part of the condition that must hold (no OR around
//! it) excludes that constant. Everything else counts as not known.

use std::ops::Range;

use super::parts::Assignment;
use super::tokens::Tokens;
use crate::sql::cursor::decode_string;
use crate::sql::lexer::{Token, TokenKind};

#[derive(Debug, Clone, PartialEq)]
enum Constant {
    Null,
    Bool(bool),
    Number(f64),
    /// In lower case: a collation may not tell cases apart.
    Text(String),
}

pub(super) fn leaves(tokens: &Tokens<'_>, assignments: &[Assignment], condition: Range<usize>) -> bool {
    let set: Vec<(&str, Constant)> = assignments
        .iter()
        .filter_map(|a| match &a.columns[..] {
            [column] => Some((column.as_str(), constant(tokens, a.value.clone())?)),
            _ => None,
        })
        .collect();
    conjuncts(tokens, condition).into_iter().any(|part| excludes(tokens, part, &set))
}

/// The parts of a condition that must all hold.
fn conjuncts(tokens: &Tokens<'_>, range: Range<usize>) -> Vec<Range<usize>> {
    let Some(depth) = range.clone().map(|i| tokens.depth(i)).min() else { return Vec::new() };
    if tokens.symbol(range.start, b'(') && tokens.behind_group(range.start) == range.end {
        return conjuncts(tokens, range.start + 1..range.end - 1);
    }
    let top = |word: &str| {
        let word = word.to_owned();
        range.clone().filter(move |i| tokens.depth(*i) == depth && tokens.is(*i, &word)).collect::<Vec<_>>()
    };
    // An AND of BETWEEN, or one inside CASE, is not one that joins conditions.
    if !top("or").is_empty() || !top("between").is_empty() || !top("case").is_empty() {
        return Vec::new();
    }
    let ands = top("and");
    if ands.is_empty() {
        return vec![range];
    }
    let ends = ands.iter().copied().chain([range.end]);
    let mut start = range.start;
    let mut parts = Vec::new();
    for end in ends {
        parts.extend(conjuncts(tokens, start..end));
        start = end + 1;
    }
    parts
}

/// Whether a part of the condition can't hold for a row whose columns have these values.
fn excludes(tokens: &Tokens<'_>, part: Range<usize>, set: &[(&str, Constant)]) -> bool {
    let negated = tokens.is(part.start, "not");
    let mut at = part.start + usize::from(negated);
    // Of `t.column` the column counts.
    if tokens.symbol(at + 1, b'.') {
        at += 2;
    }
    let Some(column) = tokens.identifier(at) else { return false };
    let Some((_, value)) = set.iter().find(|(name, _)| *name == column) else { return false };
    let rest = at + 1..part.end;
    if rest.is_empty() {
        // `NOT flag` and `flag`.
        return *value == Constant::Null || *value == Constant::Bool(negated);
    }
    !negated && test_fails(tokens, rest, value)
}

/// Whether what follows a column in a condition fails for the value.
fn test_fails(tokens: &Tokens<'_>, rest: Range<usize>, value: &Constant) -> bool {
    let at = rest.start;
    if tokens.is(at, "is") {
        let not = tokens.is(at + 1, "not");
        let word = at + 1 + usize::from(not);
        if tokens.is(word, "distinct") && tokens.is(word + 1, "from") {
            let other = constant(tokens, word + 2..rest.end);
            return other.is_some_and(|other| if not { differs(&other, value) } else { other == *value });
        }
        let holds = match () {
            () if rest.end != word + 1 => return false,
            () if tokens.is_any(word, &["null", "unknown"]) => *value == Constant::Null,
            () if tokens.is(word, "true") => *value == Constant::Bool(true),
            () if tokens.is(word, "false") => *value == Constant::Bool(false),
            () => return false,
        };
        return holds == not;
    }
    let two = |a: u8, b: u8| {
        tokens.symbol(at, a) && tokens.symbol(at + 1, b) && tokens.end(at) == tokens.start(at + 1)
    };
    if two(b'<', b'>') || two(b'!', b'=') {
        return *value == Constant::Null
            || constant(tokens, at + 2..rest.end).is_some_and(|other| other == *value);
    }
    if tokens.symbol(at, b'=') {
        let other = constant(tokens, at + 1..rest.end);
        return other.is_some_and(|other| *value == Constant::Null || differs(&other, value));
    }
    false
}

/// Not only written differently.
fn differs(one: &Constant, other: &Constant) -> bool {
    match (one, other) {
        (Constant::Null, _) | (_, Constant::Null) => one != other,
        (Constant::Bool(a), Constant::Bool(b)) => a != b,
        #[expect(clippy::float_cmp, reason = "constants as they are written")]
        (Constant::Number(a), Constant::Number(b)) => a != b,
        (Constant::Text(a), Constant::Text(b)) => a.trim_end() != b.trim_end(),
        _ => false,
    }
}

fn constant(tokens: &Tokens<'_>, range: Range<usize>) -> Option<Constant> {
    let negative = tokens.symbol(range.start, b'-');
    let at = range.start + usize::from(negative);
    // `'x'::type` is as constant as its string.
    let cast =
        tokens.symbol(at + 1, b':') && tokens.kind(at + 2) == Some(TokenKind::Word) && range.end == at + 3;
    if range.end != at + 1 && !cast {
        return None;
    }
    match tokens.kind(at)? {
        TokenKind::Number if !cast => {
            let number: f64 = tokens.text_of(at).parse().ok()?;
            Some(Constant::Number(if negative { -number } else { number }))
        }
        TokenKind::Word if !negative => match tokens.text_of(at).to_ascii_lowercase().as_str() {
            "null" => Some(Constant::Null),
            "true" => Some(Constant::Bool(true)),
            "false" => Some(Constant::Bool(false)),
            _ => None,
        },
        kind @ (TokenKind::String | TokenKind::DollarString { .. }) if !negative => {
            let token = Token { kind, start: tokens.start(at), end: tokens.end(at) };
            decode_string(token, tokens.text_of(at)).map(|text| Constant::Text(text.to_lowercase()))
        }
        _ => None,
    }
}
