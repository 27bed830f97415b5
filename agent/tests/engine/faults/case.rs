//! One case: sets the scene, does the harm, lets the work be taken up again, and looks at what is there.

use std::fmt;
use std::time::Duration;

use stopover_agent::step::Reporter;
use stopover_agent::{drift, migrate, rollback};
use stopover_cluster::Cluster;
use stopover_model::drift::Comparison;
use stopover_model::event::{Resolution, StepKind};
use stopover_model::id::Epoch;
use stopover_model::migration::Migration;
use stopover_model::report::{Outcome, StepReport};
use stopover_tests::{Hold, Wire};
use tokio_postgres::Client;

use super::kinds::{COMMON, Kind, Slow};
use super::{Fault, Point};
use crate::support::*;

const DEADLINE: Duration = Duration::from_mins(1);

#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) kind: &'a Kind,
    pub(super) point: Point,
    pub(super) fault: Fault,
    /// How often the fault strikes, where the run gets there again.
    pub(super) times: u32,
    /// To be killed, where the fault says so.
    pub(super) cluster: Option<&'a Cluster>,
}

/// What the runs of a case said.
#[derive(Default)]
pub(super) struct Trace {
    runs: Vec<(String, Reporter)>,
}

/// The case under way.
struct Scene<'a> {
    case: &'a Case<'a>,
    bench: Bench,
    wire: Wire,
    migration: Migration,
    blocker: Option<Client>,
    epoch: Epoch,
    parking: migrate::Parking,
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, point, fault, times, .. } = self;
        write!(f, "{} / {point:?} / {fault:?}", kind.name)?;
        if *times > 1 { write!(f, " {times} times") } else { Ok(()) }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (run, reporter) in &self.runs {
            writeln!(f, "  {run}")?;
            for line in shown(reporter) {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}

impl<'a> Case<'a> {
    pub(super) fn new(kind: &'a Kind, point: Point, fault: Fault) -> Self {
        Self { kind, point, fault, times: 1, cluster: None }
    }

    pub(super) async fn run(&self, mut bench: Bench, trace: &mut Trace) -> Result<(), String> {
        let migration = self.set_up(&bench).await;
        let wire = bench.wire().await;
        let parking = if self.kind.follows { parking() } else { migrate::Parking::default() };
        let epoch = Epoch(1_000);
        let mut scene = Scene { case: self, bench, wire, migration, blocker: None, epoch, parking };
        scene.lead().await;
        let outcome = scene.through_all_harm(trace).await?;
        let outcome = scene.resolved(outcome, trace).await?;
        scene.check_outcome(&outcome)?;
        // What is left of silent connections ends with the wire; all else must be gone by itself.
        let Scene { mut bench, wire, .. } = scene;
        drop(wire);
        bench.database = database(bench.test.url());
        self.check_effects(&bench).await?;
        bench.assert_clean().await;
        bench.execute(&format!("DROP DATABASE IF EXISTS {}_new", bench.test.name())).await;
        Ok(())
    }

    async fn set_up(&self, bench: &Bench) -> Migration {
        let text = |sql: &str| sql.replace("{db}", bench.test.name());
        bench.execute(COMMON).await;
        bench.execute(&text(self.kind.setup)).await;
        let (up, down) = (text(self.kind.up), text(self.kind.down.unwrap_or_default()));
        let mut files = vec![("up.sql", up.as_str())];
        if self.kind.down.is_some() {
            files.push(("down.sql", &down));
        }
        if !self.kind.manifest.is_empty() {
            files.push(("migration.toml", self.kind.manifest));
        }
        let migration = migration("001_a", &files);
        if self.kind.down.is_some() {
            applied(bench.migrate(&migration).await);
        } else {
            // So that the ledger's own making is no part of what is looked at.
            bench.execute(include_str!("../../../src/ledger/schema.sql")).await;
        }
        migration
    }

    fn hold(&self) -> Hold {
        let messages = &self.kind.messages;
        match self.point {
            // The first word of this statement's transaction, where there is no intent.
            Point::BeforeIntent if self.kind.name == "use_of_a_new_enum_value" => {
                Hold::before(messages.intent).behind("ALTER TYPE")
            }
            Point::BeforeIntent if self.kind.messages.statement == "ALTER TYPE" => {
                Hold::before(messages.intent)
            }
            Point::BeforeIntent if messages.intent.ends_with("statement") => {
                Hold::before(messages.intent).behind("AS s")
            }
            Point::BeforeIntent => Hold::before(messages.intent),
            Point::AfterIntent => Hold::before(messages.statement),
            // What it has to wait for comes last: the engine itself waits before it sends such a statement.
            Point::During if matches!(self.kind.slow, Slow::Behind(_)) => Hold::before(messages.statement),
            Point::During => Hold::sent(messages.statement),
            Point::AfterExecution => Hold::answer(messages.statement),
            Point::BeforeCommit => Hold::before("COMMIT").behind(messages.record),
            Point::AfterCommit => Hold::answer("COMMIT").behind(messages.record),
            // The session of the migration before is made new as well.
            Point::BeforeReport if self.kind.follows => {
                Hold::before(self.kind.report).behind(messages.record)
            }
            Point::BeforeReport => Hold::before(self.kind.report),
        }
    }

    async fn check_effects(&self, bench: &Bench) -> Result<(), String> {
        let client = bench.test.client().await.unwrap();
        let ledger: &[(&str, &str)] = match self.kind.down {
            None => &[
                ("SELECT string_agg(state, ',') FROM stopover.migration WHERE id = '001_a'", "applied"),
                ("SELECT count(*) FROM stopover.history WHERE what = 'applied' AND migration = '001_a'", "1"),
                ("SELECT count(*) FROM stopover.statement WHERE state <> 'done'", "0"),
            ],
            Some(_) => &[
                ("SELECT count(*) FROM stopover.migration", "0"),
                ("SELECT count(*) FROM stopover.history WHERE what = 'rolled back'", "1"),
                ("SELECT count(*) FROM stopover.statement", "0"),
            ],
        };
        for (sql, expected) in self.kind.effects.iter().chain(ledger) {
            let found = value(&client, sql).await;
            if found != *expected {
                return Err(format!("{sql} gives {found}, not {expected}"));
            }
        }
        let look = drift::look(&bench.context(StepKind::Inspect)).await;
        match look.map(|look| look.comparison) {
            Ok(Comparison::Known(drift)) if drift.is_none() => Ok(()),
            other => Err(format!("the schema is not as it is remembered: {other:?}")),
        }
    }
}

impl Scene<'_> {
    /// From one fault to the next, to the end of a run that nothing disturbs.
    async fn through_all_harm(&mut self, trace: &mut Trace) -> Result<Outcome, String> {
        self.slow_down().await;
        self.wire.hold(self.case.hold());
        let mut running = self.start(None, trace);
        // Whoever waits behind a transaction of ours gets nowhere before that ends.
        let times = if matches!(self.slow(), Slow::Behind(_)) { 1 } else { self.case.times };
        for time in 1..=times {
            let held = tokio::select! {
                pid = self.wire.held() => Some(pid),
                () = ended(&running) => None,
                () = tokio::time::sleep(DEADLINE) => return Err("it never got to its point".to_owned()),
            };
            let Some(pid) = held else {
                if time == 1 {
                    return Err(format!("it ended before its point: {:?}", outcome_of(running).await?));
                }
                self.wire.hold_nothing();
                break;
            };
            // What is caught then is of no run, but of the session that it has left to the next one.
            if running.outcome.is_finished() {
                return Err(format!("it ended, and then its point came: {:?}", outcome_of(running).await?));
            }
            if self.case.point == Point::During {
                self.block().await;
                self.until_busy(pid).await;
            }
            if time == times {
                self.speed_up().await;
            } else {
                self.wire.hold(self.case.hold());
            }
            running = self.harm(pid, running, trace).await?;
        }
        outcome_of(running).await
    }

    /// The migration before, which leaves its session.
    async fn lead(&self) {
        if self.case.kind.follows {
            let work = migrate::MigrateWork {
                parking: self.parking.clone(),
                ..work(&migration("000_a", &[("up.sql", "SELECT 1")]))
            };
            applied(migrate::run(self.bench.context(StepKind::Migrate), work).await);
        }
    }

    fn slow(&self) -> Slow {
        if self.case.point == Point::During { self.case.kind.slow } else { Slow::Never }
    }

    async fn slow_down(&self) {
        if self.slow() == Slow::Pauses {
            self.bench.execute("UPDATE pause SET seconds = 30").await;
        }
    }

    async fn block(&mut self) {
        if let Slow::Behind(sql) = self.slow() {
            let client = self.bench.test.client().await.unwrap();
            client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
            self.blocker = Some(client);
            self.wire.carry_on();
        }
    }

    async fn speed_up(&self) {
        if self.slow() == Slow::Pauses {
            self.bench.execute("UPDATE pause SET seconds = 0").await;
        }
    }

    async fn until_busy(&self, pid: i32) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE pid = {pid} AND state = 'active' AND wait_event_type IN ('Lock', 'Timeout')"
        );
        until("the statement is under way", || async { self.bench.value(&sql).await == "1" }).await;
    }

    async fn until_gone(&self, pid: i32) {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
        until("the session is gone", || async { self.bench.value(&sql).await == "0" }).await;
    }

    /// Does the harm, and gives the run that goes on.
    async fn harm(&mut self, pid: i32, running: Running, trace: &mut Trace) -> Result<Running, String> {
        let running = match self.case.fault {
            Fault::AgentKilled => {
                self.wire.reset();
                running.outcome.abort();
                self.start(None, trace)
            }
            Fault::AgentSilent => {
                self.wire.silence();
                running.outcome.abort();
                self.epoch = Epoch(self.epoch.0 + 1);
                let next = self.start(None, trace);
                // The new run must get rid of the old session: its connection stays open to the end of the case.
                self.until_gone(pid).await;
                next
            }
            Fault::NetworkCut => {
                self.wire.close();
                running
            }
            Fault::BackendKilled => {
                self.bench.execute(&format!("SELECT pg_terminate_backend({pid})")).await;
                self.until_gone(pid).await;
                self.wire.close();
                running
            }
            Fault::PostmasterKilled => {
                let cluster = self.case.cluster.ok_or("there is no cluster to kill")?;
                cluster.kill9().await.map_err(|e| e.to_string())?;
                self.wire.close();
                cluster.start_again().await.map_err(|e| e.to_string())?;
                self.bench.client = self.bench.test.client().await.unwrap();
                running
            }
        };
        if let Some(blocker) = self.blocker.take() {
            // It may have gone with its server.
            let _ = blocker.batch_execute("ROLLBACK").await;
        }
        Ok(running)
    }

    /// Begins the work, or takes it up again.
    fn start(&self, resolution: Option<Resolution>, trace: &mut Trace) -> Running {
        let down = self.case.kind.down.is_some();
        let mut context = self.bench.context(if down { StepKind::Rollback } else { StepKind::Migrate });
        context.epoch = self.epoch;
        let (reporter, cancel) = (context.reporter.clone(), context.cancel.clone());
        trace.runs.push((format!("run {} of epoch {}", context.run, context.epoch), reporter.clone()));
        let limits = migrate::Limits { reconnect: DEADLINE, ..limits() };
        let outcome = if down {
            let work = rollback::RollbackWork { resolution, limits, ..rollback_work(&self.migration) };
            tokio::spawn(rollback::run(context, work))
        } else {
            let parking = self.parking.clone();
            let work = migrate::MigrateWork { resolution, limits, parking, ..work(&self.migration) };
            tokio::spawn(migrate::run(context, work))
        };
        Running { outcome, reporter, cancel }
    }

    /// Where only a person can know, a person looks and says what is true.
    async fn resolved(&mut self, outcome: Outcome, trace: &mut Trace) -> Result<Outcome, String> {
        let kind = self.case.kind;
        match (&outcome, kind.truth) {
            (Outcome::Unknown { error }, Some(truth)) if kind.is_unknown_at(self.case.point) => {
                if !error.hint.as_ref().is_some_and(|hint| hint.contains("stopover resolve")) {
                    return Err(format!("no way out is shown: {error:?}"));
                }
                // It waits, however often it is asked: never a blind retry.
                let took_effect = self.bench.value(truth).await;
                self.epoch = Epoch(self.epoch.0 + 1);
                let again = outcome_of(self.start(None, trace)).await?;
                if !matches!(again, Outcome::Unknown { .. }) || self.bench.value(truth).await != took_effect {
                    return Err(format!("it was tried blind: {again:?}"));
                }
                self.epoch = Epoch(self.epoch.0 + 1);
                let said = if took_effect == "0" { Resolution::NotApplied } else { Resolution::Applied };
                outcome_of(self.start(Some(said), trace)).await
            }
            _ if kind.is_unknown_at(self.case.point) => {
                Err(format!("nobody could know, and it is not shown as UNKNOWN: {outcome:?}"))
            }
            _ => Ok(outcome),
        }
    }

    fn check_outcome(&self, outcome: &Outcome) -> Result<(), String> {
        match outcome {
            Outcome::Succeeded { report: StepReport::Migrated(_) } if self.case.kind.down.is_none() => Ok(()),
            Outcome::Succeeded { report: StepReport::RolledBack(report) }
                if report.schema_restored == Some(true) && !report.nothing_to_do =>
            {
                Ok(())
            }
            other => Err(format!("the outcome is wrong: {other:#?}")),
        }
    }
}

async fn ended(running: &Running) {
    while !running.outcome.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn outcome_of(running: Running) -> Result<Outcome, String> {
    match tokio::time::timeout(DEADLINE, running.outcome).await {
        Ok(outcome) => outcome.map_err(|e| format!("the step fell over: {e}")),
        Err(_) => Err(format!("it did not end within {DEADLINE:?}")),
    }
}
