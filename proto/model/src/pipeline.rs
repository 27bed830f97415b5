//! A pipeline: where a change goes, in which order, and what must be true on the way.

mod approvals;
mod backfill;
mod backup;
mod baseline;
mod choice;
mod disk;
mod drift;
mod fleet;
mod hook;
mod lint;
mod locks;
mod monitor;
mod notify;
mod rehearse;
mod saving;
mod window;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::baseline::BaselineLimits;
use crate::config::{self, ConfigError};
use crate::id::{DatabaseName, EnvironmentName, PipelineName};
use crate::monitor::StageMonitor;
use crate::wave::FleetSettings;
use crate::window::Calendar;

use approvals::RawGates;
pub use approvals::{ApprovalSettings, Approver, check_checklist};
use backfill::RawBackfill;
pub use backfill::{BackfillSettings, VacuumAfter};
use backup::RawBackup;
pub use backup::{BackupLevel, BackupScope, BackupSettings};
pub use disk::DiskPolicy;
use drift::RawDrift;
pub use drift::{DriftPolicy, DriftSettings};
use hook::RawHook;
pub use hook::{Hook, HookPlace, HookStep, HookWay, HookWhen, check_timeout};
use lint::RawLint;
pub use lint::{LintSettings, RuleNames};
pub use locks::LockSettings;
use locks::RawLocks;
use notify::RawNotify;
pub use notify::{NoticeKind, Notify, NotifyTarget, check_address, check_url};
use rehearse::RawRehearse;
use saving::RawSaving;
pub use saving::SaveSettings;
use window::{RawCalendar, RawWindows};

/// A checked pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    pub name: PipelineName,
    /// Whom to call; shown where a person is waited for.
    pub contacts: Vec<String>,
    // The digest of a deployment is over this struct's JSON: where it is not set it is not there.
    #[serde(default, skip_serializing_if = "OutOfOrder::is_refused")]
    pub out_of_order: OutOfOrder,
    /// For all stages; a stage's own goes over it.
    #[serde(default, skip_serializing_if = "LintSettings::is_default")]
    pub lint: LintSettings,
    /// Who is told of its deployments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Notify>,
    pub stages: Vec<StageSpec>,
}

/// What happens with a migration that is not applied where a later one of its series is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutOfOrder {
    /// The plan is refused.
    #[default]
    Refuse,
    /// It is applied, behind the later ones.
    Allow,
}

/// One environment on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageSpec {
    pub environment: EnvironmentName,
    /// Which of the environment's databases; empty means all.
    pub databases: Vec<DatabaseName>,
    /// How long the change rests here under observation before the next stage.
    #[serde(with = "crate::duration")]
    pub soak: Duration,
    pub backup: BackupSettings,
    pub on_failure: OnFailure,
    #[serde(flatten)]
    pub locks: LockSettings,
    #[serde(default, skip_serializing_if = "BackfillSettings::is_default")]
    pub backfill: BackfillSettings,
    #[serde(default, skip_serializing_if = "LintSettings::is_default")]
    pub lint: LintSettings,
    #[serde(default, skip_serializing_if = "DriftSettings::is_default")]
    pub drift: DriftSettings,
    /// The plan does not try statements on a copy of a few rows, in a transaction that is rolled back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_sample: bool,
    /// What becomes of a plan that the database's disks have no room for.
    #[serde(default, skip_serializing_if = "DiskPolicy::is_refuse")]
    pub disk: DiskPolicy,
    /// What is to be applied runs on the restored copy first: up, verify, down, up again, verify again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearse: bool,
    /// What reaches beyond the database runs in the rehearsal all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_cluster_effects: bool,
    /// Whether what is dropped is saved.
    #[serde(default, skip_serializing_if = "SaveSettings::is_default")]
    pub saving: SaveSettings,
    #[serde(default, skip_serializing_if = "ApprovalSettings::is_default")]
    pub approvals: ApprovalSettings,
    /// What people have to have done before the first migration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checklist: Vec<String>,
    /// What is watched through the soak beside the migrations' own monitors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monitors: Vec<StageMonitor>,
    /// When migrations may begin.
    #[serde(default, skip_serializing_if = "Calendar::is_empty")]
    pub calendar: Calendar,
    /// How much more may be counted in the soak than before.
    #[serde(default, skip_serializing_if = "BaselineLimits::is_none")]
    pub baseline: BaselineLimits,
    /// Which of the databases, in which waves, and how many of them at a time.
    #[serde(default, skip_serializing_if = "FleetSettings::is_default")]
    pub fleet: FleetSettings,
    /// What others do before and after the migrations and the steps, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
}

