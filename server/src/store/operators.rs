//! The operators' tokens, by their hashes.

use jiff::Timestamp;
use stopover_model::id::OperatorName;
use stopover_proto::token::TokenHash;

use super::db::sql;
use super::error::attempt;
use super::{Store, StoreError};

impl Store {
    /// How many operators hold a token.
    pub async fn operator_count(&self) -> Result<u64, StoreError> {
        let query = sql("SELECT count(DISTINCT operator) AS operators FROM operator_tokens");
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.first().map_or(Ok(0), |row| row.count("operators")))
            .map_err(attempt("count the operators"))
    }

    /// An operator may hold several. A second call with the same hash changes nothing.
    pub async fn create_operator_token(
        &self,
        name: &OperatorName,
        hash: &TokenHash,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let query = sql("INSERT INTO operator_tokens (hash, operator, created_at) VALUES ($1, $2, $3) \
                         ON CONFLICT DO NOTHING")
        .bind(hash.to_string())
        .bind(name.as_str())
        .bind(at);
        self.db.write(query).await.map_err(attempt(format_args!("store a token of operator {name}")))?;
        Ok(())
    }

    /// Who holds the token with this hash.
    pub async fn operator_of_token(&self, hash: &TokenHash) -> Result<Option<OperatorName>, StoreError> {
        let query = sql("SELECT operator FROM operator_tokens WHERE hash = $1").bind(hash.to_string());
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.first().map(|row| row.parsed("operator")).transpose())
            .map_err(attempt("look up an operator's token"))
    }
}
