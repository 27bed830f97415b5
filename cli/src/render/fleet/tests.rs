//! A fleet in the middle: the canary is through, one database failed, a few are at work, one is left out.

use stopover_model::event::{Actor, Event, StageIndex, StepKey, StepKind};
use stopover_model::id::{Attempt, DatabaseName, Epoch};
use stopover_model::pipeline::{DriftSettings, OutOfOrder, Pipeline};
use stopover_model::plan::TargetPlan;
use stopover_model::report::{Effect, ErrorClass, Inspection, Outcome, StepError, StepReport, VerifyReport};

use super::super::line::text;
use super::super::sample::{self, Story, at, migration_id};
use super::super::{Depth, View, event, tree};
use crate::live::{Weather, frame};

const STAGE: StageIndex = StageIndex(0);

fn name(n: usize) -> DatabaseName {
    format!("tenant-{n:03}").parse().unwrap()
}

fn key(n: usize, kind: StepKind) -> StepKey {
    match kind {
        StepKind::Inspect | StepKind::Backup => StepKey::target(STAGE, &name(n), kind),
        _ => StepKey::migration(STAGE, &name(n), kind, &migration_id()),
    }
}

trait Fleet {
    fn begin(self, n: usize, kind: StepKind) -> Self;
    fn end(self, n: usize, kind: StepKind, outcome: Outcome) -> Self;
    fn well(self, n: usize, kind: StepKind, report: StepReport) -> Self;
    fn prepared(self, n: usize) -> Self;
    fn through(self, n: usize) -> Self;
}

impl Fleet for Story {
    fn begin(self, n: usize, kind: StepKind) -> Self {
        let agent = format!("host-{}", n % 2).parse().unwrap();
        self.tell(Event::StepStarted { step: key(n, kind), attempt: Attempt(1), epoch: Epoch(7), agent })
    }

    fn end(self, n: usize, kind: StepKind, outcome: Outcome) -> Self {
        self.tell(Event::StepFinished { step: key(n, kind), attempt: Attempt(1), outcome })
    }

    fn well(self, n: usize, kind: StepKind, report: StepReport) -> Self {
        self.begin(n, kind).end(n, kind, Outcome::Succeeded { report })
    }

    fn prepared(self, n: usize) -> Self {
        let found = Inspection { database: name(n).to_string(), ..sample::inspection(0) };
        let story = self.well(n, StepKind::Inspect, StepReport::Inspected(found.clone()));
        let known = story.deployment.known(STAGE, &[]);
        let migrations = &story.deployment.migrations;
        let (order, drift) = (OutOfOrder::Refuse, DriftSettings::default());
        let plan = TargetPlan::make(&name(n), migrations, &found, &known, order, &drift).unwrap();
        story.tell(Event::Planned { stage: STAGE, plan }).well(
            n,
            StepKind::Backup,
            StepReport::BackedUp(sample::backup(0)),
        )
    }

    fn through(self, n: usize) -> Self {
        let verified = VerifyReport { checks: vec![sample::check(true)] };
        self.prepared(n).well(n, StepKind::Migrate, StepReport::Migrated(sample::migrate(0))).well(
            n,
            StepKind::Verify,
            StepReport::Verified(verified),
        )
    }
}

fn in_the_middle() -> Story {
    let keys = "waves = [\"canary:1\", \"10%\", \"100%\"]\nmax_parallel = 12\nmax_failures = 2\n";
    let text = format!("name = \"tenants\"\n[[stage]]\nenvironment = \"production\"\n{keys}");
    let story = Story::by(Pipeline::parse("pipeline.toml", &text).unwrap());
    let databases = (0..101).map(name).collect();
    let mut story = story.tell(Event::StageStarted { stage: STAGE, databases, waves: vec![1, 10, 90] });
    for n in 0..11 {
        story = story.through(n);
    }
    let error = StepError::new(
        ErrorClass::Sql,
        "column \"onboarding_completed\" of relation \"users\" already exists",
    )
    .with_effect(Effect::None)
    .with_hint("somebody has added it by hand: stopover drift shows what differs");
    story = story.prepared(11).begin(11, StepKind::Migrate).end(
        11,
        StepKind::Migrate,
        Outcome::Failed { error, report: None },
    );
    for n in 12..22 {
        story = story.begin(n, StepKind::Inspect);
    }
    story = story.tell(Event::DatabaseLeftOut {
        stage: STAGE,
        database: name(100),
        by: Actor::Operator("anna".parse().unwrap()),
        reason: "the tenant has gone".into(),
    });
    let joined = vec!["tenant-101".parse().unwrap()];
    story.tell(Event::FleetChanged { stage: STAGE, joined, left: vec![name(99)] })
}

