//! A line of output whose every piece is escaped when it is put in, so that no text from a database can move the cursor,
//! fake another line or hide itself.

use console::{Style, measure_text_width};

/// What a piece of text means; colours follow from it, and only at the very end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Strong,
    Dim,
    Good,
    Bad,
    Warn,
    Busy,
}

/// One line for a terminal or a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    pieces: Vec<(Tone, String)>,
}

impl Line {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn of(tone: Tone, text: impl AsRef<str>) -> Self {
        Self::new().with(tone, text)
    }

    #[must_use]
    pub fn with(mut self, tone: Tone, text: impl AsRef<str>) -> Self {
        self.push(tone, text);
        self
    }

    #[must_use]
    pub fn plain(self, text: impl AsRef<str>) -> Self {
        self.with(Tone::Plain, text)
    }

    #[must_use]
    pub fn dim(self, text: impl AsRef<str>) -> Self {
        self.with(Tone::Dim, text)
    }

    #[must_use]
    pub fn strong(self, text: impl AsRef<str>) -> Self {
        self.with(Tone::Strong, text)
    }

    /// Puts another line behind this one.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.pieces.extend(other.pieces);
        self
    }

    /// Puts spaces in front.
    #[must_use]
    pub fn indented(mut self, by: usize) -> Self {
        if by > 0 {
            self.pieces.insert(0, (Tone::Plain, " ".repeat(by)));
        }
        self
    }

    pub fn push(&mut self, tone: Tone, text: impl AsRef<str>) {
        let text = escaped(text.as_ref());
        if text.is_empty() {
            return;
        }
        match self.pieces.last_mut() {
            Some((last, piece)) if *last == tone => piece.push_str(&text),
            _ => self.pieces.push((tone, text)),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// In columns of a terminal.
    #[must_use]
    pub fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| measure_text_width(text)).sum()
    }

    /// Cut to so many columns, with an ellipsis where something is missing.
    #[must_use]
    pub fn cut(self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut left = width.saturating_sub(1);
        let mut pieces = Vec::new();
        for (tone, text) in self.pieces {
            let head = head_of(&text, left);
            let whole = head.len() == text.len();
            left -= measure_text_width(head);
            pieces.push((tone, head.to_owned()));
            if !whole {
                break;
            }
        }
        if width > 0 {
            pieces.push((Tone::Dim, "…".to_owned()));
        }
        Self { pieces }
    }

    /// This line and another at the right edge. The left one is cut where both do not fit.
    #[must_use]
    pub fn and_right(self, right: Self, width: usize) -> Self {
        let room = width.saturating_sub(right.width() + 2);
        if right.is_empty() {
            return self.cut(width);
        }
        let left = self.cut(room);
        let gap = width.saturating_sub(left.width() + right.width());
        left.plain(" ".repeat(gap)).then(right).cut(width)
    }

    /// Broken at spaces into lines of at most so many columns; all but the first are indented by `hang`.
    #[must_use]
    pub fn wrapped(self, width: usize, hang: usize) -> Vec<Self> {
        let room = width.max(hang + 10);
        let mut lines = Vec::new();
        let mut line = Self::new();
        let mut used = 0;
        for (tone, text) in &self.pieces {
            for word in text.split_inclusive(' ') {
                for part in short_parts(word, room - hang) {
                    let needed = measure_text_width(part.trim_end());
                    if used > 0 && used + needed > room {
                        lines.push(std::mem::take(&mut line).trimmed());
                        line = Self::new().indented(hang);
                        used = hang;
                    }
                    line.push(*tone, part);
                    used += measure_text_width(part);
                }
            }
        }
        lines.push(line.trimmed());
        lines
    }

    /// As text, with ANSI colours or without.
    #[must_use]
    pub fn paint(&self, colours: bool) -> String {
        let piece = |(tone, text): &(Tone, String)| match style_of(*tone) {
            Some(style) if colours => style.force_styling(true).apply_to(text).to_string(),
            _ => text.clone(),
        };
        self.pieces.iter().map(piece).collect()
    }

    fn trimmed(mut self) -> Self {
        if let Some((_, last)) = self.pieces.last_mut() {
            last.truncate(last.trim_end().len());
        }
        self
    }
}

/// Makes everything visible that a terminal would obey: control characters and those that turn the writing direction.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(' '),
            '\r' => {}
            '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {
                shown.extend(c.escape_unicode());
            }
            c if c.is_control() => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// All lines as one text, without colours: what the snapshots look at and what goes into a file.
#[must_use]
pub fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.paint(false) + "\n").collect()
}

fn style_of(tone: Tone) -> Option<Style> {
    match tone {
        Tone::Plain => None,
        Tone::Strong => Some(Style::new().bold()),
        Tone::Dim => Some(Style::new().dim()),
        Tone::Good => Some(Style::new().green()),
        Tone::Bad => Some(Style::new().red().bold()),
        Tone::Warn => Some(Style::new().yellow()),
        Tone::Busy => Some(Style::new().cyan()),
    }
}

/// The longest beginning that is no wider than that.
fn head_of(text: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += measure_text_width(c.encode_utf8(&mut [0; 4]));
        if used > width {
            return &text[..at];
        }
    }
    text
}

/// A word wider than a line, in pieces that fit.
fn short_parts(word: &str, width: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = word;
    while measure_text_width(rest.trim_end()) > width {
        let head = head_of(rest, width.max(2));
        parts.push(head);
        rest = &rest[head.len()..];
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_reaches_the_terminal_unescaped() {
        let line = Line::of(Tone::Bad, "\u{1b}[2Jgone\u{7}\r\n\u{9b}31m\u{202e}txt.exe");
        let painted = line.paint(false);
        assert_eq!(painted, "\\u{1b}[2Jgone\\u{7} \\u{9b}31m\\u{202e}txt.exe");
        assert!(line.paint(true).starts_with("\u{1b}[31m\u{1b}[1m\\u{1b}[2J"), "{:?}", line.paint(true));
    }

    #[test]
    fn a_cut_line_counts_columns_and_not_bytes() {
        let line = Line::of(Tone::Strong, "日本語").plain(" text");
        assert_eq!(line.width(), 11);
        assert_eq!(line.clone().cut(11).paint(false), "日本語 text");
        assert_eq!(line.clone().cut(6).paint(false), "日本…");
        assert_eq!(line.clone().cut(5).paint(false), "日本…");
        assert_eq!(line.cut(0).paint(false), "");
    }

    #[test]
    fn the_right_side_stays_when_the_left_is_too_long() {
        let row = |left: &str, width| {
            Line::new().plain(left).and_right(Line::new().dim("1.2 s"), width).paint(false)
        };
        assert_eq!(row("verify", 20), "verify         1.2 s");
        assert_eq!(row("a very long name indeed", 20), "a very long …  1.2 s");
        assert_eq!(row("verify", 4), "1.2…");
    }

    #[test]
    fn wrapped_text_keeps_its_words_and_cuts_only_what_never_fits() {
        let line = Line::of(Tone::Bad, "error: ").plain("the column is there already in the table");
        assert_eq!(text(&line.wrapped(24, 2)), "error: the column is\n  there already in the\n  table\n");
        let long = Line::new().plain("x".repeat(30));
        assert!(long.wrapped(12, 2).iter().all(|l| l.width() <= 12));
    }
}
