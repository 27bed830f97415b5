//! A lock is held until its transaction ends, however little the statement that took it had to do.

use stopover_model::impact::{LockTaken, StatementImpact, WorkKind};

use crate::reading::Reading;

/// Says at the first statement that takes a lock which others feel what is done under it.
pub(super) fn note(reading: &Reading<'_>, statements: &mut [StatementImpact]) {
    for transaction in &reading.transactions {
        let range = transaction.start.min(statements.len())..transaction.end.min(statements.len());
        let Some(statements) = statements.get_mut(range) else { continue };
        let mut noted: Vec<(String, _)> = Vec::new();
        for at in 0..statements.len() {
            let felt = |lock: &&LockTaken| lock.mode.blocks_writes();
            let already =
                |lock: &LockTaken| noted.iter().any(|(r, mode)| *r == lock.relation && *mode >= lock.mode);
            let new: Vec<_> =
                statements[at].locks.iter().filter(felt).filter(|lock| !already(lock)).collect();
            let Some(strongest) = new.first() else { continue };
            let text = under(strongest, reading, transaction.start, at, statements);
            noted.extend(new.iter().map(|lock| (lock.relation.clone(), lock.mode)).collect::<Vec<_>>());
            if let Some(text) = text {
                statements[at].notes.push(text);
            }
        }
    }
}

fn under(
    lock: &LockTaken,
    reading: &Reading<'_>,
    first: usize,
    at: usize,
    statements: &[StatementImpact],
) -> Option<String> {
    let after = statements.get(at + 1..)?;
    let slow = after.iter().position(|impact| !impact.work.is_empty())?;
    let work = after[slow].work.first()?;
    let line = reading.source.script.line_in_file(reading.statements.get(first + at + 1 + slow)?.at.line);
    let does = match work.kind {
        WorkKind::Rewrite => format!("writes {} anew", work.relation),
        WorkKind::Scan => format!("reads all of {}", work.relation),
        WorkKind::BuildIndex => format!("builds an index on {}", work.relation),
        WorkKind::ChangeRows => format!("changes rows of {}", work.relation),
    };
    Some(format!(
        "the lock on {} is held until the transaction ends, while line {line} {does}",
        lock.relation
    ))
}
