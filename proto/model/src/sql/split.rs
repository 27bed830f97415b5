//! Cuts a file into its statements where psql 15 would send them.
//!
//! What psql sends also holds the block comments before the first token and the comments before the `;`, and
//! lacks empty lines; the tokens are the same. Three things are refused here that psql would send as they
//! are, each one certain to be an error at the server, after the statements before it have taken effect: a quote or
//! comment that is never closed, an open parenthesis at the end of the file, and `BEGIN ATOMIC` without `END`.
//! psql variables (`:name`) are never replaced.

use super::copy::{self, CopyInput};
use super::error::{SplitError, Unclosed};
use super::kind::StatementKind;
use super::lexer::{Lexer, Open, OpenKind, Token, TokenKind};
use super::psql_command;
use super::transaction::{Transactionality, transactionality};

/// One statement of a file, as a slice of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Byte offset of the first token.
    pub start: usize,
    /// Byte offset behind the last token, the `;` not included.
    pub end: usize,
    /// Byte offset where the file goes on: behind the `;`, and behind COPY data.
    pub resume: usize,
    /// Line of the first token, counted from 1.
    pub line: u32,
    /// `start..end` of the file: what is sent to the server.
    pub text: &'a str,
    /// What stands between the former statement and this one: comments, white space, empty statements.
    pub leading_comments: &'a str,
    /// The lines below `COPY ... FROM STDIN`, without the line `\.` that ends them.
    pub copy_data: Option<&'a str>,
}

impl Statement<'_> {
    /// What the statement does, by its own tokens.
    #[must_use]
    pub fn kind(&self) -> StatementKind {
        super::classify::classify(self.text)
    }

    /// Whether it may run inside one transaction with the file's other statements.
    #[must_use]
    pub fn transactionality(&self) -> Transactionality {
        transactionality(&self.kind(), self.text)
    }
}

/// Cuts `sql` into statements. A byte order mark at the start is skipped, empty statements are dropped, and a last
/// statement needs no `;`.
pub fn split(sql: &str) -> Result<Vec<Statement<'_>>, SplitError> {
    if sql.as_bytes().contains(&0) {
        let at = sql.find('\0').unwrap_or_default();
        return Err(SplitError::Nul { line: line_of(sql, at) });
    }
    Splitter::new(sql).run()
}

/// The line of a byte offset, counted from 1.
pub(super) fn line_of(sql: &str, offset: usize) -> u32 {
    count_lines(&sql.as_bytes()[..offset]).saturating_add(1)
}

fn count_lines(bytes: &[u8]) -> u32 {
    // Counted in small pieces, so that the compiler can add many bytes at a time.
    bytes.chunks(255).map(|chunk| u32::from(chunk.iter().fold(0_u8, |n, &b| n + u8::from(b == b'\n')))).sum()
}

struct Splitter<'a> {
    sql: &'a str,
    lexer: Lexer<'a>,
    /// While the rest of a line behind COPY is read: where that line ends, and where the file goes on after the data.
    detour: Option<Detour>,
    statements: Vec<Statement<'a>>,
    open: Option<OpenStatement>,
    /// The end of the former statement, and a place whose line is known.
    resume: usize,
    counted: usize,
    line: u32,
}

#[derive(Clone, Copy)]
struct Detour {
    line_end: usize,
    resume: usize,
}

/// A statement whose end has not been seen.
struct OpenStatement {
    start: usize,
    end: usize,
    parentheses: usize,
    /// Where the outermost open parenthesis stands.
    parenthesis: usize,
    routine: RoutineBody,
    is_copy: bool,
}

impl<'a> Splitter<'a> {
    fn new(sql: &'a str) -> Self {
        let start = if sql.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self {
            sql,
            lexer: Lexer::at(sql, start),
            detour: None,
            statements: Vec::new(),
            open: None,
            resume: start,
            counted: 0,
            line: 1,
        }
    }

