//! A range of the key, batch by batch to its end, lane after lane in each stretch of it.

use stopover_model::backfill::{KeyValues, Pace};
use tokio::time::Instant;

use super::Campaign;
use super::batch::{self, Sessions};
use super::cut::{Cut, cut};
use crate::ledger::BackfillRange;
use crate::migrate::stop::Stop;

/// The lanes of a range: the first leads, and each of the others follows it over the same rows before it goes on.
pub(super) type Lanes = Vec<BackfillRange>;

/// Works until the range is done, or until everybody is to stop; the place is in the ledger either way.
pub(super) async fn work(
    campaign: &Campaign<'_, '_>,
    sessions: Sessions<'_>,
    mut lanes: Lanes,
) -> Result<(), Stop> {
    let known = lanes.first().and_then(|lead| u32::try_from(lead.batch_rows).ok()).filter(|rows| *rows > 0);
    let mut pace = Pace::new(campaign.throttle().target(), known);
    let mut ahead: Option<Cut> = None;
    while let Some(turn) = turn(&lanes) {
        if !campaign.may_begin().await {
            return Ok(());
        }
        let throttle = campaign.throttle();
        pace.retarget(throttle.target());
        let (range, lead) = (&lanes[turn], &lanes[0]);
        let here = if turn > 0 {
            behind(range, lead)
        } else {
            match ahead.take() {
                Some(cut) if fits(&cut, pace.rows()) => cut,
                _ => look(campaign, sessions, range, range.at.as_ref(), pace.rows()).await?,
            }
        };
        let began = Instant::now();
        let (done, next) = tokio::join!(batch::run(campaign, sessions, range, &here), async {
            match &here.to {
                Some(_) if turn + 1 == lanes.len() => {
                    look(campaign, sessions, range, here.to.as_ref(), pace.rows()).await.map(Some)
                }
                _ => Ok(None),
            }
        });
        let done = done?;
        let of = range.lane.map_or(1, |lane| u32::from(lane.of));
        // How many rows the last batch of a range had nobody counted.
        if here.to.is_some() {
            pace.took(here.size, done.took);
        }
        campaign.meter.batch(done.rows, here.walked(range.lane), pace.rows().div_ceil(of));
        let range = &mut lanes[turn];
        range.batch_rows = i32::try_from(here.size).unwrap_or(i32::MAX);
        range.done = here.to.is_none();
        range.at = here.to.or(range.at.take());
        campaign.report();
        // A look that failed is made again, and fails again where it must.
        ahead = next.ok().flatten();
        if self::turn(&lanes).is_some() {
            campaign.rest(throttle.rest(done.rows, began.elapsed())).await;
        }
    }
    Ok(())
}

/// The lane whose batch is the next; None where all are done.
fn turn(lanes: &[BackfillRange]) -> Option<usize> {
    let lead = lanes.first()?;
    let behind = lanes.iter().position(|lane| !lane.is_level_with(lead));
    behind.or_else(|| (!lead.done).then_some(0))
}

/// What the leading lane has done before another one.
fn behind(range: &BackfillRange, lead: &BackfillRange) -> Cut {
    Cut {
        from: range.at.clone(),
        to: lead.at.clone().filter(|_| !lead.done),
        size: u32::try_from(lead.batch_rows).unwrap_or_default(),
    }
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

#[cfg(test)]
mod tests {
    use stopover_model::backfill::Lane;

    use super::*;

    fn lanes() -> Lanes {
        let lane = |number| BackfillRange {
            lane: Some(Lane { number, of: 2 }),
            ..BackfillRange::new(number.into(), vec!["id".to_owned()], None, vec!["9".to_owned()])
        };
        (0..2).map(lane).collect()
    }

    fn key(key: &str) -> KeyValues {
        vec![key.to_owned()]
    }

    #[test]
    fn each_lane_follows_the_first_before_that_goes_on() {
        let mut lanes = lanes();
        assert_eq!(turn(&lanes), Some(0));
        lanes[0].at = Some(key("5"));
        lanes[0].batch_rows = 5;
        assert_eq!(turn(&lanes), Some(1));
        let follows = behind(&lanes[1], &lanes[0]);
        assert_eq!(follows, Cut { from: None, to: Some(key("5")), size: 5 });
        assert_eq!(
            (follows.walked(lanes[0].lane), follows.walked(lanes[1].lane), follows.walked(None)),
            (3, 2, 5)
        );
        lanes[1].at = Some(key("5"));
        assert_eq!(turn(&lanes), Some(0));
        lanes[0].done = true;
        assert_eq!(turn(&lanes), Some(1));
        let last = behind(&lanes[1], &lanes[0]);
        assert_eq!((&last.from, &last.to, last.walked(lanes[1].lane)), (&Some(key("5")), &None, 0));
        lanes[1].done = true;
        assert_eq!(turn(&lanes), None);
    }
}
