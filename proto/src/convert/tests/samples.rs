//! A value of everything that travels, full and bare.

use std::fmt::Debug;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use stopover_model::backfill::{Brakes, Canary, Throttle};
use stopover_model::baseline::BaselineLimits;
use stopover_model::digest::Digest;
use stopover_model::event::{
    Actor, DeploymentKind, DeploymentOutcome, Event, Record, Resolution, StageIndex, StageOutcome, StepKey,
    StepKind, Waiting,
};
use stopover_model::follow_up::FollowUpKey;
use stopover_model::id::{Attempt, Epoch, Seq};
use stopover_model::lint::{LintFinding, ScriptRole};
use stopover_model::migration::{
    Again, Check, Expectation, FollowUp, Layout, Manifest, Monitor, Rerun, Scalar, ScriptSummary, Source,
    SourcePlace, StatementSummary, TransactionMode,
};
use stopover_model::monitor::{HttpProbe, Probe, PrometheusProbe, Question, StageMonitor};
use stopover_model::pipeline::{
    ApprovalSettings, BackfillSettings, BackupLevel, BackupScope, BackupSettings, DiskPolicy, DriftPolicy,
    DriftSettings, LintSettings, LockSettings, NoticeKind, Notify, NotifyTarget, OnFailure, OutOfOrder,
    Pipeline, SaveSettings, StageSpec, VacuumAfter,
};
use stopover_model::plan::{
    Action, Estimate, MigrationPlan, MigrationSummary, Spread, StatementEstimate, TargetPlan, Variant,
};
use stopover_model::report::{BackfillProgress, Progress, SqlPlace};
use stopover_model::wave::{FleetSettings, MaxFailures};
use stopover_model::window::{AtEnd, Calendar, Freeze, Window, Zone};

use super::{AgentCommand, ProgressUnit, WireEnum};

mod gates;
mod history;
mod rehearsals;
mod reports;
mod rollback;

use gates::{approvers, gate_events};
pub(super) use gates::{gate_waits, hook_outcomes};
pub(super) use history::{acts, applied_migrations, histories, origins, recorded};
pub(super) use reports::{
    drifts, inspections, log_lines, outcomes, restored_values, sample_wishes, saved, step_reports,
};
pub(super) use rollback::{rollback_plans, takes, written};

fn id<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(super) fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

fn at() -> Timestamp {
    "2025-03-01T12:30:00.123456789Z".parse().unwrap()
}

pub(super) fn step() -> StepKey {
    StepKey::migration(StageIndex(2), &id("users"), StepKind::Migrate, &id("001_Onboarding.v2"))
}

pub(super) fn step_keys() -> Vec<StepKey> {
    let key = |kind: &StepKind| match kind {
        StepKind::Inspect
        | StepKind::Backup
        | StepKind::Rehearse
        | StepKind::Measure
        | StepKind::RollbackBackup => StepKey::target(StageIndex(0), &id("users"), *kind),
        StepKind::Migrate | StepKind::Verify | StepKind::Monitor | StepKind::Rollback => {
            StepKey { kind: *kind, ..step() }
        }
    };
    StepKind::ALL.iter().map(key).collect()
}

pub(super) fn actors() -> Vec<Actor> {
    // A new kind of actor stops the compiler here: give it a sample below.
    let sample = |actor: &Actor| match actor {
        Actor::Operator(_) | Actor::Pipeline | Actor::Hook(_) => actor.clone(),
    };
    [Actor::Operator(id("ada")), Actor::Pipeline, Actor::Hook(id("deploy"))].iter().map(sample).collect()
}

pub(super) fn waitings() -> Vec<Waiting> {
    let environment = || id("staging");
    vec![
        Waiting::EnvironmentMissing { environment: environment() },
        Waiting::NoAgent { environment: environment(), database: None },
        Waiting::NoAgent { environment: environment(), database: Some(id("users")) },
        Waiting::NoneSelected { environment: environment(), selector: "tier=canary".parse().unwrap() },
        Waiting::AgentAway { environment: environment(), database: id("users"), agent: id("agent-1") },
        Waiting::EnvironmentHeld { environment: environment(), by: id("0123456789") },
        Waiting::Soak { environment: environment(), until: at(), held: vec!["it fails".into()] },
        Waiting::Retry { step: step(), at: Timestamp::MIN },
        Waiting::FollowUp { follow_up: follow_up_key() },
        Waiting::Person { cause: "the outcome is unknown".into() },
        Waiting::Gates { environment: environment(), gates: gate_waits() },
    ]
}