    fn run(mut self) -> Result<Vec<Statement<'a>>, SplitError> {
        loop {
            let token = self.lexer.token().map_err(|open| self.unclosed(open))?;
            match token {
                Some(Token { kind: TokenKind::Symbol(b'\\'), start, .. }) => self.psql_command(start)?,
                Some(Token { kind: TokenKind::Symbol(b';'), end, .. }) if self.at_top() => {
                    self.finish(end)?;
                }
                Some(token) => self.extend(token),
                None => match self.detour.take() {
                    Some(detour) => self.leave_line(detour)?,
                    None => break,
                },
            }
        }
        self.end_of_file()
    }

    fn at_top(&self) -> bool {
        self.open.as_ref().is_none_or(|open| open.parentheses == 0 && !open.routine.is_open())
    }

    fn extend(&mut self, token: Token) {
        let word = &self.sql[token.start..token.end];
        let open = self.open.get_or_insert_with(|| OpenStatement {
            start: token.start,
            end: token.end,
            parentheses: 0,
            parenthesis: 0,
            routine: RoutineBody::default(),
            is_copy: token.kind == TokenKind::Word && word.eq_ignore_ascii_case("copy"),
        });
        open.end = token.end;
        match token.kind {
            TokenKind::Symbol(b'(') => {
                if open.parentheses == 0 {
                    open.parenthesis = token.start;
                }
                open.parentheses += 1;
            }
            // One too many closes nothing; the server will say so.
            TokenKind::Symbol(b')') => open.parentheses = open.parentheses.saturating_sub(1),
            TokenKind::Word => open.routine.word(word, token.start, open.parentheses == 0),
            _ => {}
        }
    }

    /// Closes the open statement at its `;` (or at the end of the file), whose end is `semicolon_end`.
    fn finish(&mut self, semicolon_end: usize) -> Result<(), SplitError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let line = self.line_at(open.start);
        let text = &self.sql[open.start..open.end];
        let leading_comments = &self.sql[self.resume..open.start];
        self.resume = semicolon_end;
        let mut copy_data = None;
        if open.is_copy {
            match copy::input_of(text) {
                CopyInput::None => {}
                CopyInput::Binary => return Err(SplitError::BinaryCopy { line }),
                CopyInput::Lines => copy_data = Some(self.take_copy_data(semicolon_end)),
            }
        }
        self.statements.push(Statement {
            start: open.start,
            end: open.end,
            resume: self.resume,
            line,
            text,
            leading_comments,
            copy_data,
        });
        Ok(())
    }

    /// psql takes COPY's data from the line below, and then reads on in the rest of COPY's own line.
    fn take_copy_data(&mut self, semicolon_end: usize) -> &'a str {
        let detour = self.detour.unwrap_or_else(|| {
            let line_end = self.sql[semicolon_end..].find('\n').map_or(self.sql.len(), |n| semicolon_end + n);
            Detour { line_end, resume: (line_end + 1).min(self.sql.len()) }
        });
        let (data_end, resume) = copy::data_end(self.sql, detour.resume);
        self.detour = Some(Detour { resume, ..detour });
        self.lexer = Lexer::at(&self.sql[..detour.line_end], semicolon_end);
        let mut rest_of_line = self.lexer;
        if matches!(rest_of_line.token(), Ok(None)) {
            self.resume = resume;
        }
        &self.sql[detour.resume..data_end]
    }

    fn leave_line(&mut self, detour: Detour) -> Result<(), SplitError> {
        if let Some(open) = &self.open {
            return Err(SplitError::AcrossCopyData { line: line_of(self.sql, open.start) });
        }
        self.resume = detour.resume;
        self.lexer = Lexer::at(self.sql, detour.resume);
        Ok(())
    }

    fn psql_command(&mut self, backslash: usize) -> Result<(), SplitError> {
        let command = psql_command::read(self.sql, backslash);
        if command.may_be_skipped() && self.open.is_none() {
            self.lexer.pos = command.line_end;
            return Ok(());
        }
        Err(SplitError::MetaCommand {
            line: line_of(self.sql, backslash),
            command: command.name.to_owned(),
            hint: command.hint(),
        })
    }

    fn end_of_file(mut self) -> Result<Vec<Statement<'a>>, SplitError> {
        if let Some(open) = &self.open {
            let unclosed = (open.parentheses > 0).then_some((open.parenthesis, Unclosed::Parenthesis));
            let unclosed = unclosed.or(open.routine.open_atomic().map(|at| (at, Unclosed::AtomicBody)));
            if let Some((at, what)) = unclosed {
                return Err(SplitError::Unclosed { line: line_of(self.sql, at), what });
            }
        }
        self.finish(self.sql.len())?;
        Ok(self.statements)
    }

    fn unclosed(&self, open: Open) -> SplitError {
        let line = line_of(self.sql, open.start);
        if self.detour.is_some() {
            return SplitError::AcrossCopyData { line };
        }
        let what = match open.what {
            OpenKind::String => Unclosed::String,
            OpenKind::QuotedIdentifier => Unclosed::QuotedIdentifier,
            OpenKind::Comment => Unclosed::Comment,
            OpenKind::DollarQuote { tag } => {
                let tag = usize::try_from(tag).unwrap_or_default();
                Unclosed::DollarQuote(self.sql[open.start..open.start + tag].to_owned())
            }
        };
        SplitError::Unclosed { line, what }
    }

    fn line_at(&mut self, offset: usize) -> u32 {
        let newer = &self.sql.as_bytes()[self.counted.min(offset)..offset];
        self.line = self.line.saturating_add(count_lines(newer));
        self.counted = self.counted.max(offset);
        self.line
    }
}

