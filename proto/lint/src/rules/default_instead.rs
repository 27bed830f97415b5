//! A column that is new and gets one value in every row: its default gives it, in no time at any size.

use squawk_syntax::ast;
use stopover_model::sql::{AlterAction, Name};

use crate::known::{action_of, added, plain};
use crate::reading::{Read, Reading};
use crate::tree::text;
use crate::volatile;

/// The column that an UPDATE sets, and what to.
pub(super) struct OneColumn {
    name: String,
    column: String,
    value: ast::Expr,
}

impl OneColumn {
    /// None where it sets several, or reads from elsewhere.
    pub(super) fn of(update: &ast::Update) -> Option<Self> {
        if update.from_clause().is_some() || update.with_clause().is_some() {
            return None;
        }
        let mut columns = update.set_clause()?.set_column_list()?.set_columns();
        let (Some(ast::SetColumn::SetSingleColumn(set)), None) = (columns.next(), columns.next()) else {
            return None;
        };
        let name = text(&set.column_target()?);
        let column = name.parse::<Name>().ok()?.name;
        Some(Self { name, column, value: set.set_expr()?.expr()? })
    }

    pub(super) fn column(&self) -> &str {
        &self.column
    }
}

/// Where one value is given to a column that the script has added before: a default that does the same, and then the
/// intended one.
pub(super) fn default_instead(
    reading: &Reading<'_>,
    index: usize,
    table: &Name,
    set: &OneColumn,
) -> Option<String> {
    let OneColumn { name, column, value } = set;
    if !volatile::is_steady(value) {
        return None;
    }
    let (adding, action) = added(&reading.statements[..index], table, column)?;
    let ast::AlterTableAction::AddColumn(added) = action_of(&reading.statements[adding], action)? else {
        return None;
    };
    let constraints = added.constraints().filter(|c| !matches!(c, ast::Constraint::DefaultConstraint(_)));
    let rest: Vec<_> = std::iter::once(String::new()).chain(constraints.map(|c| text(&c))).collect();
    let rest = rest.join(" ");
    let exists = if added.if_not_exists().is_some() { "IF NOT EXISTS " } else { "" };
    let then = match default_of(reading, table, column) {
        Some(default) => format!("SET DEFAULT {default}"),
        None => "DROP DEFAULT".to_owned(),
    };
    Some(format!(
        "ALTER TABLE {table} ADD COLUMN {exists}{name} {} DEFAULT {}{rest};\n\
         ALTER TABLE {table} ALTER COLUMN {name} {then};",
        text(&added.ty()?),
        text(value),
    ))
}

/// The default that the script leaves the column with.
fn default_of(reading: &Reading<'_>, table: &Name, column: &str) -> Option<String> {
    let mut default = None;
    for statement in reading.statements.iter().filter(|s| s.tables().iter().any(|t| plain(t) == plain(table)))
    {
        for (n, action) in statement.actions().iter().enumerate() {
            match action {
                AlterAction::AddColumn { column: new, default: Some(value), .. } if new == column => {
                    default = Some(value.clone());
                }
                AlterAction::SetDefault { column: changed } if changed == column => {
                    default = set_default(statement, n).or(default);
                }
                AlterAction::DropDefault { column: changed } if changed == column => default = None,
                _ => {}
            }
        }
    }
    default
}

fn set_default(statement: &Read<'_>, action: usize) -> Option<String> {
    let ast::AlterTableAction::AlterColumn(alter) = action_of(statement, action)? else { return None };
    match alter.option()? {
        ast::AlterColumnOption::SetDefault(set) => set.expr().map(|expr| text(&expr)),
        _ => None,
    }
}
