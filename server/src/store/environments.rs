//! The environments.

use jiff::Timestamp;
use stopover_model::id::EnvironmentName;

use super::db::sql;
use super::error::attempt;
use super::{Store, StoreError};

impl Store {
    /// False: it exists.
    pub async fn create_environment(
        &self,
        name: &EnvironmentName,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let query =
            sql("INSERT INTO environments (name, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING \
                         RETURNING name")
            .bind(name.as_str())
            .bind(at);
        let rows = self.db.write(query).await.map_err(attempt(format_args!("create environment {name}")))?;
        Ok(!rows.is_empty())
    }

    pub async fn has_environment(&self, name: &EnvironmentName) -> Result<bool, StoreError> {
        let query = sql("SELECT name FROM environments WHERE name = $1").bind(name.as_str());
        let rows = self.db.read(query).await.map_err(attempt(format_args!("look for environment {name}")))?;
        Ok(!rows.is_empty())
    }

    /// By name.
    pub async fn environments(&self) -> Result<Vec<EnvironmentName>, StoreError> {
        let rows = self.db.read(sql("SELECT name FROM environments")).await;
        let mut names: Vec<EnvironmentName> = rows
            .and_then(|rows| rows.iter().map(|row| row.parsed("name")).collect())
            .map_err(attempt("list the environments"))?;
        // The database's own order would depend on its locale.
        names.sort();
        Ok(names)
    }
}