/// psql's way to find the `BEGIN ... END` body of an SQL function: by the first four words of the statement, then
/// by counting BEGIN, CASE and END outside parentheses.
#[derive(Default)]
struct RoutineBody {
    words: usize,
    first_letters: [u8; 4],
    depth: usize,
    begin: Option<usize>,
    atomic: bool,
}

impl RoutineBody {
    fn is_open(&self) -> bool {
        self.depth > 0
    }

    /// The open `BEGIN`, if it was followed by ATOMIC. A routine that is merely named "begin" opens a body too
    /// for psql, which then sends the rest of the file at once; the server takes that.
    fn open_atomic(&self) -> Option<usize> {
        self.begin.filter(|_| self.depth > 0 && self.atomic)
    }

    fn word(&mut self, word: &str, start: usize, outside_parentheses: bool) {
        if let Some(letter) = self.first_letters.get_mut(self.words) {
            const HEADS: [&str; 5] = ["create", "function", "procedure", "or", "replace"];
            if let Some(head) = HEADS.iter().find(|head| word.eq_ignore_ascii_case(head)) {
                *letter = head.as_bytes()[0];
            }
        }
        self.words += 1;
        if self.is_routine() && outside_parentheses {
            self.count(word, start);
        }
    }

    fn count(&mut self, word: &str, start: usize) {
        if word.eq_ignore_ascii_case("begin") {
            if self.depth == 0 {
                self.begin = Some(start);
                self.atomic = false;
            }
            self.depth += 1;
        } else if word.eq_ignore_ascii_case("atomic") {
            self.atomic |= self.depth == 1;
        } else if word.eq_ignore_ascii_case("case") && self.depth > 0 {
            self.depth += 1;
        } else if word.eq_ignore_ascii_case("end") {
            self.depth = self.depth.saturating_sub(1);
        }
    }

    fn is_routine(&self) -> bool {
        matches!(self.first_letters, [b'c', b'f' | b'p', _, _] | [b'c', b'o', b'r', b'f' | b'p'])
    }
}

#[cfg(test)]
mod tests;
