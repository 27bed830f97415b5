//! Whether somebody's role suffices for what they ask; and if not, who can give it.

use stopover_model::id::GroupName;
use stopover_model::role::{Role, Scope};

use super::auth::{Came, Operator};
use super::lacking::{Lacking, WayOut, Where};
use super::status::RpcError;
use crate::conductor::Clock;
use crate::store::{Store, TokenRow};

impl Operator {
    /// Refuses what the caller's role does not suffice for.
    pub(super) async fn may(&self, store: &Store, clock: Clock, place: &Where) -> Result<(), RpcError> {
        let Some(mut scopes) = place.lacking(&self.grants, self.method.role) else { return Ok(()) };
        scopes.dedup();
        let way_out = match &self.came {
            Came::ByToken { .. } => givers(store, clock, &scopes).await?,
            Came::ByOidc { issuer, roles, .. } => {
                let suffices = |group: &&GroupName| {
                    place.lacking(&roles.of(std::slice::from_ref(*group)), self.method.role).is_none()
                };
                WayOut::Group {
                    issuer: issuer.clone(),
                    with_role: roles.groups().filter(suffices).cloned().collect(),
                    theirs: self.groups.clone(),
                }
            }
        };
        Err(RpcError::Lacking(Box::new(Lacking {
            by: self.name.clone(),
            has: self.grants.clone(),
            verb: self.method.verb,
            role: self.method.role,
            any: matches!(place, Where::OneOf(_)),
            scopes,
            way_out,
        })))
    }
}

async fn givers(store: &Store, clock: Clock, scopes: &[Scope]) -> Result<WayOut, RpcError> {
    let now = clock();
    let tokens = store.operator_tokens().await?;
    let mut givers: Vec<_> = tokens
        .into_iter()
        .filter(|token| token.is_good(now) && gives(token, scopes))
        .map(|token| token.operator)
        .collect();
    givers.dedup();
    Ok(WayOut::Token { givers })
}

fn gives(token: &TokenRow, scopes: &[Scope]) -> bool {
    let admin = |scope: &Scope| token.roles.role_at(scope) == Some(Role::Admin);
    token.roles.is_admin() || (!scopes.is_empty() && scopes.iter().all(admin))
}
