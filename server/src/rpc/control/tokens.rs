//! The operators' tokens: made, listed, revoked. A secret leaves the server once, in the answer to whoever made it.

use std::time::Duration;

use stopover_model::id::{GroupName, OperatorName, TokenId};
use stopover_proto::convert::InvalidWire;
use stopover_proto::convert::field::{
    name, names, optional_duration, optional_name, optional_timestamp, timestamp,
};
use stopover_proto::token::OperatorToken;
use stopover_proto::v1;

use super::Api;
use crate::rpc::status::RpcError;
use crate::store::{NewToken, Revoked, TokenRow};

/// Nobody is in so many; the token of somebody who is would be read with each call.
const MOST_GROUPS: usize = 50;

impl Api {
    pub(super) async fn make_token(
        &self,
        by: OperatorName,
        request: v1::CreateTokenRequest,
    ) -> Result<v1::CreateTokenResponse, RpcError> {
        let operator: OperatorName = name::read(request.operator, "operator")?;
        let mut groups: Vec<GroupName> = names::read(request.groups, "groups")?;
        groups.sort();
        groups.dedup();
        if groups.len() > MOST_GROUPS {
            return Err(InvalidWire::new("groups", format!("has more than {MOST_GROUPS} groups")).into());
        }
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
            admin: request.admin,
            created_by: Some(&by),
            at: now,
            expires_at,
        };
        let id = self.services.store.create_operator_token(new).await?;
        tracing::info!(token = %id, %operator, admin = request.admin, %by, "made a token");
        let admin = request.admin;
        let stored = TokenRow {
            id,
            operator,
            groups,
            admin,
            created_at: now,
            created_by: Some(by),
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
        by: OperatorName,
        request: v1::RevokeTokenRequest,
    ) -> Result<v1::RevokeTokenResponse, RpcError> {
        let id: TokenId = name::read(request.id, "id")?;
        match self.services.store.revoke_operator_token(&id, &by, (self.services.clock)()).await? {
            Revoked::Token(row) => {
                tracing::info!(token = %id, operator = %row.operator, %by, "revoked a token");
                Ok(v1::RevokeTokenResponse { stored: Some(wire(row)) })
            }
            Revoked::Unknown => Err(RpcError::NoSuchToken(id)),
            Revoked::LastAdmin(row) => Err(RpcError::LastAdmin(row.id)),
        }
    }
}

fn wire(row: TokenRow) -> v1::Token {
    v1::Token {
        id: name::write(row.id),
        operator: name::write(row.operator),
        groups: names::write(row.groups),
        admin: row.admin,
        created_at: timestamp::write(row.created_at),
        created_by: optional_name::write(row.created_by),
        expires_at: optional_timestamp::write(row.expires_at),
        revoked_at: optional_timestamp::write(row.revoked_at),
        revoked_by: optional_name::write(row.revoked_by),
    }
}
