//! Which tables and columns there are, so that two looks show what has gone between them.

use std::collections::{BTreeMap, BTreeSet};

use crate::postgres::{QueryError, Session};

/// One look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// The file that holds a table's rows; another one holds none of the rows of the first.
    files: BTreeMap<u32, u32>,
    /// The columns that are no more.
    dropped: BTreeSet<(u32, i16)>,
}

/// What has gone between two looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) tables: BTreeSet<u32>,
    pub(crate) columns: BTreeMap<u32, BTreeSet<i16>>,
    pub(crate) emptied: BTreeSet<u32>,
}

/// Looks, whatever the session's settings are. Temporary tables and the product's own are left out.
pub(crate) async fn look(session: &Session) -> Result<Looked, QueryError> {
    let (tables, dropped) = tokio::join!(session.query(TABLES, &[]), session.query(DROPPED, &[]));
    Ok(Looked {
        files: tables?.iter().map(|row| (row.get(0), row.get(1))).collect(),
        dropped: dropped?.iter().map(|row| (row.get(0), row.get(1))).collect(),
    })
}

const TABLES: &str = "SELECT c.oid, c.relfilenode FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' \
      AND n.nspname NOT IN ('information_schema', 'stopover', 'stopover_saved')";

const DROPPED: &str = "SELECT a.attrelid, a.attnum FROM pg_catalog.pg_attribute a \
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
    WHERE a.attisdropped AND a.attnum > 0 AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'";

impl Looked {
    /// What is not there any more after this.
    pub(crate) fn gone(&self, after: &Self) -> Gone {
        let tables = self.files.keys().filter(|table| !after.files.contains_key(table)).copied().collect();
        let emptied =
            self.files.iter().filter(|(table, file)| after.files.get(table).is_some_and(|now| now != *file));
        let emptied = emptied.map(|(table, _)| *table).collect();
        let mut columns: BTreeMap<u32, BTreeSet<i16>> = BTreeMap::new();
        for (table, column) in after.dropped.difference(&self.dropped) {
            // Not those of a table that has come in between.
            if self.files.contains_key(table) {
                columns.entry(*table).or_default().insert(*column);
            }
        }
        Gone { tables, columns, emptied }
    }
}

impl Gone {
    pub(crate) fn is_nothing(&self) -> bool {
        self.tables.is_empty() && self.columns.is_empty() && self.emptied.is_empty()
    }

    /// Every table that is concerned.
    pub(crate) fn all(&self) -> BTreeSet<u32> {
        self.tables.iter().chain(self.columns.keys()).chain(&self.emptied).copied().collect()
    }

    /// Whether it holds all that another one does.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.tables.is_subset(&self.tables)
            && other.emptied.is_subset(&self.emptied)
            && other
                .columns
                .iter()
                .all(|(table, columns)| self.columns.get(table).is_some_and(|known| columns.is_subset(known)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(files: &[(u32, u32)], dropped: &[(u32, i16)]) -> Looked {
        Looked { files: files.iter().copied().collect(), dropped: dropped.iter().copied().collect() }
    }

    #[test]
    fn what_has_gone_is_seen_by_table_and_column() {
        let before = looked(&[(1, 1), (2, 2), (3, 3)], &[(1, 4)]);
        let after = looked(&[(1, 1), (3, 9), (5, 5)], &[(1, 4), (1, 2), (5, 1)]);
        let gone = before.gone(&after);
        assert_eq!(gone.tables, [2].into());
        assert_eq!(gone.columns, [(1, [2].into())].into());
        assert_eq!(gone.emptied, [3].into());
        assert_eq!(gone.all(), [1, 2, 3].into());
        assert!(gone.covers(&gone) && !Gone::default().covers(&gone) && gone.covers(&Gone::default()));
        assert!(before.gone(&before).is_nothing());
    }
}
