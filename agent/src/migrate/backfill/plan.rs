//! Which ranges there are: read from the ledger, or drawn up once and written there.

use stopover_model::backfill::{Batchable, Directive};

use super::cut::{count, key_at, last_key};
use super::key::Walk;
use super::lanes::lanes;
use super::{statement_key, write};
use crate::ledger::{self, BackfillRange};
use crate::migrate::Engine;
use crate::migrate::job::ScriptStep;
use crate::migrate::stop::Stop;
use crate::postgres::Session;

/// The ranges of the backfill, and each lane of them; none where the table has no rows.
pub(super) async fn ranges(
    engine: &Engine<'_>,
    session: &Session,
    scout: &Session,
    step: &ScriptStep<'_>,
    directive: &Directive,
    (walk, batchable): (&Walk, &Batchable<'_>),
) -> Result<Vec<BackfillRange>, Stop> {
    let doing = "read the backfill's place in the ledger";
    let statement = statement_key(engine, step);
    let known = ledger::backfill_ranges(session, statement).await.map_err(|e| Stop::query(e, doing))?;
    if !known.is_empty() {
        return Ok(known);
    }
    let fail = |e| Stop::query(e, "look for the backfill's last row");
    let Some(last) = last_key(scout, walk).await.map_err(fail)? else { return Ok(Vec::new()) };
    let workers = u64::from(directive.workers.unwrap_or(1).max(1));
    let mut ends = Vec::new();
    if workers > 1 {
        let rows = count(scout, walk).await.map_err(fail)?;
        for n in 1..workers {
            ends.extend(key_at(scout, walk, rows * n / workers).await.map_err(fail)?);
        }
        ends.dedup();
        ends.retain(|end| *end != last);
    }
    ends.push(last);
    let key: Vec<String> = walk.key.iter().map(|column| column.name.clone()).collect();
    let lanes = lanes(session, walk, batchable, workers)
        .await
        .map_err(|e| Stop::query(e, "look for the indexes that the backfill touches"))?;
    let mut after = None;
    let mut ranges: Vec<BackfillRange> = Vec::new();
    for through in ends {
        let after = after.replace(through.clone());
        for lane in &lanes {
            let number = i32::try_from(ranges.len()).unwrap_or(i32::MAX);
            let range = BackfillRange::new(number, key.clone(), after.clone(), through.clone());
            ranges.push(BackfillRange { lane: *lane, ..range });
        }
    }
    let written = ledger::add_backfill(session, statement, &ranges);
    write(engine, session, "write the backfill's ranges into the ledger", written).await?;
    Ok(ranges)
}
