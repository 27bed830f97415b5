//! Whether a batch may begin: the limits and the live database's signals, looked at again and again, and what people hear
//! of it.

use std::convert::Infallible;
use std::time::Duration;

use stopover_model::backfill::{Hold, Reading, Signal};
use tokio::time::{Instant, sleep};

use super::Campaign;
use super::signals::{Look, Probe};
use crate::postgres::{Purpose, Session, SessionName};

const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// What holds for long is said again, with what it reads now.
const BETWEEN_LINES: Duration = Duration::from_mins(1);

/// What was last seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Weather {
    pub(super) holds: Vec<Hold>,
    /// Since when something has held without a break.
    pub(super) held_since: Option<Instant>,
    pub(super) wal_bytes: u64,
    pub(super) dead_rows: u64,
    /// Sessions that wait for a lock on the table.
    pub(super) lock_waiters: u32,
}

impl Weather {
    pub(super) fn is_fair(&self) -> bool {
        self.holds.is_empty()
    }
}

/// Looks until it is dropped. Where nothing can be seen no batch begins.
pub(super) async fn watch(campaign: &Campaign<'_, '_>) -> Infallible {
    let brakes = &campaign.engine.job.backfill.brakes;
    let mut probe = Probe::new(brakes.clone(), campaign.walk.oid);
    let mut session: Option<Session> = None;
    let mut teller = Teller::default();
    loop {
        let mut weather = campaign.weather().borrow().clone().unwrap_or_default();
        match look(campaign, &mut probe, &mut session).await {
            Ok(look) => {
                weather.holds = brakes.holds(&look.signals);
                weather.wal_bytes = look.wal_bytes;
                weather.dead_rows = look.dead_rows;
                weather.lock_waiters = match look.signals.lock_waiters {
                    Reading::Value(waiters) => waiters,
                    Reading::Absent | Reading::Unreadable(_) => 0,
                };
            }
            Err(why) => {
                session = None;
                let text = format!("the database's signals can't be read: {why}");
                weather.holds = vec![Hold { signal: Signal::Everything, text }];
            }
        }
        if campaign.throttle().paused {
            // A person's wish is no weather, and holds all the same.
            teller.paused(campaign);
        }
        if campaign.is_past_its_window() {
            teller.window_ended(campaign);
        }
        weather.held_since = match weather.held_since {
            _ if weather.holds.is_empty() => None,
            since => since.or_else(|| Some(Instant::now())),
        };
        teller.tell(campaign, &weather);
        campaign.weather().send_replace(Some(weather));
        campaign.report();
        sleep(BETWEEN_LOOKS).await;
    }
}

async fn look(
    campaign: &Campaign<'_, '_>,
    probe: &mut Probe,
    session: &mut Option<Session>,
) -> Result<Look, String> {
    if session.is_none() {
        let purpose = Purpose::reading(&SessionName::of(campaign.engine.context));
        let opened = campaign.engine.context.database.connect(&purpose).await;
        *session = Some(opened.map_err(|e| e.to_string())?);
    }
    let Some(session) = session else { return Err("there is no session".to_owned()) };
    let working = campaign.working().clone();
    probe.look(session, &working).await.map_err(|e| e.to_string())
}

/// Says when something begins to hold, when other things do, and when it goes on: not each time a figure changes.
#[derive(Default)]
struct Teller {
    said: Vec<Signal>,
    at: Option<Instant>,
    since: Option<Instant>,
    paused: bool,
    window_ended: Option<Instant>,
}

impl Teller {
    fn paused(&mut self, campaign: &Campaign<'_, '_>) {
        if !self.paused {
            self.paused = true;
            campaign.engine.context.reporter.message("the backfill is paused: no batch begins");
        }
    }

    fn window_ended(&mut self, campaign: &Campaign<'_, '_>) {
        if self.window_ended.is_none() {
            self.window_ended = Some(Instant::now());
            let text = "the stage's window has ended: no batch begins before the next one";
            campaign.engine.context.reporter.message(text);
        }
    }

    fn tell(&mut self, campaign: &Campaign<'_, '_>, weather: &Weather) {
        let reporter = &campaign.engine.context.reporter;
        if let Some(since) = self.window_ended.take_if(|_| !campaign.is_past_its_window()) {
            let waited = stopover_model::duration::human(since.elapsed());
            reporter.message(format!("the stage may go on: the backfill continues after {waited}"));
        }
        if self.paused && !campaign.throttle().paused {
            self.paused = false;
            reporter.message("the backfill is no longer paused");
        }
        let signals: Vec<Signal> = weather.holds.iter().map(|hold| hold.signal).collect();
        let due = self.at.is_none_or(|at| at.elapsed() >= BETWEEN_LINES);
        if signals.is_empty() {
            if let Some(since) = self.since.take() {
                let held = stopover_model::duration::human(since.elapsed());
                reporter.message(format!("the backfill goes on after {held}"));
                (self.said, self.at) = (Vec::new(), None);
            }
        } else if signals != self.said || due {
            self.since.get_or_insert_with(Instant::now);
            let texts: Vec<&str> = weather.holds.iter().map(|hold| hold.text.as_str()).collect();
            reporter.message(format!("the backfill is held: {}", texts.join("; ")));
            (self.said, self.at) = (signals, Some(Instant::now()));
        }
    }
}
