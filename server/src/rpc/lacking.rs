//! Where a role has to be, and what is said to somebody who lacks it: which one would do, where, and who can give it.

use std::fmt;

use stopover_model::id::{EnvironmentName, GroupName, OperatorName};
use stopover_model::role::{Grant, Grants, Role, Scope};

/// So many who can give a role are named.
const NAMED: usize = 3;

/// Where a role has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Where {
    Anywhere,
    /// In each of these; of none at all: everywhere.
    Each(Vec<Scope>),
    OneOf(Vec<EnvironmentName>),
}

/// A role that somebody lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lacking {
    pub(super) by: OperatorName,
    pub(super) has: Grants,
    /// What for.
    pub(super) verb: &'static str,
    pub(super) role: Role,
    /// Where it is lacking; empty: anywhere at all.
    pub(super) scopes: Vec<Scope>,
    /// One of the scopes would do.
    pub(super) any: bool,
    pub(super) way_out: WayOut,
}

/// How somebody comes by a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WayOut {
    /// One of these makes a token.
    Token { givers: Vec<OperatorName> },
    /// By a group, which the identity provider says they are in.
    Group {
        issuer: String,
        /// Groups that have the role by server.toml.
        with_role: Vec<GroupName>,
        /// Those that the provider names.
        theirs: Vec<GroupName>,
    },
}

impl Where {
    pub(super) fn each<'a>(environments: impl IntoIterator<Item = &'a EnvironmentName>) -> Self {
        Self::Each(environments.into_iter().cloned().map(Scope::Environment).collect())
    }

    /// Where the role is lacking; empty where nothing is.
    pub(super) fn lacking(&self, has: &Grants, role: Role) -> Option<Vec<Scope>> {
        let suffices = |scope: &Scope| has.role_at(scope) >= Some(role);
        let missing: Vec<Scope> = match self {
            Self::Anywhere if has.role_anywhere() >= Some(role) => return None,
            Self::Anywhere => return Some(Vec::new()),
            Self::OneOf(environments) => {
                let scopes: Vec<_> = environments.iter().cloned().map(Scope::Environment).collect();
                if scopes.iter().any(suffices) { Vec::new() } else { scopes }
            }
            Self::Each(scopes) if scopes.is_empty() => {
                if suffices(&Scope::Everywhere) {
                    Vec::new()
                } else {
                    vec![Scope::Everywhere]
                }
            }
            Self::Each(scopes) => scopes.iter().filter(|scope| !suffices(scope)).cloned().collect(),
        };
        Some(missing).filter(|missing| !missing.is_empty())
    }
}

/// "to deploy needs the role operator in production, and ben has viewer@*; anna can give it: stopover token create ben
/// --role operator@production".
impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, has, verb, role, scopes, any, way_out } = self;
        write!(f, "to {verb} needs the role {role} ")?;
        match scopes.as_slice() {
            [] => f.write_str("in some environment")?,
            scopes if scopes.contains(&Scope::Everywhere) => f.write_str("in all environments")?,
            scopes => {
                let names: Vec<_> = scopes.iter().map(ToString::to_string).collect();
                write!(f, "in {}", names.join(if *any { " or " } else { " and " }))?;
            }
        }
        write!(f, ", and {by} has {has}; ")?;
        let givers = match way_out {
            WayOut::Token { givers } => givers,
            WayOut::Group { issuer, with_role, theirs } => {
                return by_group(f, by, issuer, with_role, theirs);
            }
        };
        match one_of(givers) {
            Some(shown) => write!(f, "{shown} can give it")?,
            None => f.write_str("an administrator can give it")?,
        }
        write!(f, ": stopover token create {by}")?;
        let scopes = if *any { scopes.get(..1).unwrap_or_default() } else { scopes };
        if scopes.is_empty() {
            return write!(f, " --role {role}@ENVIRONMENT");
        }
        scopes
            .iter()
            .try_for_each(|scope| write!(f, " --role {}", Grant { role: *role, scope: scope.clone() }))
    }
}