fn limits() -> BaselineLimits {
    BaselineLimits { mean_time: Some(id("2x")), ..BaselineLimits::default() }
}

fn follow_up_key() -> FollowUpKey {
    FollowUpKey {
        deployment: id("0123456789"),
        environment: id("production"),
        database: id("users"),
        migration: id("001_Onboarding.v2"),
        name: "the index is used".into(),
    }
}

pub(super) fn events() -> Vec<Event> {
    let (stage, attempt) = (StageIndex(2), Attempt(1));
    let by = || Actor::Operator(id("ada"));
    let mut events = vec![
        Event::Created {
            pipeline: pipeline(),
            migrations: migration_summaries(),
            digest: digest(7),
            by: id("ada"),
            lint: lint_findings(),
            again: Some("the cause is mended".into()),
            kind: DeploymentKind::Migration,
            restore_saved: true,
        },
        Event::Created {
            pipeline: pipeline(),
            migrations: migration_summaries(),
            digest: digest(7),
            by: id("ada"),
            lint: Vec::new(),
            again: None,
            kind: DeploymentKind::Rehearsal,
            restore_saved: false,
        },
        Event::StageStarted { stage, databases: vec![id("users"), id("orders")], waves: vec![1, 1] },
        Event::FleetChanged { stage, joined: vec![id("c")], left: vec![id("d")] },
        Event::DatabaseLeftOut { stage, database: id("users"), by: by(), reason: "gone".into() },
        Event::StepStarted { step: step(), attempt, epoch: Epoch(u64::MAX), agent: id("agent-1") },
        Event::Planned { stage, plan: target_plan() },
        Event::PlanRefused { stage, database: id("users"), error: reports::step_error() },
        Event::SoakStarted { stage, until: at() },
        Event::RollbackStarted { stage, cause: "verification failed".into(), by: Actor::Pipeline, to: None },
        Event::RollbackStarted { stage, cause: "asked for".into(), by: by(), to: Some(id("001_x")) },
        Event::RollbackFailed { stage, cause: "a view is in the way".into() },
        Event::WaitingChanged { waiting: None },
        Event::Paused { cause: "a person looks".into(), by: by() },
        Event::Resumed { by: by(), databases: vec![id("users")] },
        Event::CancelRequested { by: by() },
        Event::Throttled { throttle: Throttle::default(), by: by() },
        Event::Throttled {
            throttle: Throttle {
                batch_time: Some(Duration::from_millis(50)),
                max_rate: Some(1),
                pause: Some(Duration::from_secs(1)),
                paused: true,
            },
            by: by(),
        },
    ];
    events.extend(gate_events(stage));
    let waitings = waitings().into_iter().map(Some);
    events.extend(waitings.map(|waiting| Event::WaitingChanged { waiting }));
    events.extend(log_lines().into_iter().map(|line| Event::StepLogged {
        step: step(),
        attempt,
        run: id("0195f1c2-7d3e-7000-8000-000000000001"),
        line_number: 1,
        line,
    }));
    events.extend(outcomes().into_iter().map(|outcome| Event::StepFinished {
        step: step(),
        attempt,
        outcome,
    }));
    events.extend(StageOutcome::ALL.iter().map(|outcome| Event::StageFinished { stage, outcome: *outcome }));
    events.extend(DeploymentOutcome::ALL.iter().map(|outcome| Event::Finished { outcome: *outcome }));
    events.extend(Resolution::ALL.iter().map(|resolution| Event::Resolved {
        step: step(),
        resolution: *resolution,
        by: by(),
    }));
    events
}

