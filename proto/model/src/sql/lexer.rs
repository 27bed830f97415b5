//! The scanner: PostgreSQL 15's lexical rules as psql applies them, over bytes, without a copy.
//!
//! psql reads a file line by line, and so two of its habits differ from the server's, and are kept here since
//! they decide where psql ends a statement: `E'a'` continued on the next line goes on as a standard string, and a
//! lone carriage return (not one before a line feed) does continue it. `standard_conforming_strings` is taken as on.

/// One token. `start..end` are byte offsets into the lexer's text, always on character borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// An identifier or key word without quotes.
    Word,
    /// `"..."` and `U&"..."`.
    QuotedIdentifier,
    /// `'...'` in any of its forms, the prefix letter included.
    String,
    /// `$tag$...$tag$`; the length of the tag with both dollars.
    DollarString {
        tag: u32,
    },
    /// A number or `$1`, with whatever junk psql takes as part of it.
    Number,
    /// `:name`, which psql would replace if it had such a variable. Never counted as a word.
    Variable,
    /// Any other single byte, of an operator too.
    Symbol(u8),
    LineComment,
    BlockComment,
}

/// A quote or comment that reaches the end of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) start: usize,
    pub(crate) what: OpenKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenKind {
    String,
    QuotedIdentifier,
    Comment,
    /// The length of the tag with both dollars.
    DollarQuote {
        tag: u32,
    },
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    pub(crate) pos: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, pos: 0 }
    }

    pub(crate) fn at(text: &'a str, pos: usize) -> Self {
        Self { text, pos }
    }

    /// The next token that is not a comment.
    pub(crate) fn token(&mut self) -> Result<Option<Token>, Open> {
        loop {
            match self.token_or_comment()? {
                Some(Token { kind: TokenKind::LineComment | TokenKind::BlockComment, .. }) => {}
                other => return Ok(other),
            }
        }
    }

    pub(crate) fn token_or_comment(&mut self) -> Result<Option<Token>, Open> {
        let bytes = self.text.as_bytes();
        while self.peek(0).is_some_and(is_space) {
            self.pos += 1;
        }
        let start = self.pos;
        let Some(first) = self.peek(0) else { return Ok(None) };
        let kind = match first {
            _ if is_word_start(first) => self.word(start, first)?,
            b'\'' => self.string(start, 1)?,
            b'"' => self.quoted_identifier(start, 1)?,
            b'$' => self.dollar(start)?,
            b'-' if self.peek(1) == Some(b'-') => {
                self.pos = find(bytes, start, |b| b == b'\n' || b == b'\r').unwrap_or(bytes.len());
                TokenKind::LineComment
            }
            b'/' if self.peek(1) == Some(b'*') => self.block_comment(start)?,
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_some_and(|b| b.is_ascii_digit()) => self.number(),
            b'.' if self.peek(1) == Some(b'.') => {
                self.pos += 2;
                TokenKind::Symbol(b'.')
            }
            b':' => self.colon(),
            _ => {
                self.pos += 1;
                TokenKind::Symbol(first)
            }
        };
        Ok(Some(Token { kind, start, end: self.pos }))
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.pos + ahead).copied()
    }

    fn word(&mut self, start: usize, first: u8) -> Result<TokenKind, Open> {
        match (first, self.peek(1)) {
            (b'e' | b'E', Some(b'\'')) => return self.escape_string(start),
            (b'b' | b'B' | b'x' | b'X' | b'n' | b'N', Some(b'\'')) => return self.string(start, 2),
            (b'u' | b'U', Some(b'&')) => match self.peek(2) {
                Some(b'\'') => return self.string(start, 3),
                Some(b'"') => return self.quoted_identifier(start, 3),
                _ => {
                    self.pos += 1;
                    return Ok(TokenKind::Symbol(first));
                }
            },
            _ => {}
        }
        self.skip_while(is_word_part);
        Ok(TokenKind::Word)
    }

    /// A string in which only a quote is special. Two quotes in a row are two strings side by side to this
    /// scanner, which ends them where they would end as one.
    fn string(&mut self, start: usize, prefix: usize) -> Result<TokenKind, Open> {
        self.quoted(start, prefix, b'\'', OpenKind::String)?;
        Ok(TokenKind::String)
    }

    fn quoted_identifier(&mut self, start: usize, prefix: usize) -> Result<TokenKind, Open> {
        self.quoted(start, prefix, b'"', OpenKind::QuotedIdentifier)?;
        Ok(TokenKind::QuotedIdentifier)
    }

    fn quoted(&mut self, start: usize, prefix: usize, quote: u8, what: OpenKind) -> Result<(), Open> {
        let bytes = self.text.as_bytes();
        self.pos = start + prefix;
        loop {
            let Some(close) = find(bytes, self.pos, |b| b == quote) else {
                return Err(Open { start, what });
            };
            self.pos = close + 1;
            if self.peek(0) != Some(quote) {
                return Ok(());
            }
            self.pos += 1;
        }
    }

    fn escape_string(&mut self, start: usize) -> Result<TokenKind, Open> {
        let bytes = self.text.as_bytes();
        self.pos = start + 2;
        loop {
            let Some(stop) = find(bytes, self.pos, |b| b == b'\'' || b == b'\\') else {
                return Err(Open { start, what: OpenKind::String });
            };
            if bytes[stop] == b'\\' || bytes.get(stop + 1) == Some(&b'\'') {
                self.pos = stop + 2;
            } else if let Some(again) = continued_string(bytes, stop + 1) {
                self.pos = again + 1;
            } else {
                self.pos = stop + 1;
                return Ok(TokenKind::String);
            }
        }
    }

    fn dollar(&mut self, start: usize) -> Result<TokenKind, Open> {
        let bytes = self.text.as_bytes();
        self.pos = start + 1;
        if self.peek(0).is_some_and(|b| b.is_ascii_digit()) {
            self.skip_while(|b| b.is_ascii_digit());
            self.junk();
            return Ok(TokenKind::Number);
        }
        let tag_end = match bytes.get(start + 1) {
            Some(&b) if is_word_start(b) => {
                bytes[start + 1..].iter().position(|&b| !is_word_part(b) || b == b'$').map(|n| start + 1 + n)
            }
            _ => Some(start + 1),
        };
        let Some(tag_end) = tag_end.filter(|&end| bytes.get(end) == Some(&b'$')) else {
            return Ok(TokenKind::Symbol(b'$'));
        };
        let delimiter = &bytes[start..=tag_end];
        let tag = u32::try_from(delimiter.len()).unwrap_or(u32::MAX);
        let mut from = tag_end + 1;
        while let Some(dollar) = find(bytes, from, |b| b == b'$') {
            if bytes[dollar..].starts_with(delimiter) {
                self.pos = dollar + delimiter.len();
                return Ok(TokenKind::DollarString { tag });
            }
            from = dollar + 1;
        }
        Err(Open { start, what: OpenKind::DollarQuote { tag } })
    }

    fn block_comment(&mut self, start: usize) -> Result<TokenKind, Open> {
        let bytes = self.text.as_bytes();
        let mut depth = 1_usize;
        self.pos = start + 2;
        while depth > 0 {
            let Some(at) = find(bytes, self.pos, |b| b == b'*' || b == b'/') else {
                return Err(Open { start, what: OpenKind::Comment });
            };
            self.pos = at + 2;
            match (bytes[at], bytes.get(at + 1)) {
                (b'*', Some(b'/')) => depth -= 1,
                (b'/', Some(b'*')) => depth += 1,
                _ => self.pos = at + 1,
            }
        }
        Ok(TokenKind::BlockComment)
    }

    /// Digits, one point unless two follow each other, and an exponent. One without a sign is read as a word that
    /// follows the number, as psql does.
    fn number(&mut self) -> TokenKind {
        self.skip_while(|b| b.is_ascii_digit());
        if self.peek(0) == Some(b'.') {
            if self.peek(1) == Some(b'.') {
                return TokenKind::Number;
            }
            self.pos += 1;
            self.skip_while(|b| b.is_ascii_digit());
        }
        if matches!((self.peek(0), self.peek(1)), (Some(b'e' | b'E'), Some(b'+' | b'-'))) {
            self.pos += 2;
            if !self.peek(0).is_some_and(|b| b.is_ascii_digit()) {
                return TokenKind::Number;
            }
            self.skip_while(|b| b.is_ascii_digit());
        }
        self.junk();
        TokenKind::Number
    }

    /// A word that follows a number without a gap belongs to it; the server refuses both together.
    fn junk(&mut self) {
        if self.peek(0).is_some_and(is_word_start) {
            self.skip_while(is_word_part);
        }
    }

    fn colon(&mut self) -> TokenKind {
        self.pos += 1;
        match self.peek(0) {
            // The second colon of a cast must not begin a variable.
            Some(b':') => {
                self.pos += 1;
                TokenKind::Symbol(b':')
            }
            Some(b) if is_word_part(b) && b != b'$' => {
                self.skip_while(|b| is_word_part(b) && b != b'$');
                TokenKind::Variable
            }
            _ => TokenKind::Symbol(b':'),
        }
    }

    fn skip_while(&mut self, belongs: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.pos..];
        self.pos += rest.iter().position(|&b| !belongs(b)).unwrap_or(rest.len());
    }
}

