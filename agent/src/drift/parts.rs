//! What an object is made of, from the row that its fingerprint hashed, and which of it changed.

use crate::postgres::shown_line;

/// A definition that is longer says less.
const LONGEST: usize = 200;

/// How a part reads.
#[derive(Clone, Copy)]
enum As {
    Text,
    /// `t` and `f`.
    Flag,
    /// Of triggers and rules, by `ALTER TABLE ... ENABLE`.
    Enabled,
    /// One letter, which PostgreSQL alone knows: that it changed is all that is said.
    Code,
}

type Labels = &'static [(&'static str, As)];

/// The parts of a kind, in the order in which `fingerprint.sql` writes them.
fn labels(kind: &str) -> Labels {
    use As::{Code, Enabled, Flag, Text};
    match kind {
        "schema" => &[("comment", Text)],
        "table" | "foreign table" => &[
            ("kind", Code),
            ("persistence", Code),
            ("options", Text),
            ("replica identity", Code),
            ("row security", Flag),
            ("forced row security", Flag),
            ("type", Text),
            ("partition bound", Text),
            ("partition key", Text),
            ("definition", Text),
            ("parents", Text),
            ("comment", Text),
        ],
        "column" => &[
            ("type", Text),
            ("not null", Flag),
            ("identity", Code),
            ("generated", Code),
            ("storage", Code),
            ("options", Text),
            ("collation", Text),
            ("default", Text),
            ("comment", Text),
        ],
        "sequence" => &[
            ("persistence", Code),
            ("type", Text),
            ("start", Text),
            ("increment", Text),
            ("minimum", Text),
            ("maximum", Text),
            ("cache", Text),
            ("cycle", Flag),
            ("comment", Text),
        ],
        "index" => &[
            ("definition", Text),
            ("valid", Flag),
            ("ready", Flag),
            ("primary key", Flag),
            ("clustered", Flag),
            ("replica identity", Flag),
            ("comment", Text),
        ],
        "constraint" => &[("definition", Text), ("validated", Flag), ("comment", Text)],
        "trigger" => &[("definition", Text), ("enabled", Enabled), ("comment", Text)],
        "rule" => &[("definition", Text), ("enabled", Enabled)],
        "policy" => {
            &[("command", Code), ("permissive", Flag), ("using", Text), ("check", Text), ("roles", Text)]
        }
        "type" => &[
            ("kind", Code),
            ("values", Text),
            ("base type", Text),
            ("not null", Flag),
            ("default", Text),
            ("range of", Text),
            ("comment", Text),
        ],
        "extension" => &[("version", Text), ("schema", Text)],
        "event trigger" => &[("event", Text), ("function", Text), ("enabled", Enabled), ("tags", Text)],
        _ => &[],
    }
}

/// "type integer -> bigint", for each part that differs.
pub(super) fn changes(kind: &str, before: Option<&str>, now: Option<&str>) -> Vec<String> {
    let (Some(before), Some(now)) = (before, now) else { return Vec::new() };
    let (before, now) = (row(before), row(now));
    let part = |parts: &[Option<String>], at: usize| parts.get(at).cloned().flatten();
    let differing = labels(kind).iter().enumerate().filter_map(|(at, (label, how))| {
        let (before, now) = (part(&before, at), part(&now, at));
        (before != now).then(|| match how {
            As::Code => format!("{label} changed"),
            _ => format!("{label} {} -> {}", show(*how, before), show(*how, now)),
        })
    });
    differing.collect()
}

/// What a new object is, or one that is gone: a column's type, an index's definition.
pub(super) fn summary(kind: &str, definition: Option<&str>) -> Option<String> {
    let first = matches!(kind, "column" | "index" | "constraint" | "trigger" | "rule");
    let summary = row(definition.filter(|_| first)?).into_iter().next().flatten()?;
    Some(shown_line(&summary, LONGEST))
}

/// A part of an object by its label.
pub(super) fn part(kind: &str, definition: Option<&str>, label: &str) -> Option<String> {
    let at = labels(kind).iter().position(|(known, _)| *known == label)?;
    row(definition?).into_iter().nth(at).flatten()
}

fn show(how: As, part: Option<String>) -> String {
    let Some(part) = part else { return "none".to_owned() };
    match (how, part.as_str()) {
        (As::Flag, "t") | (As::Enabled, "O") => "yes".to_owned(),
        (As::Flag, "f") | (As::Enabled, "D") => "no".to_owned(),
        (As::Enabled, "R") => "on replicas".to_owned(),
        (As::Enabled, "A") => "always".to_owned(),
        (_, "") => "none".to_owned(),
        (_, part) => shown_line(part, LONGEST),
    }
}

/// The fields of a row as PostgreSQL writes it: `(integer,f,"a ""b"", c",)`. None: null.
fn row(text: &str) -> Vec<Option<String>> {
    let text = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    let (mut fields, mut field, mut given, mut quoted) = (Vec::new(), String::new(), false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => (quoted, given) = (!quoted, true),
            '\\' => field.extend(chars.next()),
            ',' if !quoted => {
                let taken = std::mem::take(&mut field);
                fields.push(Some(taken).filter(|taken| given || !taken.is_empty()));
                given = false;
            }
            c => field.push(c),
        }
    }
    fields.push(Some(field).filter(|field| given || !field.is_empty()));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_postgresql_writes_it() {
        let expected =
            [Some("integer"), Some("f"), Some("a \"b\", c\\"), None, Some("")].map(|f| f.map(str::to_owned));
        assert_eq!(row(r#"(integer,f,"a ""b"", c\\",,"")"#), expected);
    }

    #[test]
    fn what_changed_is_named() {
        let before = r#"(integer,f,"","",p,,,,)"#;
        let now = r#"(bigint,t,"","",p,,,"'x'::text",)"#;
        assert_eq!(
            changes("column", Some(before), Some(now)),
            ["type integer -> bigint", "not null no -> yes", "default none -> 'x'::text"]
        );
        assert_eq!(changes("column", None, Some(now)), Vec::<String>::new(), "too long to be kept");
        assert_eq!(changes("trigger", Some("(t,O,)"), Some("(t,D,)")), ["enabled yes -> no"]);
        assert_eq!(summary("column", Some(before)), Some("integer".to_owned()));
        assert_eq!(part("index", Some("(x,f,t,f,f,f,)"), "valid").as_deref(), Some("f"));
    }
}
