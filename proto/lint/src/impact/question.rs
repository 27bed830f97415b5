//! What must be asked of a database before scripts can be predicted there.

use std::collections::BTreeSet;

use squawk_syntax::ast::{self, AstNode as _};
use stopover_model::sql::{Name, StatementKind};

use super::{names, path, types};
use crate::reading::Reading;

/// The names of what the scripts use, as they are written there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions {
    /// Tables, views, indexes and statistics.
    pub relations: BTreeSet<Name>,
    pub functions: BTreeSet<Name>,
    pub types: BTreeSet<Name>,
}

impl Questions {
    /// Whether there is nothing to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.relations.is_empty() && self.functions.is_empty() && self.types.is_empty()
    }

    pub(super) fn collect(&mut self, reading: &Reading<'_>) {
        let mut path: Option<Vec<String>> = None;
        for statement in &reading.statements {
            if let Some(set) = path::set_by(statement) {
                path = Some(set);
            }
            let named = match &statement.tree {
                Some(tree) => {
                    self.functions.extend(names::calls(tree.syntax()).into_iter().map(|(name, _)| name));
                    self.types.extend(types_in(tree));
                    names::all_relations(tree.syntax())
                }
                None => of_kind(&statement.kind),
            };
            for name in named {
                // The script's own path is not the session's.
                let schemas = path.iter().flatten().filter(|_| name.schema.is_none());
                self.relations.extend(
                    schemas.map(|schema| Name { schema: Some(schema.clone()), name: name.name.clone() }),
                );
                self.relations.insert(name);
            }
        }
    }
}

/// What is known of a statement that has no tree.
pub(super) fn of_kind(kind: &StatementKind) -> Vec<Name> {
    match kind {
        StatementKind::AlterTable { table, .. }
        | StatementKind::CreateIndex { table, .. }
        | StatementKind::Update { table, .. }
        | StatementKind::Delete { table, .. }
        | StatementKind::Insert { table }
        | StatementKind::Copy { table: Some(table), .. } => vec![table.clone()],
        StatementKind::DropTable { tables, .. } | StatementKind::Truncate { tables } => tables.clone(),
        _ => Vec::new(),
    }
}

/// Those that ALTER TABLE gives to columns.
fn types_in(tree: &ast::Stmt) -> Vec<Name> {
    let ast::Stmt::AlterTable(alter) = tree else { return Vec::new() };
    let all = alter.syntax().descendants().filter_map(ast::Type::cast);
    all.filter_map(|ty| types::read(&ty)).map(|ty| ty.name).collect()
}
