//! Whom the server takes a caller for, and how others get in.

use stopover_model::role::Grants;
use stopover_proto::convert::field::{name, names, optional_timestamp};
use stopover_proto::v1;

use super::Api;
use crate::rpc::auth::{Came, Operator};

impl Api {
    /// For anybody who asks: nothing of it is a secret.
    pub(super) fn ways_in(&self) -> v1::ShowLoginResponse {
        let oidc = self.services.oidc.as_ref().map(|oidc| oidc.settings().clone());
        let oidc = oidc.map(|settings| v1::OidcLogin {
            issuer: settings.issuer,
            client_id: settings.client_id,
            audience: settings.audience,
            scopes: settings.scopes,
            ca: settings.ca.unwrap_or_default(),
        });
        v1::ShowLoginResponse { oidc }
    }

    pub(super) fn identity_of(&self, by: Operator) -> v1::WhoAmIResponse {
        let (own, oidc) = match by.came {
            Came::ByToken { roles, .. } => (roles, None),
            Came::ByOidc { issuer, subject, called, .. } => {
                let called = name::write(called);
                (Grants::default(), Some(v1::OidcIdentity { issuer, subject, called }))
            }
        };
        let source = |role: String, group: String| v1::RoleSource { role, group };
        let mut sources: Vec<_> = own.iter().map(|grant| source(grant.to_string(), String::new())).collect();
        for group in &by.groups {
            let grants = self.services.roles.of(std::slice::from_ref(group));
            sources.extend(grants.iter().map(|grant| source(grant.to_string(), group.to_string())));
        }
        v1::WhoAmIResponse {
            operator: name::write(by.name),
            groups: names::write(by.groups),
            roles: by.grants.iter().map(|grant| grant.to_string()).collect(),
            expires_at: optional_timestamp::write(by.expires_at),
            oidc,
            sources,
        }
    }
}
