//! Removes backups that nobody needs any more, after a newer one has been made.
//!
//! What stays for sure: the newest, and the backups of deployments that go on or can be rolled back. Where the server does not
//! say which those are, everything stays. The manifest goes last, so that nothing without one is ever left behind.

use std::collections::BTreeSet;

use jiff::Timestamp;
use stopover_model::id::DeploymentId;
use stopover_model::report::StepError;

use super::manifest::Manifest;
use super::names::{LOG, MANIFEST};
use super::shelf::Shelf;
use crate::step::StepContext;
use crate::vault::{Destination, Retention, Vault};

/// Says what it removes. What can't be removed is said as well, and tried again after the next backup: it does not make a
/// good backup a bad one.
pub(super) async fn apply(context: &StepContext, vault: &Vault, needed: Option<&BTreeSet<DeploymentId>>) {
    if vault.retention == Retention::default() {
        return;
    }
    let Some(needed) = needed else {
        context.reporter.message("old backups stay: the server did not say which of them are still needed");
        return;
    };
    if let Err(error) = remove_old(context, vault, needed).await {
        context.reporter.message(format!("old backups could not all be removed: {}", error.message));
    }
}

async fn remove_old(
    context: &StepContext,
    vault: &Vault,
    needed: &BTreeSet<DeploymentId>,
) -> Result<(), StepError> {
    let destination = &vault.destination;
    let shelf = Shelf::of(destination, &context.environment, &context.step.database).await?;
    for old in due(&shelf.backups, vault.retention, needed, Timestamp::now()) {
        remove(destination, old).await?;
        context.reporter.message(format!(
            "removed the backup {} of {}, deployment {}: agent.toml keeps {}",
            old.id(),
            old.finished.strftime("%Y-%m-%d %H:%M UTC"),
            old.deployment,
            rule(vault.retention)
        ));
    }
    Ok(())
}

/// Of backups in order, the newest first, those that go. One stays while either rule says so.
pub(super) fn due<'a>(
    backups: &'a [Manifest],
    retention: Retention,
    needed: &BTreeSet<DeploymentId>,
    now: Timestamp,
) -> Vec<&'a Manifest> {
    let old = |(place, backup): &(usize, &Manifest)| {
        let among_newest = retention.keep.is_some_and(|keep| *place < keep as usize);
        let age = now.duration_since(backup.finished).unsigned_abs();
        let young = retention.keep_for.is_some_and(|longest| age <= longest);
        !among_newest && !young && !needed.contains(&backup.deployment)
    };
    backups.iter().enumerate().skip(1).filter(old).map(|(_, backup)| backup).collect()
}

async fn remove(destination: &Destination, backup: &Manifest) -> Result<(), StepError> {
    let file = backup.file.as_str();
    let stem = file.split_once(".dump").map_or(file, |(stem, _)| stem);
    let stem = stem.strip_suffix(LOG).unwrap_or(stem);
    let manifest = format!("{stem}{MANIFEST}");
    for name in backup.pieces().iter().chain(std::iter::once(&manifest)) {
        destination.remove(name).await?;
    }
    Ok(())
}

fn rule(retention: Retention) -> String {
    let count = retention.keep.map(|keep| format!("{keep} of each database"));
    let age = retention.keep_for.map(|age| format!("those of {}", stopover_model::duration::human(age)));
    [count, age].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}
