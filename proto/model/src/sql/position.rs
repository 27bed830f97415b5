//! Where in the file a server's error points.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::split::{Statement, line_of};

/// A place in a file, with enough of its line to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePoint {
    /// Counted from 1.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
    /// The line, or the part of a very long one around the place; control characters other than tabs replaced.
    pub line_text: String,
    /// How many characters of `line_text` stand before the place.
    pub caret: usize,
}

/// How many characters of a line are kept on either side of the place.
const AROUND: usize = 90;

/// The place in `source` that PostgreSQL means by the position of an error: it counts characters, from 1, in the text
/// of the statement. A position outside the statement gives its nearest end.
#[must_use]
pub fn position_in(source: &str, statement: &Statement<'_>, char_position: u32) -> SourcePoint {
    let before = usize::try_from(char_position).unwrap_or(usize::MAX).saturating_sub(1);
    let inside = statement.text.char_indices().nth(before).map_or(statement.text.len(), |(at, _)| at);
    let offset = source.floor_char_boundary(statement.start + inside);
    let line_start = source[..offset].rfind('\n').map_or(0, |n| n + 1);
    let line_end = source[offset..].find('\n').map_or(source.len(), |n| offset + n);
    let head = source[line_start..offset].trim_start_matches('\u{feff}');
    let tail = source[offset..line_end].trim_end_matches('\r');
    let before = head.chars().count();
    let (line_text, caret) = around(head, before, tail);
    SourcePoint {
        line: line_of(source, offset),
        column: u32::try_from(before + 1).unwrap_or(u32::MAX),
        line_text,
        caret,
    }
}

fn around(head: &str, head_length: usize, tail: &str) -> (String, usize) {
    let cut = head_length > AROUND;
    let skipped = if cut { head_length - AROUND } else { 0 };
    let mut text: String = cut.then_some('…').into_iter().chain(head.chars().skip(skipped)).collect();
    let caret = head_length - skipped + usize::from(cut);
    text.extend(tail.chars().take(AROUND));
    if tail.chars().nth(AROUND).is_some() {
        text.push('…');
    }
    let shown = text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c });
    (shown.collect(), caret)
}

/// The line with its number, and a caret under the place.
impl fmt::Display for SourcePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = number.len();
        writeln!(f, "{number} | {}", self.line_text)?;
        write!(f, "{:gutter$} | ", "")?;
        for c in self.line_text.chars().take(self.caret) {
            // A tab is as wide below as above only if it is a tab there too.
            write!(f, "{}", if c == '\t' { '\t' } else { ' ' })?;
        }
        f.write_str("^")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split;

    fn point(source: &str, statement: usize, char_position: u32) -> SourcePoint {
        position_in(source, &split(source).unwrap()[statement], char_position)
    }

    #[test]
    fn finds_line_and_column_of_the_second_statement() {
        let source = "SELECT 1;\n\n  -- why\n  ALTER TABLE users\r\n\tADD COLUMN é int, FOO ü;\r\n";
        let found = point(source, 1, 39);
        assert_eq!((found.line, found.column), (5, 20));
        assert_eq!(
            found.to_string(),
            "5 | \tADD COLUMN é int, FOO ü\n  | \t                  ^".replace("ü", "ü;")
        );
    }

    #[test]
    fn counts_characters_and_not_bytes() {
        let source = "SELECT 'żółć 日本', nope FROM t;";
        let found = point(source, 0, 19);
        assert_eq!(
            &found.line_text[found.line_text.char_indices().nth(found.caret).unwrap().0..][..4],
            "nope"
        );
        assert_eq!(found.column, 19);
    }

    #[test]
    fn positions_outside_give_the_nearest_end() {
        let source = "\u{feff}SELECT (1";
        assert!(split(source).is_err());
        let source = "\u{feff}SELECT 1";
        assert_eq!(point(source, 0, 0).column, 1);
        assert_eq!(point(source, 0, 99).to_string(), "1 | SELECT 1\n  |         ^");
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_place() {
        let source = format!("SELECT {}nope{}\u{1b}[31m", "1, ".repeat(500), ", 1".repeat(500));
        let found = point(&source, 0, 1508);
        assert_eq!(found.column, 1508);
        assert!(found.line_text.chars().count() < 200 && found.line_text.starts_with('…'));
        let at = found.line_text.char_indices().nth(found.caret).unwrap().0;
        assert!(found.line_text[at..].starts_with("nope"));
        assert!(!found.line_text.contains('\u{1b}'));
    }
}
