//! Whether a backup fits: asked before it begins, and while it is written.

use std::io;
use std::path::Path;

pub(crate) use stopover_model::disk::RESERVE;
use stopover_model::plan::grouped;
use stopover_model::report::{ErrorClass, StepError};

/// A dump without indexes and bloat, compressed, is rarely smaller than an eighth of the tables' size. What can't fit even
/// so is refused before it begins; what might fit is tried, and stops before it uses the reserve.
const SMALLEST_PART: u64 = 8;

/// Bytes that this user can still write there.
pub(crate) fn free(directory: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Refuses a backup that clearly can't fit.
pub(crate) fn check(directory: &Path, tables_bytes: u64) -> Result<(), StepError> {
    let free = free(directory).map_err(|error| {
        let message = format!("could not ask how much space is free in {}: {error}", directory.display());
        StepError::new(ErrorClass::Setup, message).with_hint("check backup.directory in agent.toml")
    })?;
    if fits(free, tables_bytes) { Ok(()) } else { Err(full(directory, free, tables_bytes)) }
}

/// The error of a backup that does not fit.
pub(crate) fn full(directory: &Path, free: u64, tables_bytes: u64) -> StepError {
    let message = format!(
        "no space for the backup in {}: {} MB free, the tables have {} MB, and {} MB stay in reserve",
        directory.display(),
        megabytes(free),
        megabytes(tables_bytes),
        megabytes(RESERVE)
    );
    StepError::new(ErrorClass::Setup, message)
        .with_hint("remove old backups, or set backup.directory in agent.toml to a larger disk")
}

fn fits(free: u64, tables_bytes: u64) -> bool {
    free >= RESERVE + tables_bytes / SMALLEST_PART
}

fn megabytes(bytes: u64) -> String {
    grouped(bytes / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_clearly_can_not_fit_is_refused() {
        let gigabyte = 1_000_000_000;
        assert!(fits(gigabyte, 4 * gigabyte));
        assert!(!fits(gigabyte, 10 * gigabyte));
        assert!(!fits(RESERVE - 1, 0));
    }

    #[test]
    fn the_error_says_how_much_there_is() {
        let error = full(Path::new("/b"), 1_500_000_000, 80_000_000_000);
        assert!(error.message.contains("1,500 MB free, the tables have 80,000 MB"), "{}", error.message);
    }
}
