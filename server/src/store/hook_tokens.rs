//! The tokens with which receivers of hooks say later how they went, by their hashes.

use jiff::Timestamp;
use stopover_model::event::StageIndex;
use stopover_model::id::{Attempt, DeploymentId, HookName};
use stopover_proto::token::TokenHash;

use super::db::{Row, sql};
use super::error::{Cause, attempt};
use super::{Store, StoreError};

/// One attempt of a hook.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HookAttempt {
    pub deployment: DeploymentId,
    pub stage: StageIndex,
    pub hook: HookName,
    pub attempt: Attempt,
}

impl Store {
    /// What is good for an attempt. It may have several: who is called again after a restart gets another one.
    pub async fn keep_hook_token(
        &self,
        hash: &TokenHash,
        of: &HookAttempt,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let query = sql("INSERT INTO hook_tokens (hash, deployment, stage, hook, attempt, created_at) \
                         VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(hash.to_string())
        .bind(of.deployment.as_str())
        .bind(of.stage.0)
        .bind(of.hook.as_str())
        .bind(of.attempt.0)
        .bind(at);
        let written = self.db.write(query).await.map(drop);
        written.map_err(attempt(format_args!("keep a token of the hook {}", of.hook)))
    }

    /// What a token is good for.
    pub async fn hook_token(&self, hash: &TokenHash) -> Result<Option<HookAttempt>, StoreError> {
        let query = sql("SELECT deployment, stage, hook, attempt FROM hook_tokens WHERE hash = $1")
            .bind(hash.to_string());
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.first().map(hook_attempt).transpose())
            .map_err(attempt("look up the token of a hook"))
    }
}

fn hook_attempt(row: &Row) -> Result<HookAttempt, Cause> {
    let number =
        |column: &'static str| u32::try_from(row.count(column)?).map_err(|error| Cause::row(column, error));
    Ok(HookAttempt {
        deployment: row.parsed("deployment")?,
        stage: StageIndex(number("stage")?),
        hook: row.parsed("hook")?,
        attempt: Attempt(number("attempt")?),
    })
}
