//! A step's error: what went wrong, where in the SQL, what it left behind, and the way out.

use stopover_model::report::{Effect, SqlPlace, StepError};

use super::line::{Line, Tone, escaped};

/// How wide the line of SQL may be around the place that is pointed at.
const LEAST_SQL: usize = 20;

/// The error on several lines of at most `width` columns.
#[must_use]
pub fn lines(error: &StepError, width: usize) -> Vec<Line> {
    let code = error.sqlstate.as_ref().map(|code| format!(" (SQLSTATE {code})")).unwrap_or_default();
    let mut lines = Vec::new();
    for (n, text) in error.message.lines().enumerate() {
        let head = if n == 0 { Line::of(Tone::Bad, "error: ") } else { Line::new().indented(7) };
        lines.extend(head.plain(text).wrapped(width, 7));
    }
    if !code.is_empty() {
        let last = lines.pop().unwrap_or_default();
        lines.extend(last.dim(code).wrapped(width, 7));
    }
    if let Some(place) = &error.place {
        lines.extend(place_lines(place, width));
    }
    if let Some(left) = effect(error.effect) {
        lines.extend(Line::of(Tone::Warn, left).wrapped(width, 2));
    }
    if let Some(hint) = &error.hint {
        lines.extend(Line::of(Tone::Busy, "hint: ").plain(hint).wrapped(width, 6));
    }
    lines
}

/// ` --> up.sql:13:7`, the line of SQL, and a caret under the place.
pub(super) fn place_lines(place: &SqlPlace, width: usize) -> Vec<Line> {
    let number = place.line.to_string();
    let gutter = number.len();
    let room = width.saturating_sub(gutter + 3).max(LEAST_SQL);
    let (text, before) = around(place, room);
    let margin = |label: &str| Line::new().dim(format!("{label:>gutter$} | "));
    vec![
        Line::new()
            .dim(format!("{:gutter$}--> ", ""))
            .plain(format!("{}:{}:{}", place.file, place.line, place.column)),
        margin(&number).plain(text),
        margin("").with(Tone::Bad, format!("{:before$}^", "")),
    ]
}

/// The part of the line around the column, and how many columns stand before the place.
fn around(place: &SqlPlace, room: usize) -> (String, usize) {
    let column = (place.column as usize).saturating_sub(1);
    let split = place.text.char_indices().nth(column).map_or(place.text.len(), |(at, _)| at);
    let (head, tail) = (escaped(&place.text[..split]), escaped(&place.text[split..]));
    let width = Line::new().plain(&head).width();
    if width + Line::new().plain(&tail).width() <= room {
        return (head + &tail, width);
    }
    let kept = room / 2;
    let mut skipped = 0;
    let mut start = 0;
    for (at, c) in head.char_indices() {
        if width - skipped < kept {
            break;
        }
        skipped += console::measure_text_width(c.encode_utf8(&mut [0; 4]));
        start = at + c.len_utf8();
    }
    let (mark, before) = if start > 0 { ("…", width - skipped + 1) } else { ("", width) };
    let text = format!("{mark}{}{tail}", &head[start..]);
    (Line::new().plain(text).cut(room).paint(false), before)
}

fn effect(effect: Effect) -> Option<&'static str> {
    match effect {
        Effect::None => None,
        Effect::Partial => Some("Some of its statements took effect; nothing takes them back by itself."),
        Effect::Possible => Some("It may have taken effect: nobody knows until somebody looks."),
    }
}

#[cfg(test)]
mod tests {
    use stopover_model::report::ErrorClass;

    use super::super::line::text;
    use super::*;

    fn sql_error(line: &str, column: u32) -> StepError {
        let mut error =
            StepError::new(ErrorClass::Sql, "statement 2 of 5 failed: column \"naem\" does not exist")
                .with_hint("perhaps you meant the column \"users.name\"");
        error.sqlstate = Some("42703".into());
        error.place = Some(SqlPlace { file: "up.sql".into(), line: 13, column, text: line.into() });
        error
    }

    #[test]
    fn the_place_is_shown_under_the_line_of_sql() {
        insta::assert_snapshot!(text(&lines(&sql_error("UPDATE users SET naem = 'x' WHERE name IS NULL;", 18), 80)), @r#"
        error: statement 2 of 5 failed: column "naem" does not exist (SQLSTATE 42703)
          --> up.sql:13:18
        13 | UPDATE users SET naem = 'x' WHERE name IS NULL;
           |                  ^
        hint: perhaps you meant the column "users.name"
        "#);
    }

    #[test]
    fn a_long_line_is_cut_around_the_place_and_nothing_is_wider_than_the_terminal() {
        let sql = format!(
            "UPDATE \tusers SET {}naem = 'żółć 日本'{} WHERE x",
            "a = 1, ".repeat(40),
            ", b = 2".repeat(40)
        );
        let column = u32::try_from(18 + 7 * 40 + 1).unwrap();
        let shown = lines(&sql_error(&sql, column), 60);
        assert!(shown.iter().all(|l| l.width() <= 60), "{}", text(&shown));
        let (line, caret) = (shown[3].paint(false), shown[4].paint(false));
        assert!(
            line[line.char_indices().nth(caret.chars().count() - 1).unwrap().0..].starts_with("naem"),
            "{line}\n{caret}"
        );
    }

    #[test]
    fn what_is_unknown_is_said_to_be_unknown() {
        let error = StepError::new(ErrorClass::Transient, "the connection was lost at COMMIT")
            .with_effect(Effect::Possible);
        insta::assert_snapshot!(text(&lines(&error, 50)), @r#"
        error: the connection was lost at COMMIT
        It may have taken effect: nobody knows until
          somebody looks.
        "#);
    }
}
