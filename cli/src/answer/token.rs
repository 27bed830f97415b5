//! Tokens, without their secrets.

use jiff::Timestamp;
use serde::Serialize;
use stopover_model::id::{GroupName, OperatorName, TokenId};
use stopover_model::role::{Grant, Grants, InvalidGrant};
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenRow {
    pub id: TokenId,
    pub operator: OperatorName,
    pub groups: Vec<GroupName>,
    pub roles: Grants,
    pub admin: bool,
    pub created_at: Timestamp,
    /// None: the server, at its first start.
    pub created_by: Option<OperatorName>,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub revoked_by: Option<OperatorName>,
}

impl TryFrom<v1::Token> for TokenRow {
    type Error = InvalidWire;

    fn try_from(wire: v1::Token) -> Result<Self, InvalidWire> {
        Ok(Self {
            id: field::name::read(wire.id, "id")?,
            operator: field::name::read(wire.operator, "operator")?,
            groups: field::names::read(wire.groups, "groups")?,
            roles: roles(&wire.roles)?,
            admin: wire.admin,
            created_at: field::timestamp::read(wire.created_at, "created_at")?,
            created_by: field::optional_name::read(wire.created_by, "created_by")?,
            expires_at: field::optional_timestamp::read(wire.expires_at, "expires_at")?,
            revoked_at: field::optional_timestamp::read(wire.revoked_at, "revoked_at")?,
            revoked_by: field::optional_name::read(wire.revoked_by, "revoked_by")?,
        })
    }
}

pub(crate) fn roles(texts: &[String]) -> Result<Grants, InvalidWire> {
    let mut roles = Grants::default();
    for text in texts {
        roles.add(grant(text)?);
    }
    Ok(roles)
}

pub(crate) fn grant(text: &str) -> Result<Grant, InvalidWire> {
    text.parse().map_err(|why: InvalidGrant| InvalidWire::new("roles", why.to_string()))
}
