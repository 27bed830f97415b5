//! Where a script would run.

use std::collections::BTreeMap;

use stopover_model::id::EnvironmentName;
use stopover_model::impact::StatementImpact;

use super::super::number::count;

/// So many databases of an environment are named.
const MOST_NAMES: usize = 8;

/// A database where a script would run.
pub(super) struct Place<'a> {
    /// None: it is the only one.
    pub(super) environment: Option<&'a EnvironmentName>,
    /// `staging/app`
    pub(super) name: String,
    /// What the script's statements do there; none where the agent says nothing of it.
    pub(super) statements: &'a [StatementImpact],
}

/// Where all of these are: `staging/app, 297 databases of production`.
pub(super) fn named(places: &[Place<'_>]) -> String {
    let mut sizes: BTreeMap<Option<&EnvironmentName>, usize> = BTreeMap::new();
    for place in places {
        *sizes.entry(place.environment).or_default() += 1;
    }
    let mut said = Vec::new();
    for place in places {
        let text = match (place.environment, sizes.get(&place.environment)) {
            (Some(environment), Some(many)) if *many > MOST_NAMES => {
                format!("{} of {environment}", count(*many as u64, "database"))
            }
            _ => place.name.clone(),
        };
        // Those of an environment come one after the other.
        if said.last() != Some(&text) {
            said.push(text);
        }
    }
    said.join(", ")
}
