//! What somebody may do where: a role, in one environment or in all of them.
//!
//! Each role may do what the ones before it may. Who has which, and which act needs which, is not known here.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::EnvironmentName;
use crate::text::as_text;

/// What somebody may do. Each may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything, changes nothing.
    Viewer,
    /// Deploys, pauses, rolls back.
    Operator,
    /// Agrees to what others deploy.
    Approver,
    /// Says who may do what, and by which pipeline.
    Admin,
}

/// Where a role counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Also in environments that are made later. Written `*`.
    Everywhere,
    Environment(EnvironmentName),
}

/// A role and where it counts: `approver@production`, `viewer@*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Grant {
    pub role: Role,
    pub scope: Scope,
}

/// Why a text is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGrant {
    #[error("`{0}` says no place; write `{0}@ENVIRONMENT`, or `{0}@*` for all environments")]
    NoPlace(Role),
    #[error("`{}` is no role; there are viewer, operator, approver and admin", .0.escape_debug())]
    NoRole(String),
    #[error("{0}; or write `*` for all environments")]
    NoEnvironment(crate::id::InvalidId),
}

/// All roles of somebody: the highest for each place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Grant>", into = "Vec<Grant>")]
pub struct Grants(BTreeMap<Scope, Role>);

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl Grants {
    /// What one grant gives.
    #[must_use]
    pub fn everywhere(role: Role) -> Self {
        Self::from(vec![Grant { role, scope: Scope::Everywhere }])
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The role in an environment.
    #[must_use]
    pub fn role_in(&self, environment: &EnvironmentName) -> Option<Role> {
        let here = self.0.get(&Scope::Environment(environment.clone())).copied();
        here.max(self.role_everywhere())
    }

    /// The role in every environment, those that are made later as well.
    #[must_use]
    pub fn role_everywhere(&self) -> Option<Role> {
        self.0.get(&Scope::Everywhere).copied()
    }

    /// The highest role that there is somewhere.
    #[must_use]
    pub fn role_anywhere(&self) -> Option<Role> {
        self.0.values().copied().max()
    }

    #[must_use]
    pub fn role_at(&self, scope: &Scope) -> Option<Role> {
        match scope {
            Scope::Everywhere => self.role_everywhere(),
            Scope::Environment(environment) => self.role_in(environment),
        }
    }

    /// Says who may do what in all environments.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role_everywhere() == Some(Role::Admin)
    }

    pub fn add(&mut self, grant: Grant) {
        let role = self.0.entry(grant.scope).or_insert(grant.role);
        *role = (*role).max(grant.role);
    }

    pub fn iter(&self) -> impl Iterator<Item = Grant> {
        self.0.iter().map(|(scope, role)| Grant { role: *role, scope: scope.clone() })
    }
}

impl Extend<Grant> for Grants {
    fn extend<I: IntoIterator<Item = Grant>>(&mut self, grants: I) {
        grants.into_iter().for_each(|grant| self.add(grant));
    }
}

impl From<Vec<Grant>> for Grants {
    fn from(grants: Vec<Grant>) -> Self {
        let mut all = Self::default();
        all.extend(grants);
        all
    }
}

impl From<Grants> for Vec<Grant> {
    fn from(grants: Grants) -> Self {
        grants.iter().collect()
    }
}

impl FromStr for Role {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| InvalidGrant::NoRole(text.to_owned()))
    }
}

impl FromStr for Scope {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        match text {
            "*" => Ok(Self::Everywhere),
            name => name.parse().map(Self::Environment).map_err(InvalidGrant::NoEnvironment),
        }
    }
}

impl FromStr for Grant {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let Some((role, scope)) = text.split_once('@') else {
            let role: Role = text.parse()?;
            return Err(InvalidGrant::NoPlace(role));
        };
        Ok(Self { role: role.parse()?, scope: scope.parse()? })
    }
}

as_text!(Grant, InvalidGrant);

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere => f.pad("*"),
            Self::Environment(environment) => environment.fmt(f),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.role, self.scope)
    }
}

/// As in a sentence: `viewer@*, operator@staging`, or `no role`.
impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.iter().map(|grant| grant.to_string()).collect();
        f.pad(&if all.is_empty() { "no role".to_owned() } else { all.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(texts: &[&str]) -> Grants {
        texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Grant>>().into()
    }

    #[test]
    fn a_role_counts_where_it_was_given_and_the_higher_one_wins() {
        let mine = grants(&["viewer@*", "approver@production", "operator@production"]);
        let (production, staging) = ("production".parse().unwrap(), "staging".parse().unwrap());
        assert_eq!(mine.role_in(&production), Some(Role::Approver));
        assert_eq!(mine.role_in(&staging), Some(Role::Viewer));
        assert_eq!(
            (mine.role_everywhere(), mine.role_anywhere()),
            (Some(Role::Viewer), Some(Role::Approver))
        );
        assert_eq!(grants(&["operator@staging"]).role_in(&production), None);
        assert_eq!(grants(&["admin@*", "viewer@staging"]).role_in(&staging), Some(Role::Admin));
        assert!(Role::ALL.is_sorted());
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        let mine = grants(&["viewer@*", "approver@production"]);
        assert_eq!(mine.to_string(), "viewer@*, approver@production");
        assert_eq!(Grants::default().to_string(), "no role");
        let text = serde_json::to_string(&mine).unwrap();
        assert_eq!(text, r#"["viewer@*","approver@production"]"#);
        assert_eq!(serde_json::from_str::<Grants>(&text).unwrap(), mine);
    }

    #[test]
    fn what_is_no_grant_is_told_how_to_be_one() {
        for (text, expected) in [
            ("operator", "`operator` says no place; write `operator@ENVIRONMENT`, or `operator@*`"),
            ("owner@staging", "`owner` is no role; there are viewer, operator, approver and admin"),
            ("owner", "`owner` is no role"),
            ("admin@", "`` is not the name of an environment"),
            ("admin@Staging", "or write `*` for all environments"),
            ("Admin@*", "`Admin` is no role"),
        ] {
            let error = text.parse::<Grant>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
