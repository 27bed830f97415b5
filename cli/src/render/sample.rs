//! A deployment that the tests of the renderers tell event by event.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stopover_model::deployment::Deployment;
use stopover_model::digest::{Digest, Digester};
use stopover_model::event::{Event, Record, StageIndex, StepKey, StepKind};
use stopover_model::id::{Attempt, Epoch, MigrationId, Seq};
use stopover_model::impact::{
    FiringTrigger, LockMode, LockTaken, ScriptImpact, StatementImpact, Work, WorkKind,
};
use stopover_model::migration::Migration;
use stopover_model::pipeline::{ApprovalSettings, BackupLevel, DriftSettings, OutOfOrder, Pipeline};
use stopover_model::plan::{MigrationSummary, TargetPlan, Variant};
use stopover_model::report::{
    BackupReport, CheckResult, Inspection, LogLine, MigrateReport, Outcome, StepReport, TableInspection,
    VerifyReport,
};

use super::View;

const PIPELINE: &str = include_str!("../../../deploy/samples/pipeline.toml");
const FILES: [(&str, &str); 4] = [
    ("migration.toml", include_str!("../../../deploy/samples/001_add_onboarding_completed/migration.toml")),
    ("up.sql", include_str!("../../../deploy/samples/001_add_onboarding_completed/up.sql")),
    ("up.batch.sql", include_str!("../../../deploy/samples/001_add_onboarding_completed/up.batch.sql")),
    ("down.sql", include_str!("../../../deploy/samples/001_add_onboarding_completed/down.sql")),
];

/// So many seconds after the deployment's creation.
pub(crate) fn at(seconds: i64) -> Timestamp {
    let origin: Timestamp = "2025-01-16T14:00:00Z".parse().unwrap();
    origin + SignedDuration::from_secs(seconds)
}

pub(crate) fn view() -> View {
    View { now: at(100), width: 80 }
}

/// The sample's, without the rehearsal and without people: the stories that have them say so.
pub(crate) fn pipeline() -> Pipeline {
    let text = PIPELINE.replace("\"restored\"", "\"decoded\"").replace("rehearse = true", "rehearse = false");
    let people = |line: &&str| !["approv", "checklist"].iter().any(|key| line.starts_with(key));
    let text = text.lines().filter(people).collect::<Vec<_>>().join("\n");
    Pipeline::parse("pipeline.toml", &text).unwrap()
}

pub(crate) fn migration() -> MigrationSummary {
    MigrationSummary::of(&whole_migration())
}

/// With its scripts.
pub(crate) fn whole_migration() -> Migration {
    let files: BTreeMap<_, _> = FILES.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into();
    Migration::parse(migration_id(), files).unwrap()
}

pub(crate) fn migration_id() -> MigrationId {
    "001_add_onboarding_completed".parse().unwrap()
}

pub(crate) fn deployment() -> Deployment {
    Story::begun().deployment
}

/// "backup" of the database `app` in the stage of that place, with the migration where the kind has one.
pub(crate) fn key(stage: u32, kind: &str) -> StepKey {
    let database = "app".parse().unwrap();
    let (stage, migration) = (StageIndex(stage), migration_id());
    match kind {
        "inspect" => StepKey::target(stage, &database, StepKind::Inspect),
        "backup" => StepKey::target(stage, &database, StepKind::Backup),
        "rehearse" => StepKey::target(stage, &database, StepKind::Rehearse),
        "migrate" => StepKey::migration(stage, &database, StepKind::Migrate, &migration),
        "verify" => StepKey::migration(stage, &database, StepKind::Verify, &migration),
        "monitor" => StepKey::migration(stage, &database, StepKind::Monitor, &migration),
        "rollback backup" => StepKey::target(stage, &database, StepKind::RollbackBackup),
        "rollback" => StepKey::migration(stage, &database, StepKind::Rollback, &migration),
        _ => panic!("no step {kind}"),
    }
}

/// A log and its state, one second an event.
pub(crate) struct Story {
    pub(crate) records: Vec<Record>,
    pub(crate) deployment: Deployment,
}

impl Story {
    /// Created, nothing else.
    pub(crate) fn begun() -> Self {
        Self::of(pipeline())
    }

    /// The same, where production rehearses.
    pub(crate) fn rehearsing() -> Self {
        let mut pipeline = pipeline();
        pipeline.stages[1].rehearse = true;
        Self::of(pipeline)
    }

    /// The same, where production needs two approvals, and has a checklist.
    pub(crate) fn gated() -> Self {
        Self::of(gated())
    }

