//! A script read for the rules: its statements, what each does, and squawk's trees of them.
//!
//! squawk sees a text of the same length in which only what it can read is left: no comments (whoever reads comments here
//! knows where they stand), no COPY data, no lines of `pg_dump`'s, no statement with an error in it. So every offset is one of
//! the script's text.

use std::ops::Range;

use squawk_syntax::ast::{self, AstNode as _};
use squawk_syntax::{Parse, SourceFile};
use stopover_model::sql::{self, AlterAction, Name, Statement, StatementKind};

use crate::nesting;
use crate::script::{Role, ScriptToLint};

pub(crate) struct Reading<'a> {
    pub(crate) source: &'a ScriptToLint<'a>,
    pub(crate) text: &'a str,
    /// Every statement between BEGIN and COMMIT runs in one transaction, or all do without them.
    pub(crate) one_transaction: bool,
    /// The statements that share a transaction: all of them, or those of each block of the file's own.
    pub(crate) transactions: Vec<Range<usize>>,
    pub(crate) statements: Vec<Read<'a>>,
    /// The statements that squawk can't read: which, and why.
    pub(crate) unread: Vec<(usize, String)>,
    pub(crate) masked: String,
    pub(crate) parse: Parse<SourceFile>,
}

/// A statement that is sent.
pub(crate) struct Read<'a> {
    pub(crate) at: Statement<'a>,
    pub(crate) kind: StatementKind,
    pub(crate) tree: Option<ast::Stmt>,
}

impl<'a> Reading<'a> {
    pub(crate) fn of(source: &'a ScriptToLint<'a>) -> Self {
        let text = source.script.text();
        // A script splits, or it would not be one. BEGIN and COMMIT around it all are the engine's affair.
        let found = sql::split(text).unwrap_or_default().into_iter().map(|at| (at, at.kind()));
        let statements: Vec<_> = found
            .filter(|(_, kind)| !matches!(kind, StatementKind::Begin | StatementKind::Commit))
            .map(|(at, kind)| Read { at, kind, tree: None })
            .collect();
        let (masked, parse, unread) = parse(text, &statements);
        let sharing = source.script.transactions();
        let one_transaction = sharing.whole.is_some();
        let blocks = sharing.blocks.into_iter().map(|block| block.statements);
        let whole = one_transaction.then_some(0..statements.len());
        let mut reading = Self {
            source,
            text,
            one_transaction,
            transactions: whole.into_iter().chain(blocks).collect(),
            statements,
            unread,
            masked,
            parse,
        };
        reading.plant();
        reading
    }

    pub(crate) fn role(&self) -> Role {
        self.source.role
    }

    /// Whether the engine runs a statement as a backfill.
    pub(crate) fn runs_in_batches(&self, index: usize) -> bool {
        self.source.script.backfill(&self.statements[index].at).is_some()
    }

    /// The statement in which a range begins.
    pub(crate) fn statement_at(&self, range: &Range<usize>) -> Option<usize> {
        self.statements.iter().position(|s| (s.at.start..=s.at.end).contains(&range.start))
    }

    /// Gives each statement its tree.
    fn plant(&mut self) {
        let mut trees = self.parse.tree().stmts().peekable();
        for statement in &mut self.statements {
            let begins =
                |tree: &ast::Stmt| usize::from(tree.syntax().text_range().end()) > statement.at.start;
            while trees.next_if(|tree| !begins(tree)).is_some() {}
            let inside =
                |tree: &ast::Stmt| usize::from(tree.syntax().text_range().start()) <= statement.at.end;
            statement.tree = trees.next_if(inside);
        }
    }
}

