//! A table whose rows or columns are about to go: what they are called, and how a row is found again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stopover_model::sql::Name;
use tokio_postgres::types::Type;

use super::look::Gone;
use super::shown_table;
use crate::postgres::{QueryError, Session};

#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) name: Name,
    pub(super) partitioned: bool,
    /// None of its rows are its parents'.
    pub(super) partition: bool,
    pub(super) parents: Vec<u32>,
    pub(super) bytes: u64,
    /// By the transaction that runs.
    pub(super) is_new: bool,
    /// Its columns that identify a row, the best choice first.
    keys: Vec<Vec<i16>>,
    pub(super) columns: Vec<Column>,
}

/// A column, as the manifest has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column {
    #[serde(skip)]
    pub(super) number: i16,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) type_name: String,
    /// Its type is not PostgreSQL's own, so its values are kept as PostgreSQL writes them.
    pub(super) as_text: bool,
    pub(super) not_null: bool,
    pub(super) default: Option<String>,
    pub(super) generated: bool,
    /// `a`: always, `d`: by default.
    pub(super) identity: Option<String>,
    pub(super) comment: Option<String>,
}

impl Relation {
    /// In SQL.
    pub(super) fn quoted(&self) -> String {
        self.name.quoted()
    }

    /// For people, who do not write `public.`.
    pub(super) fn shown(&self) -> String {
        shown_table(&self.name)
    }

    /// Where its rows are read, and no others.
    pub(super) fn source(&self) -> String {
        if self.partitioned { self.quoted() } else { format!("ONLY {}", self.quoted()) }
    }

    /// The columns by which a row is found again once `gone` are not there; none where nothing identifies it.
    pub(super) fn key_without(&self, gone: &BTreeSet<i16>) -> Vec<&Column> {
        let key = self.keys.iter().find(|key| !key.is_empty() && key.iter().all(|n| !gone.contains(n)));
        let numbers = key.map(Vec::as_slice).unwrap_or_default();
        numbers.iter().filter_map(|n| self.columns.iter().find(|column| column.number == *n)).collect()
    }
}

/// The tables that are concerned, without those whose rows are read through another one of them.
pub(super) async fn relations(session: &Session, gone: &Gone) -> Result<Vec<Relation>, QueryError> {
    let oids: Vec<u32> = gone.all().into_iter().collect();
    let parameters: crate::postgres::Parameters<'_> = &[(&oids, Type::OID_ARRAY)];
    let (relations, columns) = tokio::join!(
        session.query(include_str!("relations.sql"), parameters),
        session.query(include_str!("columns.sql"), parameters)
    );
    let columns: Vec<(u32, Column)> = columns?
        .iter()
        .map(|row| {
            let letter = |at: usize| Some(row.get::<_, String>(at)).filter(|letter| !letter.is_empty());
            let column = Column {
                number: row.get(1),
                name: row.get(2),
                type_name: row.get(3),
                as_text: row.get(4),
                not_null: row.get(5),
                default: row.get(6),
                generated: letter(7).is_some(),
                identity: letter(8),
                comment: row.get(9),
            };
            (row.get(0), column)
        })
        .collect();
    let mut relations: Vec<Relation> = relations?
        .iter()
        .map(|row| {
            let oid = row.get(0);
            let keys: Vec<String> = row.get(8);
            Relation {
                oid,
                name: Name { schema: Some(row.get(1)), name: row.get(2) },
                partitioned: row.get::<_, &str>(3) == "p",
                partition: row.get(4),
                parents: row.get(5),
                bytes: u64::try_from(row.get::<_, i64>(6)).unwrap_or_default(),
                is_new: row.get(7),
                keys: keys.iter().map(|key| numbers(key)).collect(),
                columns: columns
                    .iter()
                    .filter(|(of, _)| *of == oid)
                    .map(|(_, column)| column.clone())
                    .collect(),
            }
        })
        .collect();
    let is_within = |relation: &Relation| {
        let parent = |set: &BTreeSet<u32>| relation.parents.iter().any(|parent| set.contains(parent));
        let of_column = gone.columns.keys().copied().collect();
        relation.partition
            && (gone.tables.contains(&relation.oid) && parent(&gone.tables)
                || gone.columns.contains_key(&relation.oid) && parent(&of_column))
    };
    relations.retain(|relation| !is_within(relation));
    Ok(relations)
}

/// As an `int2vector` is written.
fn numbers(text: &str) -> Vec<i16> {
    text.split(' ').filter_map(|number| number.parse().ok()).collect()
}
