//! A reader of one statement's tokens, without its comments.
//!
//! It reads on demand and copies nothing, so the kind of a statement of many megabytes is found in its first words.

use super::lexer::{Lexer, Token, TokenKind};
use super::name::Name;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, lexer: Lexer::new(text) }
    }

    pub(crate) fn next(&mut self) -> Option<Token> {
        self.lexer.token().ok().flatten()
    }

    pub(crate) fn peek(&self) -> Option<Token> {
        let mut ahead = *self;
        ahead.next()
    }

    pub(crate) fn text(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    /// Behind the last token taken.
    pub(crate) fn position(&self) -> usize {
        self.lexer.pos
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.peek().is_none()
    }

    /// Takes the next token if it is this key word.
    pub(crate) fn word(&mut self, word: &str) -> bool {
        self.words(&[word])
    }

    /// Takes the next tokens if they are these key words, or none of them.
    pub(crate) fn words(&mut self, words: &[&str]) -> bool {
        let mut ahead = *self;
        let all = words.iter().all(|word| {
            ahead
                .next()
                .is_some_and(|t| t.kind == TokenKind::Word && ahead.text(t).eq_ignore_ascii_case(word))
        });
        if all {
            *self = ahead;
        }
        all
    }

    /// Takes the next token if it is one of these key words.
    pub(crate) fn any_word(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.word(word))
    }

    /// The next token in upper case, if it is a key word or an unquoted identifier.
    pub(crate) fn peek_word(&self) -> Option<String> {
        let token = self.peek().filter(|t| t.kind == TokenKind::Word)?;
        Some(self.text(token).to_ascii_uppercase())
    }

    pub(crate) fn symbol(&mut self, symbol: u8) -> bool {
        let mut ahead = *self;
        let found = ahead.next().is_some_and(|t| t.kind == TokenKind::Symbol(symbol));
        if found {
            *self = ahead;
        }
        found
    }

    /// One identifier, decoded. Whether it is a reserved word is the server's to say.
    pub(crate) fn identifier(&mut self) -> Option<String> {
        let mut ahead = *self;
        let token = ahead.next()?;
        let decoded = decode_identifier(token, self.text(token))?;
        *self = ahead;
        Some(decoded)
    }

    /// `name`, `schema.name` or `database.schema.name`.
    pub(crate) fn name(&mut self) -> Option<Name> {
        let mut ahead = *self;
        let mut name = Name { schema: None, name: ahead.identifier()? };
        while ahead.symbol(b'.') {
            let part = ahead.identifier()?;
            name = Name { schema: Some(name.name), name: part };
        }
        *self = ahead;
        Some(name)
    }

    /// `name [*], name [*], ...`
    pub(crate) fn names(&mut self) -> Vec<Name> {
        let mut names = Vec::new();
        loop {
            self.word("only");
            let Some(name) = self.name() else { return names };
            names.push(name);
            self.symbol(b'*');
            if !self.symbol(b',') {
                return names;
            }
        }
    }

    /// The value of the next token, if it is a string.
    pub(crate) fn string(&mut self) -> Option<String> {
        let mut ahead = *self;
        let token = ahead.next()?;
        let value = decode_string(token, self.text(token))?;
        *self = ahead;
        Some(value)
    }

    /// Steps over a parenthesised group, if one comes next, and gives what stands inside it.
    pub(crate) fn skip_parentheses(&mut self) -> Option<&'a str> {
        let mut ahead = *self;
        let open = ahead.next().filter(|t| t.kind == TokenKind::Symbol(b'('))?;
        let mut depth = 1_usize;
        while let Some(token) = ahead.next() {
            match token.kind {
                TokenKind::Symbol(b'(') => depth += 1,
                TokenKind::Symbol(b')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                *self = ahead;
                return Some(&self.text[open.end..token.start]);
            }
        }
        None
    }

    /// The next token outside parentheses and brackets, each group of them stepped over.
    pub(crate) fn next_at_top(&mut self) -> Option<Token> {
        let mut depth = 0_usize;
        while let Some(token) = self.next() {
            match token.kind {
                TokenKind::Symbol(b'(' | b'[') => depth += 1,
                TokenKind::Symbol(b')' | b']') => depth = depth.saturating_sub(1),
                _ if depth == 0 => return Some(token),
                _ => {}
            }
        }
        None
    }

    /// Whether these key words follow each other anywhere outside parentheses in what is left.
    pub(crate) fn has_words(mut self, words: &[&str]) -> bool {
        loop {
            if self.words(words) {
                return true;
            }
            let before = self;
            if self.skip_parentheses().is_none() && self.next().is_none() {
                return false;
            }
            debug_assert!(before.lexer.pos < self.lexer.pos, "a cursor moves forward");
        }
    }

    /// What is left, from the next token on.
    pub(crate) fn rest(&self) -> &'a str {
        self.peek().map_or("", |token| &self.text[token.start..])
    }
}

/// The name that an identifier token stands for.
pub(crate) fn decode_identifier(token: Token, text: &str) -> Option<String> {
    match token.kind {
        TokenKind::Word => Some(text.to_ascii_lowercase()),
        TokenKind::QuotedIdentifier => {
            let inner = text.get(text.find('"')? + 1..text.len() - 1)?.replace("\"\"", "\"");
            let name = if text.starts_with('"') { inner } else { decode_unicode(&inner) };
            Some(name).filter(|name| !name.is_empty())
        }
        _ => None,
    }
}

/// The value of a string token. Escapes of `E''` other than of a quote, a backslash and the control letters stay
/// as written.
pub(crate) fn decode_string(token: Token, text: &str) -> Option<String> {
    match token.kind {
        TokenKind::DollarString { tag } => {
            let tag = usize::try_from(tag).ok()?;
            text.get(tag..text.len() - tag).map(str::to_owned)
        }
        TokenKind::String => {
            let inner = text.get(text.find('\'')? + 1..text.len() - 1)?;
            Some(match text.as_bytes()[0] {
                b'e' | b'E' => decode_escapes(inner),
                b'u' | b'U' => decode_unicode(&inner.replace("''", "'")),
                _ => inner.replace("''", "'"),
            })
        }
        _ => None,
    }
}

fn decode_escapes(inner: &str) -> String {
    let mut value = String::with_capacity(inner.len());
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek().copied()) {
            ('\'', Some('\'')) => value.push('\''),
            ('\\', Some('n')) => value.push('\n'),
            ('\\', Some('r')) => value.push('\r'),
            ('\\', Some('t')) => value.push('\t'),
            ('\\', Some(escaped @ ('\'' | '\\'))) => value.push(escaped),
            _ => {
                value.push(c);
                continue;
            }
        }
        chars.next();
    }
    value
}

/// `\XXXX` and `\+XXXXXX` with the default escape character; anything else stays as written.
fn decode_unicode(inner: &str) -> String {
    let mut value = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        value.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let (skip, digits) = if escape.starts_with('+') { (1, 6) } else { (0, 4) };
        let code = escape.get(skip..skip + digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        if let Some(c) = code.and_then(char::from_u32) {
            value.push(c);
            rest = &escape[skip + digits..];
        } else {
            value.push('\\');
            rest = escape.strip_prefix('\\').unwrap_or(escape);
        }
    }
    value + rest
}