pub(super) fn records() -> Vec<Record> {
    let record = |(seq, event)| Record { deployment: id("0123456789"), seq: Seq(seq), at: at(), event };
    (1..).zip(events()).map(record).collect()
}

fn lint_findings() -> Vec<LintFinding> {
    let finding = |script: &ScriptRole| LintFinding {
        migration: id("001_x"),
        script: *script,
        rule: "stopover/update-without-where".into(),
        place: SqlPlace { file: "001_x/up.sql".into(), line: 3, column: 1, text: "UPDATE t".into() },
        message: "This UPDATE touches every row.".into(),
        warn: vec![id("staging")],
        refuse: vec![id("production"), id("eu")],
    };
    ScriptRole::ALL.iter().map(finding).collect()
}

fn calendar() -> Calendar {
    let zone: Zone = "Europe/Paris".parse().unwrap();
    let window = |cron: &str, at_end| Window {
        cron: cron.parse().unwrap(),
        length: Duration::from_mins(30),
        timezone: zone.clone(),
        at_end,
    };
    Calendar {
        windows: vec![window("0 2 * * 1-5", AtEnd::Pause), window("*/10 0 2 * * *", AtEnd::GoOn)],
        freezes: vec![Freeze::parse("2026-12-20/2027-01-04", &zone).unwrap()],
        zone,
    }
}

fn fleet() -> FleetSettings {
    FleetSettings {
        select: Some("region=eu".parse().unwrap()),
        waves: ["canary:1", "tier=a,region=eu", "10%", "100%"].map(|wave| wave.parse().unwrap()).into(),
        max_parallel: 200,
        max_failures: MaxFailures::Percent(5),
    }
}

pub(super) fn pipeline() -> Pipeline {
    let touched =
        BackupSettings { level: BackupLevel::Restored, scope: BackupScope::Touched, restore_point: true };
    let stage = |environment, databases, backup, on_failure| StageSpec {
        environment: id(environment),
        databases,
        soak: Duration::from_hours(24),
        backup,
        on_failure,
        locks: LockSettings { show_queries: true, ..LockSettings::default() },
        drift: DriftSettings { policy: DriftPolicy::Refuse, ignore: vec!["partman.*".parse().unwrap()] },
        backfill: BackfillSettings {
            throttle: Throttle { max_rate: Some(9), ..Throttle::default() },
            brakes: Brakes {
                replica_behind: None,
                wal_rate: Some(1 << 40),
                autovacuum: true,
                canary: Some(Canary { sql: "SELECT 1".into(), p99: Duration::from_millis(20) }),
                ..Brakes::default()
            },
            vacuum: VacuumAfter::Percent(7),
        },
        lint: LintSettings { refuse: vec!["all".into(), "ban-drop-table".into()], ..LintSettings::default() },
        no_sample: on_failure == OnFailure::Pause,
        disk: if on_failure == OnFailure::Pause { DiskPolicy::Warn } else { DiskPolicy::Refuse },
        rehearse: on_failure == OnFailure::Pause,
        allow_cluster_effects: on_failure == OnFailure::Pause,
        saving: SaveSettings {
            save: false,
            keep_for: Some(Duration::from_hours(2)),
            ..SaveSettings::default()
        },
        approvals: match on_failure {
            OnFailure::Rollback => ApprovalSettings::default(),
            OnFailure::Pause => ApprovalSettings { needed: 2, approvers: approvers() },
        },
        checklist: vec!["Team notified".into()],
        hooks: gates::hooks(),
        monitors: monitors(),
        calendar: if on_failure == OnFailure::Pause { calendar() } else { Calendar::default() },
        baseline: BaselineLimits { seq_scans: Some(id("1.5x")), size: Some(id("1000x")), ..limits() },
        fleet: if on_failure == OnFailure::Pause { fleet() } else { FleetSettings::default() },
    };
    let notify = |to| Notify { to, events: [NoticeKind::Waiting, NoticeKind::Succeeded].into() };
    Pipeline {
        name: id("default"),
        contacts: vec!["dba@example.org".into()],
        out_of_order: OutOfOrder::Allow,
        lint: LintSettings {
            allow: vec!["all".into()],
            warn: vec!["ban-drop-table".into()],
            refuse: Vec::new(),
        },
        notify: vec![
            notify(NotifyTarget::Webhook { url: "https://h/x".into(), secret: id("hook") }),
            notify(NotifyTarget::Slack { secret: id("slack") }),
            notify(NotifyTarget::Email { to: vec!["a@b".into()] }),
        ],
        stages: vec![
            stage("staging", vec![], BackupSettings::default(), OnFailure::Rollback),
            stage("production", vec![id("users"), id("orders")], touched, OnFailure::Pause),
        ],
    }
}