fn view() -> View {
    View { now: at(180), width: 80 }
}

#[test]
fn one_screen_tells_of_all_of_them() {
    let story = in_the_middle();
    let lines = tree::lines(&story.deployment, view(), Depth::Full);
    assert!(lines.iter().all(|line| line.width() <= 80), "{}", text(&lines));
    insta::assert_snapshot!(text(&lines), @r#"
    4k2m9x0c1d  tenants  by admin  14:00:00 UTC                               3m 00s
      001_add_onboarding_completed  Sign-in can send people who have not finished o…
    ▸ production  running                                                     2m 59s
      ✓ canary:1  1 of 1 through
      ✓ 10%       10 of 10 through
      ✗ 100%      0 of 90 through, 10 at work, 1 failed, 1 left out, 78 to come
      tenant-011
        ✗ migrate    failed                                                    1.0 s
          error: column "onboarding_completed" of relation "users" already exists
          hint: somebody has added it by hand: stopover drift shows what differs
      ▸ tenant-012  inspect                                                   1m 12s
      ▸ tenant-013  inspect                                                   1m 11s
      ▸ tenant-014  inspect                                                   1m 10s
      ▸ tenant-015  inspect                                                   1m 09s
      ▸ tenant-016  inspect                                                   1m 08s
      ▸ tenant-017  inspect                                                   1m 07s
      ▸ tenant-018  inspect                                                   1m 06s
      ▸ tenant-019  inspect                                                   1m 05s
      and 2 more at work
      goes on without tenant-100
      joined since it began, and not part of it: tenant-101; stopover deploy again
      no agent serves them any more: tenant-099
    "#);
}

#[test]
fn what_is_sent_instead_of_the_whole_looks_the_same() {
    let story = in_the_middle();
    let glance = story.deployment.glance(&[].into()).into_shown().0;
    let shown = |deployment| text(&tree::lines(deployment, view(), Depth::Full));
    assert_eq!(shown(&glance), shown(&story.deployment));
}

#[test]
fn it_is_live_on_a_terminal_of_the_usual_height() {
    let story = in_the_middle();
    let live = text(&frame(&story.deployment, &Weather::default(), view(), 24));
    assert_eq!(live, text(&tree::lines(&story.deployment, view(), Depth::Rows)));
}

#[test]
fn without_a_terminal_a_line_tells_of_each_event() {
    let story = in_the_middle();
    let told = |record: &&stopover_model::event::Record| {
        matches!(
            record.event,
            Event::StageStarted { .. } | Event::DatabaseLeftOut { .. } | Event::FleetChanged { .. }
        ) || matches!(&record.event, Event::StepFinished { outcome: Outcome::Failed { .. }, .. })
    };
    let lines = story
        .records
        .iter()
        .filter(told)
        .flat_map(|record| event::lines(record, &story.deployment, View { width: 120, ..view() }));
    insta::assert_snapshot!(text(&lines.collect::<Vec<_>>()), @r#"
    2025-01-16T14:00:01Z  production begins: tenant-000, tenant-001, tenant-002, tenant-003, tenant-004, tenant-005, tenant-006, tenant-007, tenant-008, tenant-009, tenant-010, tenant-011 and 89 more, in waves of 1, 10, 90
    2025-01-16T14:01:47Z  production/tenant-011 migrate 001_add_onboarding_completed failed
        error: column "onboarding_completed" of relation "users" already exists
        hint: somebody has added it by hand: stopover drift shows what differs
    2025-01-16T14:01:58Z  production goes on without tenant-100, says anna: the tenant has gone
    2025-01-16T14:01:59Z  production has not the databases it began with; joined, and not part of it: tenant-101; served by nobody any more: tenant-099
    "#);
}
