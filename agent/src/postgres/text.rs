//! Text that somebody else wrote, made fit for a terminal and a log.

/// Escapes control characters (a NOTICE may hold terminal escapes) other than line breaks and tabs, and cuts what is
/// longer than `longest` characters.
#[must_use]
pub fn shown(text: &str, longest: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(longest));
    for c in text.chars().take(longest) {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() || is_direction_mark(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    if text.chars().nth(longest).is_some() {
        shown.push('…');
    }
    shown
}

/// The same on one line, however it was laid out.
#[must_use]
pub(crate) fn shown_line(text: &str, longest: usize) -> String {
    shown(&text.split_whitespace().collect::<Vec<_>>().join(" "), longest)
}

/// Characters that make a line read otherwise than it is.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_are_shown_and_not_obeyed() {
        assert_eq!(shown("a\u{1b}[31mb\nc\u{202e}d", 100), "a\\u{1b}[31mb\nc\\u{202e}d");
    }

    #[test]
    fn a_query_is_shown_on_one_line() {
        assert_eq!(shown_line(" SELECT\n\t1,\r\n  'a\u{1b}[2J' ", 100), "SELECT 1, 'a\\u{1b}[2J'");
        assert_eq!(shown_line("SELECT    1", 8), "SELECT 1");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(shown("żółć", 2), "żó…");
        assert_eq!(shown("żółć", 4), "żółć");
    }
}