/// The first byte at or after `from` for which `wanted` holds. Whole chunks are tested without a branch for each
/// byte, which the compiler turns into vector instructions.
pub(crate) fn find(bytes: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let (chunks, tail) = rest.as_chunks::<32>();
    let mut base = from;
    for chunk in chunks {
        if chunk.iter().fold(false, |hit, &b| hit | wanted(b)) {
            return chunk.iter().position(|&b| wanted(b)).map(|n| base + n);
        }
        base += chunk.len();
    }
    tail.iter().position(|&b| wanted(b)).map(|n| base + n)
}

/// Where the string that just ended goes on: white space and comments with a carriage return among them, on
/// the same line of the file, then a quote.
fn continued_string(bytes: &[u8], mut pos: usize) -> Option<usize> {
    let mut returned = false;
    loop {
        match *bytes.get(pos)? {
            b' ' | b'\t' | b'\x0c' => pos += 1,
            b'\r' => {
                returned = true;
                pos += 1;
            }
            b'-' if bytes.get(pos + 1) == Some(&b'-') => {
                pos = find(bytes, pos, |b| b == b'\n' || b == b'\r').filter(|&end| bytes[end] == b'\r')?;
            }
            b'\'' if returned => return Some(pos),
            _ => return None,
        }
    }
}

pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')
}

fn is_word_start(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & WORD_START != 0
}

fn is_word_part(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & WORD_PART != 0
}

const WORD_START: u8 = 1;
const WORD_PART: u8 = 2;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte: u8 = 0;
    loop {
        classes[byte as usize] = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80..=0xff => WORD_START | WORD_PART,
            b'0'..=b'9' | b'$' => WORD_PART,
            _ => 0,
        };
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    classes
};
