//! A statement's tokens with the depth at which each stands, and a reader over them.

use crate::sql::cursor::decode_identifier;
use crate::sql::lexer::{Lexer, Token, TokenKind};

/// One token; an opening parenthesis stands at the depth around its group, as does the closing one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tok {
    token: Token,
    pub(super) depth: usize,
}

pub(super) struct Tokens<'a> {
    pub(super) text: &'a str,
    all: Vec<Tok>,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut lexer = Lexer::new(text);
        let (mut all, mut depth) = (Vec::new(), 0_usize);
        while let Ok(Some(token)) = lexer.token() {
            if matches!(token.kind, TokenKind::Symbol(b')' | b']')) {
                depth = depth.saturating_sub(1);
            }
            all.push(Tok { token, depth });
            if matches!(token.kind, TokenKind::Symbol(b'(' | b'[')) {
                depth += 1;
            }
        }
        Self { text, all }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn start(&self, at: usize) -> usize {
        self.all.get(at).map_or(self.text.len(), |t| t.token.start)
    }

    /// Behind the token; the start of the text where there is none.
    pub(super) fn end(&self, at: usize) -> usize {
        self.all.get(at).map_or(0, |t| t.token.end)
    }

    pub(super) fn depth(&self, at: usize) -> usize {
        self.all.get(at).map_or(0, |t| t.depth)
    }

    pub(super) fn kind(&self, at: usize) -> Option<TokenKind> {
        self.all.get(at).map(|t| t.token.kind)
    }

    pub(super) fn text_of(&self, at: usize) -> &'a str {
        self.all.get(at).map_or("", |t| &self.text[t.token.start..t.token.end])
    }

    /// Whether the token is this key word.
    pub(super) fn is(&self, at: usize, word: &str) -> bool {
        self.kind(at) == Some(TokenKind::Word) && self.text_of(at).eq_ignore_ascii_case(word)
    }

    pub(super) fn is_any(&self, at: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(at, word))
    }

    pub(super) fn symbol(&self, at: usize, symbol: u8) -> bool {
        self.kind(at) == Some(TokenKind::Symbol(symbol))
    }

    pub(super) fn identifier(&self, at: usize) -> Option<String> {
        let token = self.all.get(at)?.token;
        decode_identifier(token, self.text_of(at))
    }

    /// The token behind the group that opens at `at`; `at` itself where none does.
    pub(super) fn behind_group(&self, at: usize) -> usize {
        if !self.symbol(at, b'(') {
            return at;
        }
        let depth = self.depth(at);
        (at + 1..self.len())
            .find(|i| self.symbol(*i, b')') && self.depth(*i) == depth)
            .map_or(self.len(), |i| i + 1)
    }

    /// The first token from `from` on, outside every group, for which `wanted` holds.
    pub(super) fn find_at_top(&self, from: usize, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        (from..self.len()).find(|i| self.depth(*i) == 0 && wanted(*i))
    }

    /// `FROM` as a clause, and not as part of `IS DISTINCT FROM`.
    pub(super) fn is_from_clause(&self, at: usize) -> bool {
        let compared = at >= 2 && self.is(at - 1, "distinct") && self.is_any(at - 2, &["is", "not"]);
        self.is(at, "from") && !compared
    }

    /// Whether a query among the tokens `range` reads a table of this name.
    pub(super) fn reads_table(&self, mut range: std::ops::Range<usize>, table: &str) -> Option<usize> {
        range.find(|&at| {
            if self.identifier(at).as_deref() != Some(table) || self.symbol(at + 1, b'.') {
                return false;
            }
            let first = if at >= 2 && self.symbol(at - 1, b'.') { at - 2 } else { at };
            first.checked_sub(1).is_some_and(|before| {
                self.is_from_clause(before)
                    || self.is_any(before, &["join", "only", "using", "lateral"])
                    || (self.symbol(before, b',') && self.is_in_from_list(before))
            })
        })
    }

    /// Whether the comma at `at` stands between the tables of a FROM.
    fn is_in_from_list(&self, at: usize) -> bool {
        let depth = self.depth(at);
        let clause = (0..at).rev().take_while(|i| self.depth(*i) >= depth).find(|i| {
            self.depth(*i) == depth
                && (self.is_any(*i, &["select", "where", "set", "using", "group", "order"])
                    || self.is_from_clause(*i))
        });
        clause.is_some_and(|i| self.is_from_clause(i) || self.is(i, "using"))
    }
}
