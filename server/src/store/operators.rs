//! The operators' tokens, by their hashes: whose each is, the groups and roles that come with it, and until when it is
//! good.
//!
//! Who may make or revoke one is not asked here, nor whether one that is found is still good: the times are in the row.

use jiff::Timestamp;
use stopover_model::id::{GroupName, OperatorName, TokenId};
use stopover_model::role::Grants;
use stopover_proto::token::TokenHash;

use super::db::{Row, Tx, sql};
use super::error::{Cause, attempt};
use super::{Store, StoreError};

/// A token to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    pub operator: &'a OperatorName,
    pub hash: &'a TokenHash,
    pub groups: &'a [GroupName],
    pub roles: &'a Grants,
    /// None: the server itself.
    pub created_by: Option<&'a OperatorName>,
    pub at: Timestamp,
    /// None: never.
    pub expires_at: Option<Timestamp>,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    pub id: TokenId,
    pub operator: OperatorName,
    pub groups: Vec<GroupName>,
    pub roles: Grants,
    pub created_at: Timestamp,
    pub created_by: Option<OperatorName>,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub revoked_by: Option<OperatorName>,
}

/// What became of a wish to revoke a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// It is no longer good, from now on or since before.
    Token(TokenRow),
    Unknown,
    /// Nobody could make or revoke tokens any more.
    LastAdmin(TokenRow),
}

/// Followed by which of them.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT id, operator, member_of, roles, created_at, created_by, expires_at, revoked_at, revoked_by \
             FROM operator_tokens ",
            $which
        )
    };
}

impl TokenRow {
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|ends| now < ends)
    }
}

impl Store {
    /// Whether somebody holds an administrator's token that is good.
    pub async fn has_admin(&self, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.operator_tokens().await?.iter().any(|token| token.roles.is_admin() && token.is_good(now)))
    }

    /// An operator may hold several. A second call with the same hash changes nothing.
    pub async fn create_operator_token(&self, new: NewToken<'_>) -> Result<TokenId, StoreError> {
        self.create_token(new)
            .await
            .map_err(attempt(format_args!("store a token of operator {}", new.operator)))
    }

    /// The token with this hash, whether it is still good or not.
    pub async fn operator_token(&self, hash: &TokenHash) -> Result<Option<TokenRow>, StoreError> {
        let query = sql(select!("WHERE hash = $1")).bind(hash.to_string());
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.first().map(token).transpose())
            .map_err(attempt("look up an operator's token"))
    }

    /// All there ever were, by name and then by age.
    pub async fn operator_tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let rows = self.db.read(sql(select!("ORDER BY operator, created_at, id"))).await;
        rows.and_then(|rows| rows.iter().map(token).collect()).map_err(attempt("list the operators' tokens"))
    }

    pub async fn revoke_operator_token(
        &self,
        id: &TokenId,
        by: &OperatorName,
        at: Timestamp,
    ) -> Result<Revoked, StoreError> {
        self.revoke_token(id, by, at).await.map_err(attempt(format_args!("revoke the token {id}")))
    }

    async fn create_token(&self, new: NewToken<'_>) -> Result<TokenId, Cause> {
        let hash = new.hash.to_string();
        let id = TokenId::of_hash(&hash).ok_or_else(|| Cause::row("hash", "it is too short"))?;
        let groups = serde_json::to_string(new.groups).map_err(|error| Cause::row("member_of", error))?;
        let roles = serde_json::to_string(new.roles).map_err(|error| Cause::row("roles", error))?;
        let query = sql("INSERT INTO operator_tokens (hash, id, operator, member_of, admin, created_at, created_by, expires_at, roles) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (hash) DO NOTHING")
        .bind(hash)
        .bind(id.as_str())
        .bind(new.operator.as_str())
        .bind(groups)
        .bind(u32::from(new.roles.is_admin()))
        .bind(new.at)
        .bind(new.created_by.map(ToString::to_string))
        .bind(new.expires_at)
        .bind(roles);
        self.db.write(query).await?;
        Ok(id)
    }

    async fn revoke_token(&self, id: &TokenId, by: &OperatorName, at: Timestamp) -> Result<Revoked, Cause> {
        let mut tx = self.db.begin().await?;
        // Two who revoke at the same time must not leave nobody behind: one of them waits here, and then looks.
        tx.execute(sql("UPDATE operator_tokens SET admin = admin WHERE admin = 1")).await?;
        let all = all(&mut tx).await?;
        let Some(found) = all.iter().find(|token| token.id == *id).cloned() else {
            return Ok(Revoked::Unknown);
        };
        if found.revoked_at.is_some() {
            return Ok(Revoked::Token(found));
        }
        let other_admin = |token: &&TokenRow| token.id != *id && token.roles.is_admin() && token.is_good(at);
        if found.roles.is_admin() && found.is_good(at) && !all.iter().any(|token| other_admin(&token)) {
            return Ok(Revoked::LastAdmin(found));
        }
        let query = sql("UPDATE operator_tokens SET revoked_at = $1, revoked_by = $2 WHERE id = $3")
            .bind(at)
            .bind(by.as_str())
            .bind(id.as_str());
        tx.execute(query).await?;
        tx.commit().await?;
        Ok(Revoked::Token(TokenRow { revoked_at: Some(at), revoked_by: Some(by.clone()), ..found }))
    }
}

async fn all(tx: &mut Tx) -> Result<Vec<TokenRow>, Cause> {
    tx.all(sql(select!(""))).await?.iter().map(token).collect()
}

fn token(row: &Row) -> Result<TokenRow, Cause> {
    let name = |column| -> Result<Option<OperatorName>, Cause> {
        let text = row.optional_text(column)?;
        text.map(|text| text.parse().map_err(|error| Cause::row(column, error))).transpose()
    };
    Ok(TokenRow {
        id: row.parsed("id")?,
        operator: row.parsed("operator")?,
        groups: row.json("member_of")?,
        roles: row.json("roles")?,
        created_at: row.time("created_at")?,
        created_by: name("created_by")?,
        expires_at: row.optional_time("expires_at")?,
        revoked_at: row.optional_time("revoked_at")?,
        revoked_by: name("revoked_by")?,
    })
}
