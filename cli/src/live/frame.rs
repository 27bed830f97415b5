//! What a terminal shows at one moment, within its width and height.

use stopover_model::deployment::{Deployment, Stage, StageStatus};
use stopover_model::event::StageIndex;

use super::Weather;
use crate::render::View;
use crate::render::line::Line;
use crate::render::{Depth, tree};

/// At most `height` lines, none wider than the view. Where not everything fits, stages that have ended are folded to
/// their row, then those to come are left out, then the beginning.
#[must_use]
pub fn frame(deployment: &Deployment, weather: &Weather, view: View, height: usize) -> Vec<Line> {
    let whole = |_: &Stage| true;
    let current = |stage: &Stage| stage.is_open();
    let mut lines = with_stages(deployment, weather, view, whole, whole);
    if lines.len() > height {
        lines = with_stages(deployment, weather, view, whole, current);
    }
    if lines.len() > height {
        lines = with_stages(deployment, weather, view, |s| s.status != StageStatus::Pending, current);
    }
    if lines.len() > height {
        let hidden = lines.len() - height.saturating_sub(1);
        lines.drain(..hidden);
        lines.insert(0, Line::new().dim(format!("… {hidden} lines above")).cut(view.width));
    }
    lines.truncate(height);
    lines.into_iter().map(|l| l.cut(view.width)).collect()
}

fn with_stages(
    deployment: &Deployment,
    weather: &Weather,
    view: View,
    shown: impl Fn(&Stage) -> bool,
    unfolded: impl Fn(&Stage) -> bool,
) -> Vec<Line> {
    let mut lines = tree::header(deployment, view);
    for (index, stage) in deployment.indexed_stages().filter(|(_, s)| shown(s)) {
        if unfolded(stage) {
            lines.extend(stage_lines(deployment, weather, index, stage, view));
        } else {
            lines.push(tree::stage_row(deployment, stage, view));
        }
    }
    lines.extend(tree::footer(deployment, view));
    lines
}

