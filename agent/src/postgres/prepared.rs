//! The product's own queries on a session: what a session asks for again and again is parsed and planned once.
//!
//! A query that is not prepared goes out in one round trip, parse and all. What went out so is remembered, and
//! [`Session::prepare_known`] prepares it while nobody waits. No query prepares itself: it would be overtaken by those that
//! are sent beside it.

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::error::QueryError;
use super::known::Parameters;
use super::session::Session;

impl Session {
    /// For a script that may throw away what is prepared: from here on everything goes out as it is.
    pub(crate) fn forget_prepared(&self) {
        self.known().forget();
    }

    /// The rows of a query of the product's own, whose text is one of a few.
    pub(crate) async fn query(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, QueryError> {
        let rows = match self.known().statement(sql, parameters) {
            Some(statement) => self.client().query(&statement, &values(parameters)).await,
            None => self.client().query_typed(sql, parameters).await,
        };
        rows.map_err(|e| self.error(e))
    }

    /// How many rows a statement of the product's own has changed.
    pub(crate) async fn execute(&self, sql: &str, parameters: Parameters<'_>) -> Result<u64, QueryError> {
        let changed = match self.known().statement(sql, parameters) {
            Some(statement) => self.client().execute(&statement, &values(parameters)).await,
            None => self.client().execute_typed(sql, parameters).await,
        };
        changed.map_err(|e| self.error(e))
    }

    /// Prepares what was asked so far. What can't be prepared goes out as before.
    pub(crate) async fn prepare_known(&self) {
        let missing: Vec<(String, Vec<Type>)> = {
            let known = self.known().lock();
            let missing = known.iter().filter(|(_, asked)| asked.prepared.is_none());
            missing.map(|(sql, asked)| (sql.clone(), asked.types.clone())).collect()
        };
        let prepare = |(sql, types): (String, Vec<Type>)| async move {
            let prepared = self.client().prepare_typed(&sql, &types).await.ok();
            (sql, prepared)
        };
        for (sql, prepared) in futures::future::join_all(missing.into_iter().map(prepare)).await {
            if let Some(asked) = self.known().lock().get_mut(&sql) {
                asked.prepared = prepared;
            }
        }
    }
}

fn values(parameters: Parameters<'_>) -> Vec<&(dyn ToSql + Sync)> {
    parameters.iter().map(|(value, _)| *value).collect()
}