    /// The same, where production has a window and a hook too.
    pub(crate) fn gated_with_all() -> Self {
        let mut pipeline = gated();
        let text = "name = \"p\"\n[[stage]]\nenvironment = \"e\"\nwindow = { cron = \"0 2 * * *\", for = \"1h\" }\n\
            [[stage.hook]]\nname = \"deploy\"\nexternal = true\n";
        let stage = Pipeline::parse("p.toml", text).unwrap().stages.remove(0);
        (pipeline.stages[1].calendar, pipeline.stages[1].hooks) = (stage.calendar, stage.hooks);
        Self::of(pipeline)
    }

    /// The same, through another pipeline.
    pub(crate) fn by(pipeline: Pipeline) -> Self {
        Self::of(pipeline)
    }

    fn of(pipeline: Pipeline) -> Self {
        let migrations = vec![migration()];
        let digest = Deployment::digest_of(&pipeline, &migrations);
        let event = Event::Created {
            pipeline,
            migrations,
            digest,
            by: "admin".parse().unwrap(),
            lint: Vec::new(),
            again: None,
            kind: stopover_model::event::DeploymentKind::Migration,
            restore_saved: false,
        };
        let record = Record { deployment: "4k2m9x0c1d".parse().unwrap(), seq: Seq(1), at: at(0), event };
        Self { deployment: Deployment::open(&record).unwrap(), records: vec![record] }
    }

    pub(crate) fn tell(mut self, event: Event) -> Self {
        let seq = self.deployment.seq.next();
        let seconds = i64::try_from(seq.0).unwrap() - 1;
        let record = Record { deployment: self.deployment.id.clone(), seq, at: at(seconds), event };
        self.deployment.apply(&record).unwrap();
        self.records.push(record);
        self
    }

    pub(crate) fn stage(self, stage: u32) -> Self {
        self.tell(Event::StageStarted {
            stage: StageIndex(stage),
            databases: vec!["app".parse().unwrap()],
            waves: Vec::new(),
        })
    }

    pub(crate) fn start(self, stage: u32, kind: &str) -> Self {
        let step = key(stage, kind);
        let attempt = Attempt(self.deployment.step(&step).unwrap().attempts + 1);
        let agent = if stage == 0 { "staging-1" } else { "production-1" };
        let agent = agent.parse().unwrap();
        self.tell(Event::StepStarted { step, attempt, epoch: Epoch(7), agent })
    }

    pub(crate) fn log(self, stage: u32, kind: &str, line_number: u64, line: LogLine) -> Self {
        let step = key(stage, kind);
        let attempt = Attempt(self.deployment.step(&step).unwrap().attempts);
        let run = "0194700a-0000-7000-8000-000000000000".parse().unwrap();
        self.tell(Event::StepLogged { step, attempt, run, line_number, line })
    }

    pub(crate) fn finish(self, stage: u32, kind: &str, outcome: Outcome) -> Self {
        let step = key(stage, kind);
        let attempt = Attempt(self.deployment.step(&step).unwrap().attempts);
        self.tell(Event::StepFinished { step, attempt, outcome })
    }

    pub(crate) fn done(self, stage: u32, kind: &str, report: StepReport) -> Self {
        self.start(stage, kind).finish(stage, kind, Outcome::Succeeded { report })
    }

    /// The stage with its inspection and plan.
    pub(crate) fn planned(self, stage: u32) -> Self {
        let story = self.stage(stage).done(stage, "inspect", StepReport::Inspected(inspection(stage)));
        let known = story.deployment.known(StageIndex(stage), &[]);
        let database = "app".parse().unwrap();
        let plan = TargetPlan::make(
            &database,
            &story.deployment.migrations,
            &inspection(stage),
            &known,
            OutOfOrder::Refuse,
            &DriftSettings::default(),
        )
        .unwrap();
        story.tell(Event::Planned { stage: StageIndex(stage), plan })
    }

    /// Planned, backed up.
    pub(crate) fn backed_up(self, stage: u32) -> Self {
        self.planned(stage).done(stage, "backup", StepReport::BackedUp(backup(stage)))
    }

    /// Backed up, migrated, verified.
    pub(crate) fn migrated(self, stage: u32) -> Self {
        self.backed_up(stage).done(stage, "migrate", StepReport::Migrated(migrate(stage))).done(
            stage,
            "verify",
            StepReport::Verified(VerifyReport { checks: vec![check(true), check(true)] }),
        )
    }