pub(super) fn scalars() -> Vec<Scalar> {
    vec![
        Scalar::Bool(false),
        Scalar::Bool(true),
        Scalar::Int(i64::MIN),
        Scalar::Int(0),
        Scalar::Float(-0.5),
        Scalar::Text(String::new()),
        Scalar::Text("boolean".into()),
    ]
}

pub(super) fn expectations() -> Vec<Expectation> {
    let mut expectations = vec![
        Expectation::Rows(0),
        Expectation::Rows(u64::MAX),
        Expectation::Between { min: None, max: Some(0.0) },
        Expectation::Between { min: Some(-1.5), max: None },
        Expectation::Row([].into()),
        Expectation::Row(scalars().into_iter().map(|value| (format!("{value:?}"), value)).collect()),
        Expectation::UsesIndex("users_onboarding".into()),
    ];
    expectations.extend(scalars().into_iter().map(Expectation::Value));
    expectations
}

pub(super) fn questions() -> Vec<Question> {
    let http = |json: Option<&str>, expect| HttpProbe {
        url: "https://app.internal/health".into(),
        status: 204,
        json: json.map(str::to_owned),
        expect,
    };
    let limits = |above, below| PrometheusProbe {
        url: "http://prometheus.internal:9090".into(),
        query: "rate(errors[5m])".into(),
        above,
        below,
    };
    vec![
        Question::Sql { sql: "SELECT 1".into(), expect: Expectation::Rows(1) },
        Question::Http(http(None, None)),
        Question::Http(http(Some("$.a"), Some(Expectation::Between { min: Some(0.0), max: None }))),
        Question::Prometheus(limits(Some(0.0), None)),
        Question::Prometheus(limits(Some(-1.0), Some(0.5))),
    ]
}

fn monitors() -> Vec<StageMonitor> {
    let monitor = |(n, question): (usize, Question)| StageMonitor {
        every: Duration::from_secs(1),
        patience: Duration::from_mins(n as u64),
        silence_fails: n == 1,
        probe: Probe { name: format!("question {n}"), question },
    };
    questions().into_iter().enumerate().map(monitor).collect()
}

pub(super) fn manifests() -> Vec<Manifest> {
    let check = |expect| Check { name: "a check".into(), sql: "SELECT 1".into(), expect };
    let monitor = |expect| Monitor {
        every: Duration::from_mins(5),
        patience: Duration::from_mins(1),
        check: check(expect),
    };
    let follow_up = |expect| FollowUp {
        name: "the day after".into(),
        after: Duration::from_hours(24),
        again: None,
        sql: "SELECT 1".into(),
        expect,
    };
    let mut follow_ups: Vec<_> = expectations().into_iter().map(|expect| follow_up(Some(expect))).collect();
    let again = Again { every: Duration::from_hours(24), until: Duration::from_hours(168) };
    follow_ups.push(FollowUp { again: Some(again), ..follow_up(None) });
    let manifest = |rerun| match rerun {
        Rerun::Unknown => Manifest::default(),
        Rerun::Safe => Manifest {
            description: Some("adds a column".into()),
            table: Some("public.users".into()),
            batch_above_rows: Some(0),
            rerun,
            checks: expectations().into_iter().map(check).collect(),
            verify: expectations().into_iter().map(check).collect(),
            monitors: expectations().into_iter().map(monitor).collect(),
            follow_ups: follow_ups.clone(),
            transaction: TransactionMode::Never,
            down_transaction: TransactionMode::Auto,
            no_save: true,
            source: Some(Source {
                layout: Layout::Goose,
                file: "00001_x.sql".into(),
                first_line: 2,
                repeatable: true,
                down: Some(SourcePlace { file: "00001_x.sql".into(), first_line: 9 }),
            }),
        },
    };
    [Rerun::Unknown, Rerun::Safe].map(manifest).into()
}

