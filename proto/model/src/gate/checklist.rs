//! The checklist: what people have to do before a stage, and say that they have done.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::wait::{GateRefusal, GateWait};
use crate::id::OperatorName;
use crate::pipeline::StageSpec;

/// Who said that an item is done, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    pub by: OperatorName,
    pub at: Timestamp,
}

/// The item that somebody means: its text, in any case.
pub fn find_item<'a>(spec: &'a StageSpec, given: &str) -> Result<&'a str, GateRefusal> {
    let wanted = given.trim().to_lowercase();
    let found = spec.checklist.iter().find(|item| item.to_lowercase() == wanted);
    found.map(String::as_str).ok_or_else(|| unknown(spec, given))
}

/// The refusal of an item that the stage does not have.
pub(super) fn unknown(spec: &StageSpec, given: &str) -> GateRefusal {
    let wanted = given.trim().to_lowercase();
    let distance = |item: &&String| strsim::damerau_levenshtein(&wanted, &item.to_lowercase());
    let begun = |item: &&&String| !wanted.is_empty() && item.to_lowercase().starts_with(&wanted);
    let near = |item: &&String| distance(item) <= 2.max(wanted.len() / 3);
    let begun = spec.checklist.iter().find(|item| begun(&item));
    let nearest = begun.or_else(|| spec.checklist.iter().min_by_key(distance).filter(near));
    GateRefusal::NoItem {
        environment: spec.environment.clone(),
        given: given.to_owned(),
        nearest: nearest.cloned(),
        items: spec.checklist.clone(),
    }
}

pub(super) fn wait(ticked: &BTreeMap<String, Tick>, checklist: &[String]) -> Option<GateWait> {
    let items: Vec<_> = checklist.iter().filter(|item| !ticked.contains_key(*item)).cloned().collect();
    (!items.is_empty()).then_some(GateWait::Checklist { items })
}
