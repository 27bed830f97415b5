//! Whether a default is the same for every row, so that a new column with it costs nothing.

use squawk_syntax::ast::{self, AstNode as _};

/// Functions of PostgreSQL that give one answer within a statement; squawk's own list holds those without arguments.
const STEADY: [&str; 26] = [
    "array_fill",
    "btrim",
    "concat",
    "concat_ws",
    "current_setting",
    "date_trunc",
    "decode",
    "encode",
    "json_build_array",
    "json_build_object",
    "jsonb_build_array",
    "jsonb_build_object",
    "lower",
    "make_date",
    "make_interval",
    "make_timestamp",
    "make_timestamptz",
    "md5",
    "now",
    "repeat",
    "statement_timestamp",
    "timezone",
    "to_char",
    "to_jsonb",
    "transaction_timestamp",
    "upper",
];

const STEADY_WORDS: [&str; 11] = [
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "user",
];

/// Whether it is certain that every row gets the same value. squawk doubts some that are: -1, (0), `CURRENT_DATE`.
pub(crate) fn is_steady(expr: &ast::Expr) -> bool {
    let inner = |expr: Option<ast::Expr>| expr.is_some_and(|e| is_steady(&e));
    match expr {
        ast::Expr::Literal(_) => true,
        ast::Expr::ParenExpr(paren) => inner(paren.expr()),
        ast::Expr::PrefixExpr(prefix) => inner(prefix.expr()),
        ast::Expr::CastExpr(cast) => cast.literal().is_some() || inner(cast.expr()),
        ast::Expr::Collate(collate) => inner(collate.expr()),
        ast::Expr::BinExpr(both) => inner(both.lhs()) && inner(both.rhs()),
        ast::Expr::ArrayExpr(array) => {
            array.select_variant().is_none() && array.exprs().all(|element| is_steady(&element))
        }
        ast::Expr::NameRef(_) | ast::Expr::CallExpr(_) => is_steady_name(expr),
        _ => false,
    }
}

fn is_steady_name(expr: &ast::Expr) -> bool {
    let inner = |expr: Option<ast::Expr>| expr.is_some_and(|e| is_steady(&e));
    match expr {
        ast::Expr::CallExpr(call) => {
            let name =
                call.expr().map(|e| e.syntax().text().to_string().to_ascii_lowercase()).unwrap_or_default();
            let name = name.strip_prefix("pg_catalog.").unwrap_or(&name).trim();
            STEADY.contains(&name)
                && call.arg_list().is_some_and(|list| list.args().all(|arg| inner(arg.expr())))
        }
        other => {
            let text = other.syntax().text().to_string().to_ascii_lowercase();
            STEADY_WORDS.contains(&text.trim())
        }
    }
}
