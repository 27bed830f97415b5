//! What a DO block's body does to the transaction that it runs in.

use super::cursor::{Cursor, decode_string};
use super::lexer::{Token, TokenKind};

/// A DO statement taken apart.
pub(super) struct DoBlock {
    /// In lower case.
    pub(super) language: String,
    pub(super) body: String,
}

impl DoBlock {
    /// Reads what stands behind DO: the language and the code, in any order.
    pub(super) fn read(mut at: Cursor<'_>) -> Self {
        let mut block = Self { language: "plpgsql".to_owned(), body: String::new() };
        while !at.is_at_end() {
            if at.word("language") {
                if let Some(language) = at.string().map(|s| s.to_lowercase()).or_else(|| at.identifier()) {
                    block.language = language;
                }
            } else if let Some(body) = at.string() {
                block.body = body;
            } else {
                at.next();
            }
        }
        block
    }

    /// How the block may end the transaction that it runs in, if it may.
    pub(super) fn ends_transaction(&self) -> Option<TransactionEnd> {
        if self.language == "plpgsql" {
            return ends_transaction(&self.body);
        }
        let body = self.body.to_ascii_lowercase();
        (body.contains("commit") || body.contains("rollback")).then_some(TransactionEnd::OtherLanguage)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransactionEnd {
    Commit,
    Rollback,
    /// A procedure is called, which may commit.
    Call,
    /// The body is in a language that is not understood here, and mentions a commit.
    OtherLanguage,
}

fn ends_transaction(body: &str) -> Option<TransactionEnd> {
    let mut at = Cursor::new(body);
    let mut at_statement_start = true;
    let mut before: Option<Token> = None;
    while let Some(token) = at.next() {
        let text = at.text(token);
        if at_statement_start && token.kind == TokenKind::Word {
            let ends = || ends_statement(at);
            if text.eq_ignore_ascii_case("commit") && ends() {
                return Some(TransactionEnd::Commit);
            }
            if text.eq_ignore_ascii_case("rollback") && ends() {
                return Some(TransactionEnd::Rollback);
            }
            if text.eq_ignore_ascii_case("call") && at.peek().is_some_and(|t| starts_name(t.kind)) {
                return Some(TransactionEnd::Call);
            }
            if text.eq_ignore_ascii_case("do")
                && let Some(end) = DoBlock::read(until_semicolon(at)).ends_transaction()
            {
                return Some(end);
            }
        }
        at_statement_start = match token.kind {
            TokenKind::Symbol(b';') => true,
            TokenKind::Symbol(b'>') => closes_label(before, token),
            TokenKind::Word => ["begin", "then", "else", "loop"].iter().any(|w| text.eq_ignore_ascii_case(w)),
            _ => false,
        };
        before = Some(token);
    }
    None
}

/// COMMIT and ROLLBACK stand alone or with AND [NO] CHAIN; a variable of that name is followed by something else.
fn ends_statement(mut at: Cursor<'_>) -> bool {
    at.is_at_end() || at.symbol(b';') || at.word("and") || at.any_word(&["work", "transaction"])
}

fn starts_name(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Word | TokenKind::QuotedIdentifier)
}

fn closes_label(before: Option<Token>, token: Token) -> bool {
    before.is_some_and(|t| t.kind == TokenKind::Symbol(b'>') && t.end == token.start)
}

fn until_semicolon(at: Cursor<'_>) -> Cursor<'_> {
    let rest = at.rest();
    let mut ahead = Cursor::new(rest);
    let mut end = rest.len();
    while let Some(token) = ahead.next() {
        if token.kind == TokenKind::Symbol(b';') {
            end = token.start;
            break;
        }
    }
    Cursor::new(&rest[..end])
}

/// The texts of every string in a statement, for what must look into literals on purpose.
pub(super) fn strings(text: &str) -> impl Iterator<Item = (TokenKind, String)> {
    let mut at = Cursor::new(text);
    std::iter::from_fn(move || {
        loop {
            let token = at.next()?;
            if let Some(value) = decode_string(token, at.text(token)) {
                return Some((token.kind, value));
            }
        }
    })
}
