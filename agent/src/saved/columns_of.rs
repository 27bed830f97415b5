//! The columns of a table that values are put back into.

use stopover_model::sql::Name;
use tokio_postgres::types::Type;

use crate::postgres::{QueryError, Session};

#[derive(Debug, Clone)]
pub(super) struct There {
    pub(super) name: String,
    pub(super) type_name: String,
    /// What a row has of it when nobody says otherwise, where that is the same for all rows.
    pub(super) default: Option<String>,
    /// Nobody can write it.
    pub(super) fixed: bool,
    /// It numbers itself, and an UPDATE can't change that.
    pub(super) numbered: bool,
}

pub(super) async fn columns_of(session: &Session, table: &Name) -> Result<Vec<There>, QueryError> {
    let sql = "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), pg_catalog.pg_get_expr(d.adbin, d.adrelid), \
                   a.attgenerated <> '', a.attidentity = 'a' \
               FROM pg_catalog.pg_attribute a \
               LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
               WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    // With nothing on the path each name says where it is.
    let set = session.client().batch_execute("SET search_path = ''").await;
    set.map_err(|e| session.error(e))?;
    let rows = session.query(sql, &[(&table.quoted(), Type::TEXT)]).await?;
    let column = |row: &tokio_postgres::Row| {
        let default: Option<String> = row.get(2);
        There {
            name: row.get(0),
            type_name: row.get(1),
            // A call may give something else each time.
            default: default.filter(|default| !default.contains('(')),
            fixed: row.get(3),
            numbered: row.get(4),
        }
    };
    Ok(rows.iter().map(column).collect())
}
