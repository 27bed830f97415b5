//! Whether a table's rows are what they were: the hash of each row before, kept in a temporary table of this session's,
//! and compared behind the way back.
//!
//! Which tables a script touches is taken from the names in it; what a function of somebody's own changes elsewhere is not
//! compared, and said.

use stopover_model::migration::Script;
use stopover_model::report::ChangedRows;
use stopover_model::sql::identifiers;
use tokio_postgres::types::Type;

use crate::postgres::{QueryError, Session};

/// Reading more of one table, and of all of them, would take longer than anybody waits for it.
const LARGEST: i64 = 4 << 30;
const MOST_BYTES: i64 = 16 << 30;

/// Tables as they were.
pub(super) struct KeptRows {
    tables: Vec<Kept>,
    /// What is not compared, and why.
    pub(super) notes: Vec<String>,
}

struct Kept {
    table: String,
    /// The expression that was hashed.
    row: String,
    /// The temporary table with the hashes.
    hashes: String,
}

/// What came of comparing them.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) tables: u32,
    pub(super) changed: Vec<ChangedRows>,
    pub(super) notes: Vec<String>,
}

impl KeptRows {
    /// Reads the tables that the scripts name, and those that follow them by a foreign key's action.
    pub(super) async fn of<'a>(
        session: &Session,
        scripts: impl Iterator<Item = &'a Script>,
    ) -> Result<Self, QueryError> {
        let mut names: Vec<String> =
            scripts.flat_map(Script::statements).flat_map(|s| identifiers(&s)).collect();
        names.sort();
        names.dedup();
        let rows = session.query(TABLES, &[(&names, Type::TEXT_ARRAY)]).await?;
        let (mut tables, mut notes, mut bytes) = (Vec::new(), Vec::new(), 0_i64);
        for (n, row) in rows.iter().enumerate() {
            let (table, size): (String, i64) = (row.get(0), row.get(1));
            bytes = bytes.saturating_add(size);
            if size > LARGEST || bytes > MOST_BYTES {
                let gigabytes = (size >> 30).max(1);
                notes.push(format!("the rows of {table} ({gigabytes} GB) are too many to be compared"));
                continue;
            }
            let columns: Vec<String> = row.get(2);
            let kept =
                Kept { row: expression(&columns), hashes: format!("pg_temp.stopover_kept_{n}"), table };
            kept.keep(session).await?;
            tables.push(kept);
        }
        Ok(Self { tables, notes })
    }

    /// Compares, and forgets.
    pub(super) async fn compare(self, session: &Session) -> Result<Compared, QueryError> {
        let mut compared = Compared { notes: self.notes, ..Compared::default() };
        for kept in &self.tables {
            match kept.compare(session).await {
                Ok(changed) => {
                    compared.tables += 1;
                    compared
                        .changed
                        .extend(changed.filter(|c| c.differ > 0 || c.rows_before != c.rows_after));
                }
                // The table or a column of it is not there any more, or is of another kind: the schema's difference says so.
                Err(error) if error.sqlstate().is_some_and(|code| code.starts_with("42")) => {
                    let table = &kept.table;
                    compared.notes.push(format!("the rows of {table} could not be compared: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        for kept in &self.tables {
            let drop = format!("DROP TABLE IF EXISTS {}", kept.hashes);
            session.client().batch_execute(&drop).await.map_err(|e| session.error(e))?;
        }
        Ok(compared)
    }
}

impl Kept {
    async fn keep(&self, session: &Session) -> Result<(), QueryError> {
        let Self { table, row, hashes: kept } = self;
        let sql = format!(
            "CREATE TEMP TABLE {} AS SELECT {row} AS hash FROM {table} AS t",
            kept.trim_start_matches("pg_temp.")
        );
        session.client().batch_execute(&sql).await.map_err(|e| session.error(e))
    }

    async fn compare(&self, session: &Session) -> Result<Option<ChangedRows>, QueryError> {
        let Self { table, row, hashes: kept } = self;
        let sql = format!(
            "WITH old AS (SELECT hash, count(*) AS n FROM {kept} GROUP BY 1), \
             new AS (SELECT {row} AS hash, count(*) AS n FROM {table} AS t GROUP BY 1) \
             SELECT coalesce((SELECT sum(n) FROM old), 0)::bigint, coalesce((SELECT sum(n) FROM new), 0)::bigint, \
             coalesce((SELECT sum(greatest(old.n - coalesce(new.n, 0), 0)) FROM old LEFT JOIN new USING (hash)), 0)::bigint"
        );
        let row = session.query(&sql, &[]).await?;
        let number =
            |row: &tokio_postgres::Row, at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or_default();
        Ok(row.first().map(|row| ChangedRows {
            table: table.clone(),
            rows_before: number(row, 0),
            rows_after: number(row, 1),
            differ: number(row, 2),
        }))
    }
}

/// Over the columns by their names: those that were dropped and made again stand at the end of the table.
fn expression(columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| format!("t.{column}")).collect();
    format!("pg_catalog.hashtextextended(ROW({})::text, 0)", columns.join(", "))
}

/// The smallest first. A partitioned table stands for its partitions.
const TABLES: &str = "\
WITH RECURSIVE touched AS ( \
    SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND c.relname = ANY ($1) AND n.nspname !~ '^pg_' \
        AND n.nspname NOT IN ('information_schema', 'stopover', 'stopover_saved') \
    UNION \
    SELECT f.conrelid FROM touched JOIN pg_catalog.pg_constraint f ON f.confrelid = touched.oid \
    WHERE f.contype = 'f' AND (f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd')) \
), whole AS ( \
    SELECT oid FROM touched WHERE NOT EXISTS ( \
        SELECT FROM pg_catalog.pg_inherits i JOIN touched parent ON parent.oid = i.inhparent WHERE i.inhrelid = touched.oid) \
) \
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), \
    (SELECT coalesce(sum(pg_catalog.pg_table_size(t.oid)), 0)::bigint FROM ( \
        SELECT c.oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)) AS t), \
    ARRAY(SELECT pg_catalog.quote_ident(attname) FROM pg_catalog.pg_attribute \
          WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attname)::text[] \
FROM whole JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
ORDER BY 2, 1";