/// "by [[role]] in server.toml the group dba has it, and ben is in dev: whoever keeps the groups of the issuer adds ben".
fn by_group(
    f: &mut fmt::Formatter<'_>,
    by: &OperatorName,
    issuer: &str,
    with_role: &[GroupName],
    theirs: &[GroupName],
) -> fmt::Result {
    let is_in = if theirs.is_empty() {
        format!("{issuer} names no group of {by}")
    } else {
        format!("{by} is in {}", joined(theirs))
    };
    match one_of(with_role) {
        Some(groups) => write!(
            f,
            "by [[role]] in server.toml it comes with the group {groups}, and {is_in}: who keeps the groups of {issuer} \
             can add {by}"
        ),
        None => write!(
            f,
            "by [[role]] in server.toml it comes with no group, and {is_in}: add a [[role]] for one"
        ),
    }
}

/// "anna, carl, dora or others".
fn one_of(names: &[impl fmt::Display]) -> Option<String> {
    let mut shown: Vec<_> = names.iter().take(NAMED).map(ToString::to_string).collect();
    if names.len() > NAMED {
        shown.push("others".to_owned());
    }
    Some(match shown.split_last()? {
        (last, []) => last.clone(),
        (last, rest) => format!("{} or {last}", rest.join(", ")),
    })
}

fn joined(names: &[impl fmt::Display]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(texts: &[&str]) -> Grants {
        texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Grant>>().into()
    }

    fn environments(names: &[&str]) -> Vec<EnvironmentName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_role_has_to_be_where_it_is_needed() {
        let both = environments(&["staging", "production"]);
        let staging = grants(&["operator@staging", "viewer@*"]);
        let lacks = |place: &Where, has: &Grants| place.lacking(has, Role::Operator).map(|l| l.len());
        assert_eq!(lacks(&Where::each(&both), &staging), Some(1));
        assert_eq!(lacks(&Where::OneOf(both.clone()), &staging), None);
        assert_eq!(lacks(&Where::OneOf(both[1..].to_vec()), &staging), Some(1));
        assert_eq!(lacks(&Where::Anywhere, &staging), None);
        assert_eq!(lacks(&Where::Anywhere, &grants(&["viewer@*"])), Some(0));
        assert_eq!(lacks(&Where::Each(Vec::new()), &staging), Some(1), "everywhere");
        assert_eq!(lacks(&Where::each(&both), &grants(&["admin@*"])), None);
    }

    #[test]
    fn a_refusal_says_which_role_where_and_who_can_give_it() {
        let [staging, production] =
            ["staging", "production"].map(|name| Scope::Environment(name.parse().unwrap()));
        let lacking = Lacking {
            by: "ben".parse().unwrap(),
            has: grants(&["viewer@*"]),
            verb: "deploy",
            role: Role::Operator,
            scopes: vec![staging, production],
            any: false,
            way_out: WayOut::Token {
                givers: ["anna", "carl", "dora", "eve"].map(|name| name.parse().unwrap()).to_vec(),
            },
        };
        assert_eq!(
            lacking.to_string(),
            "to deploy needs the role operator in staging and production, and ben has viewer@*; anna, carl, dora or \
             others can give it: stopover token create ben --role operator@staging --role operator@production"
        );
        let one = Lacking {
            any: true,
            way_out: WayOut::Token { givers: Vec::new() },
            has: Grants::default(),
            ..lacking.clone()
        };
        assert_eq!(
            one.to_string(),
            "to deploy needs the role operator in staging or production, and ben has no role; an administrator can \
             give it: stopover token create ben --role operator@staging"
        );
        let groups = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        let signed_in = |with_role: &[&str], theirs: &[&str]| {
            let (issuer, with_role, theirs) = ("https://id".to_owned(), groups(with_role), groups(theirs));
            Lacking { way_out: WayOut::Group { issuer, with_role, theirs }, ..lacking.clone() }.to_string()
        };
        let told = signed_in(&["dba", "ops"], &["dev"]);
        assert!(
            told.ends_with(
                "ben has viewer@*; by [[role]] in server.toml it comes with the group dba or ops, and ben is in dev: who \
                 keeps the groups of https://id can add ben"
            ),
            "{told}"
        );
        let told = signed_in(&[], &[]);
        assert!(
            told.ends_with(
                "it comes with no group, and https://id names no group of ben: add a [[role]] for one"
            ),
            "{told}"
        );
    }
}