/// What happens when a step of the stage fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Take this stage's changes back at once.
    Rollback,
    /// Hold everything as it is until a person decides.
    Pause,
}

impl StageSpec {
    /// The hooks that are asked there, in their order.
    pub fn hooks_at(&self, place: HookPlace) -> impl Iterator<Item = &Hook> {
        self.hooks.iter().filter(move |hook| hook.place() == place)
    }

    /// The monitors that run with the database of this place: what is asked elsewhere is asked once, with the first.
    pub fn monitors_at(&self, place: usize) -> impl Iterator<Item = &StageMonitor> {
        self.monitors.iter().filter(move |m| place == 0 || m.probe.asks_databases())
    }
}

impl OutOfOrder {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
    fn is_refused(&self) -> bool {
        *self == Self::Refuse
    }
}

impl Pipeline {
    /// Reads a pipeline file; `file` names it in errors. The names of the linter's rules are taken as they stand.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        Self::parse_with(file, text, &|name| Ok(name.to_owned()))
    }

    /// The same, where somebody knows the linter's rules.
    pub fn parse_with(file: &str, text: &str, rules: RuleNames<'_>) -> Result<Self, ConfigError> {
        let raw: RawPipeline = config::parse(file, text)?;
        if raw.stage.is_empty() {
            let message = "a pipeline needs at least one [[stage]] with its environment";
            return Err(ConfigError::whole(file, message));
        }
        let mut seen = BTreeSet::new();
        for stage in &raw.stage {
            if !seen.insert(stage.environment.get_ref().clone()) {
                let message = format!(
                    "the environment {} has two stages; it can have one",
                    stage.environment.get_ref()
                );
                return Err(ConfigError::at(file, text, Some(stage.environment.span()), message));
            }
        }
        let drift = RawDrift { drift: raw.drift, drift_ignore: raw.drift_ignore };
        let drift = drift.read(&DriftSettings::default(), file, text)?;
        let stages = raw.stage.into_iter().map(|s| s.into_stage(&drift, file, text, rules));
        let stages = stages.collect::<Result<_, _>>()?;
        let lint = raw.lint.read(file, text, rules)?;
        let words = [("refuse", OutOfOrder::Refuse), ("allow", OutOfOrder::Allow)];
        let out_of_order = choice::read("out_of_order", raw.out_of_order.as_ref(), &words, file, text)?;
        let out_of_order = out_of_order.unwrap_or_default();
        let notify = notify::read(raw.notify, file, text)?;
        Ok(Self { name: raw.name, contacts: raw.contacts, out_of_order, lint, notify, stages })
    }

    /// Refuses what could never go on: windows that don't open within the next two years. What was applied once is not
    /// refused for it later.
    pub fn check_windows(&self, file: &str, text: &str, now: Timestamp) -> Result<(), ConfigError> {
        let raw: RawPipeline = config::parse(file, text)?;
        raw.stage
            .iter()
            .zip(&self.stages)
            .try_for_each(|(raw, stage)| raw.calendar().check(&stage.calendar, now, file, text))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPipeline {
    name: PipelineName,
    #[serde(default)]
    contacts: Vec<String>,
    out_of_order: Option<toml::Spanned<String>>,
    drift: Option<toml::Spanned<String>>,
    #[serde(default)]
    drift_ignore: Vec<toml::Spanned<String>>,
    #[serde(default)]
    lint: RawLint,
    #[serde(default)]
    notify: Vec<toml::Spanned<RawNotify>>,
    #[serde(default)]
    stage: Vec<RawStage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStage {
    environment: toml::Spanned<EnvironmentName>,
    #[serde(default)]
    databases: Vec<toml::Spanned<DatabaseName>>,
    soak: Option<toml::Spanned<String>>,
    backup: Option<toml::Spanned<RawBackup>>,
    on_failure: Option<toml::Spanned<String>>,
    lock_timeout: Option<toml::Spanned<String>>,
    lock_retry_for: Option<toml::Spanned<String>>,
    concurrent_lock_timeout: Option<toml::Spanned<String>>,
    oldest_transaction: Option<toml::Spanned<String>>,
    #[serde(default)]
    show_queries: bool,
    #[serde(default)]
    backfill: RawBackfill,
    #[serde(default)]
    lint: RawLint,
    drift: Option<toml::Spanned<String>>,
    #[serde(default)]
    drift_ignore: Vec<toml::Spanned<String>>,
    sample: Option<bool>,
    disk: Option<toml::Spanned<String>>,
    rehearse: Option<bool>,
    allow_cluster_effects: Option<toml::Spanned<bool>>,
    save: Option<bool>,
    save_within: Option<toml::Spanned<String>>,
    saved_for: Option<toml::Spanned<String>>,
    approvals: Option<toml::Spanned<i64>>,
    approvers: Option<toml::Spanned<Vec<toml::Spanned<String>>>>,
    #[serde(default)]
    monitor: Vec<toml::Spanned<monitor::RawMonitor>>,
    baseline: Option<toml::Spanned<baseline::RawBaseline>>,
    window: Option<RawWindows>,
    #[serde(default)]
    freeze: Vec<toml::Spanned<String>>,
    timezone: Option<toml::Spanned<String>>,
    select: Option<toml::Spanned<String>>,
    waves: Option<toml::Spanned<Vec<toml::Spanned<String>>>>,
    max_parallel: Option<toml::Spanned<i64>>,
    max_failures: Option<toml::Spanned<toml::Value>>,
    #[serde(default)]
    hook: Vec<RawHook>,
    #[serde(default)]
    checklist: Vec<toml::Spanned<String>>,
}

impl RawStage {
    fn into_stage(
        self,
        drift: &DriftSettings,
        file: &str,
        text: &str,
        rules: RuleNames<'_>,
    ) -> Result<StageSpec, ConfigError> {
        let calendar = self.calendar().read(file, text)?;
        let at = |span, message: String| ConfigError::at(file, text, Some(span), message);
        let duration = |value: &Option<toml::Spanned<String>>, default: Duration| match value {
            None => Ok(default),
            Some(v) => crate::duration::parse(v.get_ref()).map_err(|m| at(v.span(), m)),
        };
        let words = [("rollback", OnFailure::Rollback), ("pause", OnFailure::Pause)];
        let on_failure = choice::read("on_failure", self.on_failure.as_ref(), &words, file, text)?;
        let on_failure = on_failure.unwrap_or(OnFailure::Pause);
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.databases.iter().find(|d| !seen.insert(d.get_ref().clone())) {
            let message = format!("the database {} is named twice", twice.get_ref());
            return Err(at(twice.span(), message));
        }
        let locks = RawLocks {
            lock_timeout: &self.lock_timeout,
            lock_retry_for: &self.lock_retry_for,
            concurrent_lock_timeout: &self.concurrent_lock_timeout,
            oldest_transaction: &self.oldest_transaction,
            show_queries: self.show_queries,
        };
        let locks = locks.read(file, text)?;
        let gates =
            RawGates { approvals: &self.approvals, approvers: &self.approvers, checklist: &self.checklist };
        let (approvals, checklist) = (gates.approvals(file, text)?, gates.checklist(file, text)?);
        let rehearsal = RawRehearse {
            written: self.rehearse,
            approved: approvals.needed > 0,
            allow_cluster_effects: self.allow_cluster_effects,
        };
        let mut backup = backup::read(self.backup.as_ref(), file, text)?;
        let level = backup::level_written(self.backup.as_ref());
        let rehearsal = rehearsal.read((&mut backup, level), file, text)?;
        let saving =
            RawSaving { save: self.save, save_within: &self.save_within, saved_for: &self.saved_for };
        let saving = saving.read(file, text)?;
        let soak = duration(&self.soak, Duration::ZERO)?;
        let monitors = monitor::read(self.monitor, !soak.is_zero(), file, text)?;
        let baseline = baseline::read(self.baseline, !soak.is_zero(), file, text)?;
        let fleet = fleet::RawFleet {
            select: &self.select,
            waves: &self.waves,
            max_parallel: &self.max_parallel,
            max_failures: &self.max_failures,
        };
        let fleet = fleet.read(file, text)?;
        let steps = hook::Steps { rehearses: rehearsal.rehearse, soaks: !soak.is_zero() };
        let of_stage = RawDrift { drift: self.drift, drift_ignore: self.drift_ignore };
        Ok(StageSpec {
            drift: of_stage.read(drift, file, text)?,
            soak,
            environment: self.environment.into_inner(),
            databases: self.databases.into_iter().map(toml::Spanned::into_inner).collect(),
            backup,
            on_failure,
            locks,
            backfill: self.backfill.read(file, text)?,
            lint: self.lint.read(file, text, rules)?,
            no_sample: self.sample == Some(false),
            disk: disk::read(self.disk.as_ref(), file, text)?,
            rehearse: rehearsal.rehearse,
            allow_cluster_effects: rehearsal.allow_cluster_effects,
            saving,
            approvals,
            checklist,
            monitors,
            calendar,
            baseline,
            fleet,
            hooks: hook::read(self.hook, &steps, file, text)?,
        })
    }

    fn calendar(&self) -> RawCalendar<'_> {
        RawCalendar { window: self.window.as_ref(), freeze: &self.freeze, timezone: self.timezone.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only stage of a pipeline, with these lines in it.
    pub(super) fn parse_stage(lines: &str) -> Result<StageSpec, String> {
        let text = format!("name = \"p\"\n[[stage]]\nenvironment = \"s\"\n{lines}\n");
        parse(&text).map(|mut pipeline| pipeline.stages.remove(0))
    }

    fn parse(text: &str) -> Result<Pipeline, String> {
        Pipeline::parse("pipeline.toml", text).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_the_careful_ones() {
        let pipeline = parse("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n").unwrap();
        let stage = &pipeline.stages[0];
        assert_eq!(stage.soak, Duration::ZERO);
        assert_eq!(stage.on_failure, OnFailure::Pause);
        assert_eq!(stage.backup, BackupSettings::of(BackupLevel::Recorded));
        assert_eq!(stage.locks, LockSettings::default());
        assert_eq!(stage.locks.lock_timeout, Duration::from_millis(100));
    }

    #[test]
    fn what_is_not_supported_is_refused_where_it_stands() {
        let stage = "name = \"p\"\n[[stage]]\nenvironment = \"s\"\n";
        for (line, expected) in [
            ("rehearse = \"yes\"", "expected a boolean"),
            (
                "backup = \"decoded\"\nrehearse = true",
                "pipeline.toml:4:10: rehearse = true runs on a restored copy, so that the backup's level has to be",
            ),
            (
                "backup = { level = \"recorded\" }\nrehearse = true",
                "pipeline.toml:4:20: rehearse = true runs",
            ),
            (
                "allow_cluster_effects = true",
                "pipeline.toml:4:25: `allow_cluster_effects` says what a rehearsal may run",
            ),
            ("backup = \"tape\"", "unknown backup level `tape`"),
            ("on_failure = \"panic\"", "unknown on_failure `panic`"),
            ("lock_timeout = \"0ms\"", "`lock_timeout` is less than 1 ms; it would wait for ever"),
            (
                "concurrent_lock_timeout = \"25d\"",
                "pipeline.toml:4:27: `concurrent_lock_timeout` is more than 24 days",
            ),
            ("oldest_transaction = \"10ms\"", "`oldest_transaction` is less than 1 s"),
            ("lock_retry_for = \"10\"", "`10` is not a duration"),
            ("show_queries = \"yes\"", "expected a boolean"),
            ("sample = \"no\"", "expected a boolean"),
            ("databases = [\"eu\", \"us\", \"eu\"]", "pipeline.toml:4:26: the database eu is named twice"),
            ("soak = \"soon\"", "pipeline.toml:4:8: `soon` is not a duration"),
            ("sock = \"1h\"", "did you mean `soak`?"),
        ] {
            let error = parse(&format!("{stage}{line}\n")).unwrap_err();
            assert!(error.contains(expected), "{line} gave {error}");
        }
    }

    #[test]
    fn what_came_late_is_refused_unless_it_is_allowed() {
        let with = |line: &str| parse(&format!("name = \"p\"\n{line}\n[[stage]]\nenvironment = \"s\"\n"));
        assert_eq!(with("").unwrap().out_of_order, OutOfOrder::Refuse);
        let allowed = with("out_of_order = \"allow\"").unwrap();
        assert_eq!(allowed.out_of_order, OutOfOrder::Allow);
        assert!(with("out_of_order = true").is_err());
        let error = with("out_of_order = \"alow\"").unwrap_err();
        assert!(error.contains("unknown out_of_order `alow`; use \"refuse\" or \"allow\""), "{error}");
        // A log from before the key, and its digest, stay what they were.
        let json = serde_json::to_value(with("").unwrap()).unwrap();
        assert!(json.get("out_of_order").is_none(), "{json}");
        assert_eq!(serde_json::from_value::<Pipeline>(json).unwrap(), with("").unwrap());
    }

    #[test]
    fn statements_are_tried_on_a_sample_unless_that_is_switched_off() {
        let with =
            |line: &str| parse(&format!("name = \"p\"\n[[stage]]\nenvironment = \"s\"\n{line}\n")).unwrap();
        assert!(!with("").stages[0].no_sample && !with("sample = true").stages[0].no_sample);
        assert!(with("sample = false").stages[0].no_sample);
        // A log from before the key, and its digest, stay what they were.
        let json = serde_json::to_value(with("")).unwrap();
        assert!(json["stages"][0].get("no_sample").is_none(), "{json}");
    }

    #[test]
    fn a_rehearsal_has_a_restored_backup_and_its_digest_is_another() {
        let with =
            |line: &str| parse(&format!("name = \"p\"\n[[stage]]\nenvironment = \"s\"\n{line}\n")).unwrap();
        let stage = with("rehearse = true").stages.remove(0);
        assert!(stage.rehearse && !stage.allow_cluster_effects);
        assert_eq!(stage.backup, BackupSettings::of(BackupLevel::Restored));
        let stage = with("backup = { restore_point = true }\nrehearse = true\nallow_cluster_effects = true");
        let stage = &stage.stages[0];
        assert!(stage.backup.restore_point && stage.allow_cluster_effects);
        assert_eq!(stage.backup.level, BackupLevel::Restored);
        assert_eq!(with("rehearse = false"), with(""));
        assert_ne!(with("backup = \"restored\"\nrehearse = true"), with("backup = \"restored\""));
    }

    #[test]
    fn a_rehearsal_by_itself_is_the_stage_without_what_comes_behind() {
        let text = "name = \"p\"\n[[stage]]\nenvironment = \"a\"\n[[stage]]\nenvironment = \"b\"\nsoak = \"1h\"\n\
                    lock_timeout = \"7ms\"\ndrift = \"refuse\"\nbackup = { restore_point = true }\n";
        let (b, users) = ("b".parse().unwrap(), "users".parse().unwrap());
        let found = Pipeline::rehearsal(Some(parse(text).unwrap()), &b, &[users], true).unwrap();
        let [stage] = &found.stages[..] else { panic!("{found:?}") };
        assert_eq!((stage.environment.as_str(), stage.databases.len()), ("b", 1));
        assert!(stage.soak.is_zero() && stage.rehearse && stage.allow_cluster_effects);
        assert_eq!(stage.backup, BackupSettings::of(BackupLevel::Restored));
        assert_eq!((stage.on_failure, stage.drift.policy), (OnFailure::Rollback, DriftPolicy::Warn));
        assert_eq!(stage.locks.lock_timeout, Duration::from_millis(7));
        let plain = Pipeline::rehearsal(None, &b, &[], false).unwrap();
        assert_eq!((plain.name.as_str(), plain.stages.len()), ("rehearsal", 1));
    }

    #[test]
    fn an_environment_has_one_stage() {
        let stage = "[[stage]]\nenvironment = \"s\"\n";
        assert!(parse(&format!("name = \"p\"\n{stage}{stage}")).unwrap_err().contains("has two stages"));
        assert!(parse("name = \"p\"\n").unwrap_err().contains("at least one [[stage]]"));
    }
}
