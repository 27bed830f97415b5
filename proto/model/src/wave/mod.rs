//! Fleets: which of an environment's databases a stage is about, in which waves they come, how many at a time, and how many
//! of them may fail.
//!
//! Pure: who is in which wave follows from the names, the labels and the pipeline alone, and goes into the log when the
//! stage begins. Whoever joins later is in none.

mod label;
mod settings;

pub use label::{Labels, Selector};
pub(crate) use settings::check_waves;
pub use settings::{FleetSettings, MaxFailures, Share, Wave};

use crate::id::DatabaseName;

/// Puts each database into exactly one wave; they keep their order within it.
///
/// A number takes so many of those that are left, a percentage fills up to that part of all (rounded up), labels take those
/// that have them. Of no waves all databases are one. The error is the selector that nothing has.
pub fn divide<'a>(
    waves: &[Wave],
    databases: &[(&'a DatabaseName, &Labels)],
) -> Result<Vec<Vec<&'a DatabaseName>>, Selector> {
    let total = databases.len();
    let mut left: Vec<_> = databases.to_vec();
    let mut divided = Vec::with_capacity(waves.len());
    for wave in waves {
        let taken: Vec<_> = match &wave.share {
            Share::Count(count) => left.drain(..left.len().min(*count as usize)).collect(),
            Share::Percent(percent) => {
                let goal = (total * *percent as usize).div_ceil(100);
                let missing = goal.saturating_sub(total - left.len());
                left.drain(..left.len().min(missing)).collect()
            }
            Share::Labelled(selector) => {
                if !databases.iter().any(|(_, labels)| selector.fits(labels)) {
                    return Err(selector.clone());
                }
                left.extract_if(.., |(_, labels)| selector.fits(labels)).collect()
            }
        };
        divided.push(taken.into_iter().map(|(name, _)| name).collect());
    }
    if !left.is_empty() {
        divided.push(left.into_iter().map(|(name, _)| name).collect());
    }
    Ok(divided)
}

#[cfg(test)]
mod tests;
