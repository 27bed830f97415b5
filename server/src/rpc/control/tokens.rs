//! The operators' tokens: made, listed, revoked. A secret leaves the server once, in the answer to whoever made it.

use std::time::Duration;

use stopover_model::id::{GroupName, OperatorName, TokenId};
use stopover_model::role::{Grant, Grants, InvalidGrant, Role, Scope};
use stopover_proto::convert::InvalidWire;
use stopover_proto::convert::field::{
    name, names, optional_duration, optional_name, optional_timestamp, timestamp,
};
use stopover_proto::token::OperatorToken;
use stopover_proto::v1;

use super::Api;
use crate::rpc::auth::Operator;
use crate::rpc::lacking::Where;
use crate::rpc::status::RpcError;
use crate::store::{NewToken, Revoked, TokenRow};

/// Nobody is in so many; the token of somebody who is would be read with each call.
const MOST_GROUPS: usize = 50;

impl Api {
    pub(super) async fn make_token(
        &self,
        by: &Operator,
        request: v1::CreateTokenRequest,
    ) -> Result<v1::CreateTokenResponse, RpcError> {
        let operator: OperatorName = name::read(request.operator, "operator")?;
        let mut groups: Vec<GroupName> = names::read(request.groups, "groups")?;
        groups.sort();
        groups.dedup();
        if groups.len() > MOST_GROUPS {
            return Err(InvalidWire::new("groups", format!("has more than {MOST_GROUPS} groups")).into());
        }
        let roles = roles(request.roles, request.admin)?;
        let together = self.together(&roles, &groups);
        if together.is_empty() {
            return Err(RpcError::NoRole(operator));
        }
        self.may(by, &everywhere_in(&together)).await?;
        let now = (self.services.clock)();
        let good_for = optional_duration::read(request.good_for, "good_for")?;
        let expires_at = match good_for {
            Some(Duration::ZERO) => {
                let why = "is 0, so that the token would have ended; leave it out for one that never ends";
                return Err(InvalidWire::new("good_for", why).into());
            }
            Some(good_for) => {
                let ends = now.checked_add(good_for);
                Some(ends.map_err(|_| InvalidWire::new("good_for", "reaches beyond the calendar"))?)
            }
            None => None,
        };
        let token = OperatorToken::new(rand::random());
        let new = NewToken {
            operator: &operator,
            hash: &token.hash(),
            groups: &groups,
            roles: &roles,
            created_by: Some(&by.name),
            at: now,
            expires_at,
        };
        let id = self.services.store.create_operator_token(new).await?;
        tracing::info!(token = %id, %operator, %roles, by = %by.name, "made a token");
        let stored = TokenRow {
            id,
            operator,
            groups,
            roles,
            created_at: now,
            created_by: Some(by.name.clone()),
            expires_at,
            revoked_at: None,
            revoked_by: None,
        };
        Ok(v1::CreateTokenResponse { token: token.expose(), stored: Some(wire(stored)) })
    }

    pub(super) async fn tokens(&self) -> Result<v1::ListTokensResponse, RpcError> {
        let tokens = self.services.store.operator_tokens().await?;
        Ok(v1::ListTokensResponse { tokens: tokens.into_iter().map(wire).collect() })
    }

    pub(super) async fn revoke(
        &self,
        by: &Operator,
        request: v1::RevokeTokenRequest,
    ) -> Result<v1::RevokeTokenResponse, RpcError> {
        let id: TokenId = name::read(request.id, "id")?;
        let tokens = self.services.store.operator_tokens().await?;
        let found = tokens.into_iter().find(|token| token.id == id);
        let found = found.ok_or_else(|| RpcError::NoSuchToken(id.clone()))?;
        self.may(by, &everywhere_in(&self.together(&found.roles, &found.groups))).await?;
        match self.services.store.revoke_operator_token(&id, &by.name, (self.services.clock)()).await? {
            Revoked::Token(row) => {
                tracing::info!(token = %id, operator = %row.operator, by = %by.name, "revoked a token");
                Ok(v1::RevokeTokenResponse { stored: Some(wire(row)) })
            }
            Revoked::Unknown => Err(RpcError::NoSuchToken(id)),
            Revoked::LastAdmin(row) => Err(RpcError::LastAdmin(row.id)),
        }
    }

    /// The roles of a token, and those of its groups.
    fn together(&self, roles: &Grants, groups: &[GroupName]) -> Grants {
        let mut together = roles.clone();
        together.extend(self.services.roles.of(groups).iter());
        together
    }
}

fn roles(given: Vec<String>, admin: bool) -> Result<Grants, InvalidWire> {
    let mut roles = Grants::default();
    for (index, text) in given.into_iter().enumerate() {
        let wrong = |why: InvalidGrant| InvalidWire::new(format!("roles[{index}]"), why.to_string());
        roles.add(text.parse().map_err(wrong)?);
    }
    if admin {
        roles.add(Grant { role: Role::Admin, scope: Scope::Everywhere });
    }
    Ok(roles)
}

/// Wherever one of the roles counts.
fn everywhere_in(roles: &Grants) -> Where {
    Where::Each(roles.iter().map(|grant| grant.scope).collect())
}

fn wire(row: TokenRow) -> v1::Token {
    v1::Token {
        id: name::write(row.id),
        operator: name::write(row.operator),
        groups: names::write(row.groups),
        admin: row.roles.is_admin(),
        roles: row.roles.iter().map(|grant| grant.to_string()).collect(),
        created_at: timestamp::write(row.created_at),
        created_by: optional_name::write(row.created_by),
        expires_at: optional_timestamp::write(row.expires_at),
        revoked_at: optional_timestamp::write(row.revoked_at),
        revoked_by: optional_name::write(row.revoked_by),
    }
}
