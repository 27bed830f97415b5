//! SQL that is there to be copied, in lines that fit: broken where SQL has white space, and nowhere else.

use super::super::line::Line;

/// Each line of the SQL, indented; what is too wide goes on below.
pub(super) fn lines(sql: &str, width: usize) -> Vec<Line> {
    sql.lines()
        .flat_map(|line| broken(line, width.saturating_sub(4)))
        .map(|l| Line::new().plain(l).indented(4))
        .collect()
}

fn broken(line: &str, room: usize) -> Vec<String> {
    let text = line.trim_start();
    let indent = " ".repeat(line.len() - text.len());
    let comment = text.starts_with("--");
    // A quote that a line leaves open has its end in another one.
    let whole = !comment && ['\'', '"'].iter().any(|quote| text.matches(*quote).count() % 2 == 1);
    if whole || Line::new().plain(line).width() <= room {
        return vec![line.to_owned()];
    }
    let hang = format!("{indent}{}", if comment { "-- " } else { "    " });
    let mut lines = Vec::new();
    let mut now = indent;
    for word in words(text, comment) {
        let fits = Line::new().plain(&now).width() + Line::new().plain(word.trim_end()).width() <= room;
        if !fits && !now.trim().is_empty() && now != hang {
            lines.push(now.trim_end().to_owned());
            now.clone_from(&hang);
        }
        now.push_str(word);
    }
    lines.push(now);
    lines
}

/// Cut behind white space that is not inside of quotes.
fn words(text: &str, comment: bool) -> Vec<&str> {
    let (mut words, mut start, mut quote) = (Vec::new(), 0, None);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            (' ', None) => {
                words.push(&text[start..=at]);
                start = at + 1;
            }
            ('\'' | '"', None) if !comment => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    words.push(&text[start..]);
    words
}

#[cfg(test)]
mod tests {
    use super::super::super::line::text;
    use super::*;

    #[test]
    fn only_where_sql_has_white_space_of_no_meaning() {
        let sql = "ALTER TABLE t ADD a text DEFAULT 'one two  three four';\n  -- then what is left, in batches\nSELECT 1;";
        assert_eq!(
            text(&lines(sql, 30)),
            "    ALTER TABLE t ADD a text\n        DEFAULT\n        'one two  three four';\n\
             \x20     -- then what is left, in\n      -- batches\n    SELECT 1;\n"
        );
        let open = format!("SELECT 'a{}", " b".repeat(40));
        assert_eq!(text(&lines(&open, 30)).trim(), open);
    }
}