fn stage_lines(
    deployment: &Deployment,
    weather: &Weather,
    index: StageIndex,
    stage: &Stage,
    view: View,
) -> Vec<Line> {
    let below = View { width: view.width.saturating_sub(6), ..view };
    tree::stage_lines(deployment, index, stage, view, Depth::Rows, &|key| {
        weather.lines(deployment, key, below)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stopover_model::event::{Event, Waiting};
    use stopover_model::report::{LogLine, Progress, ProgressUnit, Session};

    use super::*;
    use crate::render::line::text;
    use crate::render::sample::{Story, at, key};

    fn weather(story: &Story) -> Weather {
        let mut weather = Weather::default();
        story.records.iter().for_each(|r| weather.observe(r));
        weather
    }

    fn shown(story: &Story, weather: &Weather, height: usize) -> String {
        let view = View { now: at(60), width: 80 };
        let lines = frame(&story.deployment, weather, view, height);
        assert!(lines.len() <= height && lines.iter().all(|l| l.width() <= 80), "{}", text(&lines));
        text(&lines)
    }

    fn notice(done: u64) -> LogLine {
        let text = format!("Updated {done} of 300000 users");
        LogLine::Notice { severity: "NOTICE".into(), code: "00000".into(), text }
    }

    fn batched() -> Story {
        Story::begun().staging_through().backed_up(1).start(1, "migrate").log(
            1,
            "migrate",
            1,
            LogLine::StatementStarted { index: 1 },
        )
    }

    #[test]
    fn a_loop_that_raises_notices_has_a_bar() {
        let story = batched().log(1, "migrate", 2, notice(30_000)).log(1, "migrate", 3, notice(60_000)).log(
            1,
            "migrate",
            4,
            notice(90_000),
        );
        insta::assert_snapshot!(shown(&story, &weather(&story), 40), @r#"
        4k2m9x0c1d  users-db  by admin  14:00:00 UTC                              1m 00s
          001_add_onboarding_completed  Sign-in can send people who have not finished o…
        ✓ staging  succeeded                                                14:00:14 UTC
          app
            ✓ inspect    PostgreSQL 15.18, users: 20,000 rows, 5.1 MB              1.0 s
            ✓ plan       users has 20,000 rows, fewer than 100,000
                         strongest lock ACCESS EXCLUSIVE on users
            ✓ back up    6.0 MB in a file of 1.5 MB, recorded                      1.2 s
            ✓ migrate    up.sql, 5 statements, 20,000 rows touched                 1.8 s
            ✓ verify     2 checks hold                                             1.0 s
            ✓ monitor    1 check holds                                             1.0 s
            ✓ soak       10 s
        ▸ production  running                                                       45 s
          app
            ✓ inspect    PostgreSQL 15.18, users: 300,000 rows, 76 MB              1.0 s
            ✓ plan       users has 300,000 rows, from 100,000 on the batched script runs
                         strongest lock ACCESS EXCLUSIVE on users
            ✓ back up    90 MB in a file of 22 MB, decoded                         1.2 s
            ▸ migrate    001_add_onboarding_completed                               39 s
              statement 2 of 5, line 9: DO $$ DECLARE batch_size CONSTANT BIGINT := 100…
              ████████▍░░░░░░░░░░░░░░░░░░░  90,000/300,000 rows  30,000 rows/s  7 s left
            · verify     001_add_onboarding_completed
        "#);
    }

    #[test]
    fn a_loop_whose_words_change_with_each_batch_has_a_rate() {
        let story = batched();
        let mut weather = weather(&story);
        for batch in 1..=3_u32 {
            let done = u64::from(batch) * 30_000;
            let doing = format!("Updated {done} of 300000 users");
            weather.progress(
                key(1, "migrate"),
                Progress { doing, done, total: 300_000, unit: ProgressUnit::Rows, backfill: None },
                at(50 + i64::from(batch)),
            );
        }
        let shown = shown(&story, &weather, 40);
        assert!(shown.contains("90,000/300,000 rows  30,000 rows/s  7 s left"), "{shown}");
    }

    #[test]
    fn a_backup_shows_what_it_copies() {
        let story = Story::begun().planned(0).start(0, "backup");
        let mut weather = weather(&story);
        for (second, done) in [(10, 0), (12, 10_000_000), (14, 20_000_000)] {
            let doing = "copying public.users".to_owned();
            weather.progress(
                key(0, "backup"),
                Progress { doing, done, total: 60_000_000, unit: ProgressUnit::Bytes, backfill: None },
                at(second),
            );
        }
        insta::assert_snapshot!(shown(&story, &weather, 40), @r#"
        4k2m9x0c1d  users-db  by admin  14:00:00 UTC                              1m 00s
          001_add_onboarding_completed  Sign-in can send people who have not finished o…
        ▸ staging  running                                                          59 s
          app
            ✓ inspect    PostgreSQL 15.18, users: 20,000 rows, 5.1 MB              1.0 s
            ✓ plan       users has 20,000 rows, fewer than 100,000
                         strongest lock ACCESS EXCLUSIVE on users
            ▸ back up                                                               55 s
              copying public.users
              ██████████░░░░░░░░░░░░░░░░░░░░  20 MB/60 MB  5.0 MB/s  8 s left
            · migrate    001_add_onboarding_completed
            · verify     001_add_onboarding_completed
            · monitor    001_add_onboarding_completed
            · soak       10 s
        · production  to come
        "#);
    }

    #[test]
    fn a_wait_for_a_lock_names_who_holds_it() {
        let blocker = Session {
            pid: 4711,
            user: "alice".into(),
            application: "psql".into(),
            state: "idle in transaction".into(),
            transaction_age: Duration::from_secs(185),
            query_age: Duration::ZERO,
            query: None,
        };
        let wait = LogLine::LockWait {
            index: 0,
            retry: 3,
            again_in: Duration::from_mins(1),
            blockers: vec![blocker],
        };
        let story = Story::begun()
            .backed_up(0)
            .start(0, "migrate")
            .log(0, "migrate", 1, LogLine::StatementStarted { index: 0 })
            .log(0, "migrate", 2, wait);
        insta::assert_snapshot!(shown(&story, &weather(&story), 40), @r#"
        4k2m9x0c1d  users-db  by admin  14:00:00 UTC                              1m 00s
          001_add_onboarding_completed  Sign-in can send people who have not finished o…
        ▸ staging  running                                                          59 s
          app
            ✓ inspect    PostgreSQL 15.18, users: 20,000 rows, 5.1 MB              1.0 s
            ✓ plan       users has 20,000 rows, fewer than 100,000
                         strongest lock ACCESS EXCLUSIVE on users
            ✓ back up    6.0 MB in a file of 1.5 MB, recorded                      1.2 s
            ▸ migrate    001_add_onboarding_completed                               53 s
              statement 1 of 5, line 10: ALTER TABLE users ADD COLUMN IF NOT EXISTS onb…
              no lock: try 4 again within 9 s
              blocked by pid 4711 (psql as alice, idle in transaction for 3m 05s)
            · verify     001_add_onboarding_completed
            · monitor    001_add_onboarding_completed
            · soak       10 s
        · production  to come
        "#);
    }

    #[test]
    fn a_low_terminal_keeps_what_matters_now() {
        let story = batched().log(1, "migrate", 2, notice(30_000)).tell(Event::WaitingChanged {
            waiting: Some(Waiting::AgentAway {
                environment: "production".parse().unwrap(),
                database: "app".parse().unwrap(),
                agent: "production-1".parse().unwrap(),
            }),
        });
        insta::assert_snapshot!(shown(&story, &weather(&story), 16), @r#"
        … 2 lines above
        ✓ staging  succeeded                                                14:00:14 UTC
        ▸ production  running                                                       45 s
          app
            ✓ inspect    PostgreSQL 15.18, users: 300,000 rows, 76 MB              1.0 s
            ✓ plan       users has 300,000 rows, from 100,000 on the batched script runs
                         strongest lock ACCESS EXCLUSIVE on users
            ✓ back up    90 MB in a file of 22 MB, decoded                         1.2 s
            ▸ migrate    001_add_onboarding_completed                               39 s
              statement 2 of 5, line 9: DO $$ DECLARE batch_size CONSTANT BIGINT := 100…
              ███░░░░░░░░░░░░░░░░░░░░░░░░░░░  30,000/300,000 rows
            · verify     001_add_onboarding_completed
        waits since 14:00:24 UTC for the agent production-1 of production/app, which is
          away
          → see on its machine that production-1 runs and reaches the server; stopover
            agent list
        "#);
        insta::assert_snapshot!(shown(&story, &weather(&story), 6), @r#"
        … 12 lines above
            · verify     001_add_onboarding_completed
        waits since 14:00:24 UTC for the agent production-1 of production/app, which is
          away
          → see on its machine that production-1 runs and reaches the server; stopover
            agent list
        "#);
        for height in 0..30 {
            shown(&story, &weather(&story), height);
        }
    }
}