impl Read<'_> {
    pub(crate) fn range(&self) -> Range<usize> {
        self.at.start..self.at.end
    }

    /// The tables that it changes or locks, as far as its kind tells.
    pub(crate) fn tables(&self) -> Vec<&Name> {
        match &self.kind {
            StatementKind::AlterTable { table, .. }
            | StatementKind::CreateIndex { table, .. }
            | StatementKind::DetachPartitionConcurrently { table, .. }
            | StatementKind::Update { table, .. }
            | StatementKind::Delete { table, .. }
            | StatementKind::Insert { table } => vec![table],
            StatementKind::DropTable { tables, .. } | StatementKind::Truncate { tables } => {
                tables.iter().collect()
            }
            _ => Vec::new(),
        }
    }

    pub(crate) fn actions(&self) -> &[AlterAction] {
        match &self.kind {
            StatementKind::AlterTable { actions, .. } => actions,
            _ => &[],
        }
    }

    pub(crate) fn alter_table(&self) -> Option<&ast::AlterTable> {
        match &self.tree {
            Some(ast::Stmt::AlterTable(alter)) => Some(alter),
            _ => None,
        }
    }
}

fn parse(text: &str, statements: &[Read<'_>]) -> (String, Parse<SourceFile>, Vec<(usize, String)>) {
    let mut unread: Vec<_> =
        statements.iter().enumerate().filter_map(|(n, s)| Some((n, nesting::refusal(s.at.text)?))).collect();
    let masked = masked(text, statements, &unread);
    let parse = SourceFile::parse(&masked);
    if parse.errors().is_empty() {
        return (masked, parse, unread);
    }
    let wrong = statements.iter().enumerate().filter_map(|(n, s)| {
        let known = unread.iter().any(|(m, _)| *m == n);
        let error = if known { None } else { SourceFile::parse(s.at.text).errors().into_iter().next() };
        error.map(|error| (n, format!("squawk can't read it: {}", error.message())))
    });
    let wrong: Vec<_> = wrong.collect();
    unread.extend(wrong);
    unread.sort_unstable();
    let masked = self::masked(text, statements, &unread);
    let parse = SourceFile::parse(&masked);
    (masked, parse, unread)
}

/// Spaces, and the statements that can be read in their places, each with its `;`.
fn masked(text: &str, statements: &[Read<'_>], unread: &[(usize, String)]) -> String {
    let mut masked = Vec::with_capacity(text.len() + 1);
    for (n, statement) in statements.iter().enumerate() {
        if unread.iter().any(|(m, _)| *m == n) {
            continue;
        }
        masked.resize(statement.at.start, b' ');
        masked.extend_from_slice(statement.at.text.as_bytes());
        for comment in sql::comments(statement.at.text) {
            let start = statement.at.start + comment.start;
            masked[start..start + comment.text.len()].fill(b' ');
        }
        masked.push(b';');
    }
    // Only whole statements and whole comments were put in or taken out.
    String::from_utf8(masked).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sql, reading};

    #[test]
    fn squawk_sees_the_same_places_and_nothing_that_it_can_not_read() {
        let sql = "\u{feff}\\restrict abc'x\r\n-- für ü\r\nCOPY t FROM stdin;\r\n1\tä'\r\n\\.\r\n\
                   ALTER /* ж */ TABLE \"ü\" ADD a int;SELECT 1 FROM;\r\nDROP TABLE x\r\n";
        reading(Sql::up(sql), |it| {
            for statement in it.statements.iter().filter(|s| s.tree.is_some()) {
                let shown = it.masked.get(statement.range()).unwrap();
                assert_eq!(shown.replace(' ', ""), statement.at.text.replace("/* ж */", "").replace(' ', ""));
            }
            let trees: Vec<_> = it.statements.iter().map(|s| s.tree.is_some()).collect();
            assert_eq!(trees, [true, true, false, true]);
            assert_eq!(it.unread.len(), 1);
            assert_eq!(it.unread[0].0, 2);
            assert!(!it.masked.contains("restrict") && !it.masked.contains('ж') && !it.masked.contains("ä'"));
        });
    }

    #[test]
    fn begin_and_commit_are_none_of_its_statements() {
        reading(Sql::up("BEGIN;\nDROP TABLE a;\nCOMMIT;\n"), |it| {
            assert!(it.one_transaction && it.statements.len() == 1 && it.statements[0].at.line == 2);
        });
    }
}
