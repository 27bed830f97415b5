//! Small things about squawk's trees.

use std::ops::Range;

use squawk_syntax::ast;

pub(crate) fn range_of(range: impl Into<Range<usize>>) -> Range<usize> {
    range.into()
}

/// As it is written, without the space around it.
pub(crate) fn text(node: &impl ast::AstNode) -> String {
    node.syntax().text().to_string().trim().to_owned()
}
