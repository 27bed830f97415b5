//! The comments of a piece of SQL, for directives that are written in them.

use super::lexer::{Lexer, Token, TokenKind};

/// One comment, its dashes or stars included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comment<'a> {
    /// Byte offset into the text that was searched.
    pub start: usize,
    pub text: &'a str,
}

impl<'a> Comment<'a> {
    /// What stands inside, without its marks and the space around it.
    #[must_use]
    pub fn content(&self) -> &'a str {
        let inner = match self.text.strip_prefix("/*") {
            Some(block) => block.strip_suffix("*/").unwrap_or(block),
            None => self.text.trim_start_matches("--"),
        };
        inner.trim()
    }
}

/// Every comment of `text`, in order; what only looks like one inside a literal is none. Works on a statement's
/// text, on its leading comments, and on what follows the last statement of a file.
pub fn comments(text: &str) -> impl Iterator<Item = Comment<'_>> {
    let mut lexer = Lexer::new(text);
    std::iter::from_fn(move || {
        loop {
            let Token { kind, start, end } = lexer.token_or_comment().ok()??;
            if matches!(kind, TokenKind::LineComment | TokenKind::BlockComment) {
                return Some(Comment { start, text: &text[start..end] });
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_comments_and_nothing_that_only_looks_like_one() {
        let text = "-- stopover: backfill\r\nSELECT '-- no', $$/* no */$$ /* yes /* nested */ */ -- end";
        let found: Vec<_> = comments(text).map(|c| (c.start, c.content())).collect();
        assert_eq!(found, [(0, "stopover: backfill"), (52, "yes /* nested */"), (75, "end")]);
    }
}