    /// Staging through, with its soak.
    pub(crate) fn staging_through(self) -> Self {
        self.migrated(0)
            .tell(Event::SoakStarted { stage: StageIndex(0), until: at(30) })
            .done(0, "monitor", StepReport::Verified(VerifyReport { checks: vec![check(true)] }))
            .tell(Event::StageFinished {
                stage: StageIndex(0),
                outcome: stopover_model::event::StageOutcome::Succeeded,
            })
    }
}

pub(crate) fn inspection(stage: u32) -> Inspection {
    let rows = if stage == 0 { 20_000 } else { 300_000 };
    Inspection {
        server_version: "15.18 (Debian 15.18-0+deb12u1)".into(),
        server_version_num: 150_018,
        system_identifier: "7460000000000000001".into(),
        database: "app".into(),
        database_bytes: rows * 300,
        tables: vec![TableInspection {
            table: "users".into(),
            exists: true,
            rows,
            rows_counted: true,
            total_bytes: rows * 255,
        }],
        impacts: impacts(rows),
        ..Inspection::default()
    }
}

/// Of the guide's migration, in a table of so many rows.
fn impacts(rows: u64) -> Vec<ScriptImpact> {
    let lock = |mode| vec![LockTaken { relation: "public.users".into(), mode, why: None }];
    let work = |kind| vec![Work { kind, relation: "public.users".into(), rows, bytes: rows * 200 }];
    let trigger = FiringTrigger {
        name: "audit_users".into(),
        table: "public.users".into(),
        for_each_row: true,
        function: "public.audit()".into(),
    };
    let held = "the lock on public.users is held until the transaction ends, while line 14 changes rows of public.users";
    let column = StatementImpact { index: 0, locks: lock(LockMode::AccessExclusive), ..Default::default() };
    let update = StatementImpact {
        index: 1,
        locks: lock(LockMode::RowExclusive),
        work: work(WorkKind::ChangeRows),
        triggers: vec![trigger],
        ..Default::default()
    };
    let index = |mode| StatementImpact {
        index: 2,
        locks: lock(mode),
        work: work(WorkKind::BuildIndex),
        ..Default::default()
    };
    let script = |variant, statements| ScriptImpact { migration: migration_id(), variant, statements };
    let standard =
        vec![StatementImpact { notes: vec![held.into()], ..column.clone() }, update, index(LockMode::Share)];
    vec![
        script(Variant::Standard, standard),
        script(Variant::Batched, vec![column, index(LockMode::ShareUpdateExclusive)]),
    ]
}

pub(crate) fn backup(stage: u32) -> BackupReport {
    let database_bytes = inspection(stage).database_bytes;
    BackupReport {
        path: format!("/var/lib/stopover/backups/app-{stage}.dump"),
        bytes: database_bytes / 4,
        sha256: digest("backup"),
        level: if stage == 0 { BackupLevel::Recorded } else { BackupLevel::Decoded },
        database_bytes,
        took: Duration::from_millis(1_240),
        restore_command: format!(
            "pg_restore --clean --dbname app /var/lib/stopover/backups/app-{stage}.dump"
        ),
        id: Some("9g2k4t8w1x".parse().unwrap()),
        encrypted: false,
        proof: None,
        only_tables: Vec::new(),
        whole_because: None,
        restore_point: None,
        command_output: None,
    }
}

pub(crate) fn migrate(stage: u32) -> MigrateReport {
    MigrateReport {
        variant: if stage == 0 { Variant::Standard } else { Variant::Batched },
        already_applied: false,
        statements: 5,
        rows: inspection(stage).tables[0].rows,
        took: Duration::from_millis(1_800),
        lock_retries: stage,
        fingerprint_before: Some(digest("before")),
        fingerprint_after: Some(digest("after")),
    }
}

pub(crate) fn check(passed: bool) -> CheckResult {
    CheckResult {
        name: "every existing user is complete".into(),
        passed,
        unanswered: false,
        expected: "0".into(),
        observed: if passed { "0".into() } else { "17".into() },
        note: None,
        took: Duration::from_millis(3),
    }
}

pub(crate) fn digest(of: &str) -> Digest {
    Digester::new(of).finish()
}

fn gated() -> Pipeline {
    let mut pipeline = pipeline();
    let production = &mut pipeline.stages[1];
    let approvers = ["group:dba", "anna"].map(|name| name.parse().unwrap()).into();
    production.approvals = ApprovalSettings { needed: 2, approvers };
    production.checklist = vec!["Team notified".into(), "It's \"quiet\"".into()];
    pipeline
}
