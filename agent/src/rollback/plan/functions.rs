//! Functions whose text speaks of what is dropped. PostgreSQL does not know of them: they stay, and fail when they are
//! called.

use stopover_model::sql::{DropTarget, Name};

use super::reach::Reached;
use crate::postgres::{QueryError, Session};

/// Notes on those that remain.
pub(super) async fn that_name(
    session: &Session,
    target: &DropTarget,
    gone: &[Reached],
) -> Result<Vec<String>, QueryError> {
    let words: Vec<&str> = match target {
        DropTarget::Column { table: Name { name, .. }, column, .. } => vec![name, column],
        DropTarget::Table { table: Name { name, .. } }
        | DropTarget::View { view: Name { name, .. } }
        | DropTarget::MaterializedView { view: Name { name, .. } } => vec![name],
        _ => return Ok(Vec::new()),
    };
    // As a regular expression each word stands for itself.
    let plain = |word: &&str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !words.iter().all(plain) {
        return Ok(Vec::new());
    }
    let patterns: Vec<String> = words.iter().map(|word| format!("\\m{word}\\M")).collect();
    let rows = session.client().query(SPEAKING, &[&patterns]).await.map_err(|e| session.error(e))?;
    let remains = |oid: &u32| !gone.iter().any(|r| r.object == *oid && r.sub == 0 && r.class == PG_PROC);
    let names = rows.iter().filter(|row| remains(&row.get(0))).map(|row| row.get::<_, String>(1));
    Ok(names.map(|name| format!("{name} speaks of it, and may fail once it is gone")).collect())
}

/// The oid of the catalog of functions, the same everywhere.
const PG_PROC: u32 = 1255;

const SPEAKING: &str = "
SELECT p.oid, 'function ' || p.oid::regprocedure::text
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE l.lanname NOT IN ('internal', 'c') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND (SELECT pg_catalog.bool_and(p.prosrc ~* pattern) FROM pg_catalog.unnest($1::text[]) AS pattern)
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  )
ORDER BY 2
LIMIT 6";
