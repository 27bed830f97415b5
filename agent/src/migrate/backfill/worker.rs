//! A range of the key, batch by batch to its end.

use stopover_model::backfill::{KeyValues, Pace};
use tokio::time::Instant;

use super::Campaign;
use super::batch::{self, Sessions};
use super::cut::{Cut, cut};
use crate::ledger::BackfillRange;
use crate::migrate::stop::Stop;

/// Works until the range is done, or until everybody is to stop; the place is in the ledger either way.
pub(super) async fn work(
    campaign: &Campaign<'_, '_>,
    sessions: Sessions<'_>,
    mut range: BackfillRange,
) -> Result<(), Stop> {
    let known = u32::try_from(range.batch_rows).ok().filter(|rows| *rows > 0);
    let mut pace = Pace::new(campaign.throttle().target(), known);
    let mut ahead: Option<Cut> = None;
    while !range.done {
        if !campaign.may_begin().await {
            return Ok(());
        }
        let throttle = campaign.throttle();
        pace.retarget(throttle.target());
        let here = match ahead.take() {
            Some(cut) if fits(&cut, pace.rows()) => cut,
            _ => look(campaign, sessions, &range, range.at.as_ref(), pace.rows()).await?,
        };
        let began = Instant::now();
        let (done, next) = tokio::join!(batch::run(campaign, sessions, &range, &here), async {
            match &here.to {
                Some(_) => look(campaign, sessions, &range, here.to.as_ref(), pace.rows()).await.map(Some),
                None => Ok(None),
            }
        });
        let done = done?;
        campaign.meter.batch(done.rows, if here.to.is_some() { here.size } else { 0 }, pace.rows());
        // How many rows the last batch of a range had nobody counted.
        if here.to.is_some() {
            pace.took(here.size, done.took);
        }
        range.done = here.to.is_none();
        range.at = here.to.or(range.at);
        campaign.report();
        // A look that failed is made again, and fails again where it must.
        ahead = next.ok().flatten();
        if !range.done {
            campaign.rest(throttle.rest(done.rows, began.elapsed())).await;
        }
    }
    Ok(())
}

async fn look(
    campaign: &Campaign<'_, '_>,
    sessions: Sessions<'_>,
    range: &BackfillRange,
    from: Option<&KeyValues>,
    size: u32,
) -> Result<Cut, Stop> {
    cut(sessions.scout, &campaign.walk, campaign.directive.order, range, from, size)
        .await
        .map_err(|e| Stop::query(e, "look for the end of the next batch"))
}

/// Whether a batch that was looked up earlier is still of about the right size.
fn fits(cut: &Cut, rows: u32) -> bool {
    cut.to.is_none() && cut.size <= rows || cut.to.is_some() && cut.size <= rows.saturating_mul(11) / 10
}
