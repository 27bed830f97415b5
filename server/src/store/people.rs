//! Whom the accounts of an identity provider stand for.
//!
//! An account is what the provider never changes; the name that it first came with is the person here from then on, and
//! no other account's. Which names count at all is not known here.

use jiff::Timestamp;
use stopover_model::id::OperatorName;

use super::db::{Row, sql};
use super::error::{Cause, attempt};
use super::{Store, StoreError};

/// Somebody at the identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub issuer: String,
    /// Where names come from.
    pub claim: String,
    pub subject: String,
}

/// Whom an account stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRow {
    pub account: Account,
    pub name: OperatorName,
    pub since: Timestamp,
}

/// Whom an account that is seen for the first time stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// Somebody may have been quicker.
    As(OperatorName),
    /// The name is another account's.
    NameTaken,
}

impl Store {
    /// None: it was not seen yet.
    pub async fn person(&self, account: &Account) -> Result<Option<OperatorName>, StoreError> {
        let query = sql("SELECT name FROM oidc_people WHERE issuer = $1 AND claim = $2 AND subject = $3")
            .bind(account.issuer.as_str())
            .bind(account.claim.as_str())
            .bind(account.subject.as_str());
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.first().map(|row| row.parsed("name")).transpose())
            .map_err(attempt("find out whom an account stands for"))
    }

    /// Gives an account its name.
    pub async fn meet(
        &self,
        account: &Account,
        name: &OperatorName,
        at: Timestamp,
    ) -> Result<Met, StoreError> {
        self.give_name(account, name, at)
            .await
            .map_err(attempt(format_args!("write down whose account {name} is")))
    }

    /// By name.
    pub async fn people(&self) -> Result<Vec<PersonRow>, StoreError> {
        let query =
            sql("SELECT issuer, claim, subject, name, since FROM oidc_people ORDER BY name, issuer, claim");
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.iter().map(person).collect()).map_err(attempt("list the people"))
    }

    /// The name is nobody's until an account comes with it again.
    pub async fn forget_person(&self, name: &OperatorName) -> Result<Vec<PersonRow>, StoreError> {
        let query = sql("DELETE FROM oidc_people WHERE name = $1 \
                         RETURNING issuer, claim, subject, name, since")
        .bind(name.as_str());
        let rows = self.db.write(query).await;
        rows.and_then(|rows| rows.iter().map(person).collect())
            .map_err(attempt(format_args!("forget whose account {name} is")))
    }

    async fn give_name(&self, account: &Account, name: &OperatorName, at: Timestamp) -> Result<Met, Cause> {
        let Account { issuer, claim, subject } = account;
        let mut tx = self.db.begin().await?;
        let insert = sql("INSERT INTO oidc_people (issuer, claim, subject, name, since) \
                          VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING")
        .bind(issuer.as_str())
        .bind(claim.as_str())
        .bind(subject.as_str())
        .bind(name.as_str())
        .bind(at);
        tx.execute(insert).await?;
        let found = sql("SELECT name FROM oidc_people WHERE issuer = $1 AND claim = $2 AND subject = $3")
            .bind(issuer.as_str())
            .bind(claim.as_str())
            .bind(subject.as_str());
        let met = match tx.first(found).await? {
            Some(row) => Met::As(row.parsed("name")?),
            None => Met::NameTaken,
        };
        tx.commit().await?;
        Ok(met)
    }
}

fn person(row: &Row) -> Result<PersonRow, Cause> {
    let account =
        Account { issuer: row.text("issuer")?, claim: row.text("claim")?, subject: row.text("subject")? };
    Ok(PersonRow { account, name: row.parsed("name")?, since: row.time("since")? })
}