pub(super) fn migration_summaries() -> Vec<MigrationSummary> {
    let script = || ScriptSummary {
        one_transaction: false,
        statements: vec![
            StatementSummary {
                line: 1,
                text: "ALTER TABLE t ADD a int".into(),
                own_transaction: None,
                block: Some(1),
                backfill: Some(Throttle { max_rate: Some(7), ..Throttle::default() }),
            },
            StatementSummary {
                line: 9,
                text: "CREATE INDEX CONCURRENTLY i ON t (a)".into(),
                own_transaction: Some("CREATE INDEX CONCURRENTLY".into()),
                block: None,
                backfill: None,
            },
        ],
    };
    let summary = |(manifest, further): (Manifest, Option<ScriptSummary>)| MigrationSummary {
        id: id("001_Onboarding.v2"),
        digest: digest(1),
        manifest,
        standard: script(),
        batched: further.clone(),
        down: further,
        series: 3,
    };
    manifests().into_iter().zip([None, Some(script())]).map(summary).collect()
}

pub(super) fn target_plan() -> TargetPlan {
    let spread = Spread { low: Duration::ZERO, high: Duration::from_secs(7) };
    let statement = |spread| StatementEstimate {
        index: 0,
        duration: Duration::from_secs(1),
        spread,
        basis: "rewrites ran at 60 MB/s here".into(),
    };
    let bare = Estimate::new(Duration::from_millis(1), "300 rows took 1 ms");
    let full = Estimate {
        spread: Some(spread),
        statements: vec![statement(None), statement(Some(spread))],
        ..bare.clone()
    };
    let apply = |variant, estimate, missing: Option<&str>| Action::Apply {
        variant,
        estimate,
        missing: missing.map(str::to_owned),
    };
    let actions = [
        Action::Skip,
        apply(Variant::Standard, None, Some("nothing was measured")),
        apply(Variant::Standard, Some(bare), None),
        apply(Variant::Batched, Some(full), None),
    ];
    // A new action stops the compiler here: give it a sample above.
    let plan = |action| match &action {
        Action::Skip | Action::Apply { .. } => {
            MigrationPlan { id: id("001_x"), action, reason: "users has 9 rows".into() }
        }
    };
    TargetPlan {
        database: id("users"),
        migrations: actions.map(plan).into(),
        warnings: vec!["pid 7 holds a lock".into()],
    }
}

pub(super) fn progress() -> Vec<Progress> {
    let progress = |unit: &ProgressUnit| Progress {
        doing: "copying public.users".into(),
        done: 3,
        total: 0,
        unit: *unit,
        backfill: None,
    };
    let mut all: Vec<_> = ProgressUnit::ALL.iter().map(progress).collect();
    all[0].backfill = Some(BackfillProgress::default());
    all[1].backfill = Some(BackfillProgress {
        touched: 12,
        rows_per_second: Some(0),
        batch_rows: 1_500,
        wal_bytes: 1 << 40,
        dead_rows: 7,
        holds: vec!["a standby is behind".into()],
        held_for: Some(Duration::from_secs(3)),
        left: Some(Duration::from_mins(2)),
        left_basis: "the rate of the last 30 s".into(),
    });
    all
}

pub(super) fn commands() -> Vec<AgentCommand> {
    let command = |resume| AgentCommand {
        environment: id("staging"),
        deployment: id("0123456789"),
        step: step(),
        attempt: Attempt(3),
        epoch: Epoch(9),
        plan_digest: digest(7),
        not_after: at(),
        resume,
    };
    vec![command(None), command(Some((id("0195f1c2-7d3e-7000-8000-000000000001"), 17)))]
}
