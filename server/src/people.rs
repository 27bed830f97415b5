//! What groups of people may do, as server.toml says it. Whoever is in several groups may do what each of them may.

use stopover_model::id::GroupName;
use stopover_model::role::{Grant, Grants};

/// `[[role]]` of server.toml.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupRoles(Vec<(GroupName, Grant)>);

impl GroupRoles {
    #[must_use]
    pub fn new(roles: Vec<(GroupName, Grant)>) -> Self {
        Self(roles)
    }

    /// Those that may do something, each once.
    pub fn groups(&self) -> impl Iterator<Item = &GroupName> {
        let all: std::collections::BTreeSet<_> = self.0.iter().map(|(group, _)| group).collect();
        all.into_iter()
    }

    /// What these groups may do together.
    #[must_use]
    pub fn of(&self, groups: &[GroupName]) -> Grants {
        let mut all = Grants::default();
        all.extend(self.0.iter().filter(|(group, _)| groups.contains(group)).map(|(_, grant)| grant.clone()));
        all
    }
}
