//! What no message may hold, in the messages in which it would come.

use prost_types::Duration;
use stopover_model::event::{Actor, Event, Record, StepKey, StepKind};
use stopover_model::migration::{Expectation, Manifest};
use stopover_model::pipeline::Pipeline;
use stopover_model::plan::TargetPlan;
use stopover_model::report::{Inspection, Outcome, StepReport};

use super::samples;
use crate::convert::{AgentCommand, InvalidWire, field};
use crate::v1;

/// Spoils a good message; gives the error's field and reason.
fn refusal<M, W>(good: M, spoil: impl FnOnce(&mut W)) -> (String, String)
where
    M: TryFrom<W, Error = InvalidWire>,
    W: From<M>,
{
    let mut wire = W::from(good);
    spoil(&mut wire);
    let error = M::try_from(wire).err().expect("the spoilt message should not be taken");
    (error.field, error.why)
}

fn refused_field<M, W>(good: M, spoil: impl FnOnce(&mut W)) -> String
where
    M: TryFrom<W, Error = InvalidWire>,
    W: From<M>,
{
    refusal(good, spoil).0
}

fn record(fits: impl Fn(&Event) -> bool) -> Record {
    samples::records().into_iter().find(|record| fits(&record.event)).unwrap()
}

fn failed_step() -> Record {
    record(|event| matches!(event, Event::StepFinished { outcome: Outcome::Failed { .. }, .. }))
}

/// The error in the record of [`failed_step`].
fn error_of(record: &mut v1::Record) -> &mut Option<v1::StepError> {
    let event = record.event.as_mut().and_then(|event| event.kind.as_mut());
    let Some(v1::event::Kind::StepFinished(finished)) = event else { panic!("{event:?}") };
    let outcome = finished.outcome.as_mut().and_then(|outcome| outcome.kind.as_mut());
    let Some(v1::outcome::Kind::Failed(failed)) = outcome else { panic!("{outcome:?}") };
    &mut failed.error
}

fn command() -> AgentCommand {
    samples::commands().remove(1)
}

#[test]
fn the_way_to_the_field_is_whole_and_the_error_reads_well() {
    let mut wire = v1::Record::from(failed_step());
    *error_of(&mut wire) = None;
    assert_eq!(
        Record::try_from(wire).unwrap_err().to_string(),
        "`event.step_finished.outcome.failed.error`: is missing; both ends may need the same version of Stopover"
    );
    assert_eq!(InvalidWire::new("", "is odd").to_string(), "is odd");
}

#[test]
fn an_enum_that_is_not_set_or_not_known() {
    let class = "event.step_finished.outcome.failed.error.class";
    let with_class = |class| move |wire: &mut v1::Record| error_of(wire).as_mut().unwrap().class = class;
    assert_eq!(refusal(failed_step(), with_class(0)), (class.to_owned(), "is not set".to_owned()));
    let unknown = "99 is unknown to this version of Stopover";
    assert_eq!(refusal(failed_step(), with_class(99)), (class.to_owned(), unknown.to_owned()));
    let kind = refused_field(samples::step(), |wire: &mut v1::StepKey| wire.kind = 0);
    assert_eq!(kind, "kind");
}

#[test]
fn a_message_or_a_choice_that_is_missing() {
    let record = || samples::records().remove(0);
    assert_eq!(refused_field(record(), |wire: &mut v1::Record| wire.event = None), "event");
    assert_eq!(refused_field(record(), |wire: &mut v1::Record| wire.at = None), "at");
    let empty = |wire: &mut v1::Record| wire.event = Some(v1::Event { kind: None });
    assert_eq!(refused_field(record(), empty), "event.kind");
    let action = |wire: &mut v1::TargetPlan| wire.migrations[1].action = None;
    assert_eq!(refused_field::<TargetPlan, _>(samples::target_plan(), action), "migrations[1].action");
    let value = |wire: &mut v1::Expectation| {
        let empty = v1::expectation::Row { columns: [("a b".to_owned(), v1::Scalar { kind: None })].into() };
        wire.kind = Some(v1::expectation::Kind::Row(empty));
    };
    let field = refused_field::<Expectation, _>(samples::expectations().remove(0), value);
    assert_eq!(field, "row.columns[\"a b\"].kind");
    assert_eq!(refused_field(command(), |wire: &mut v1::Command| wire.step = None), "step");
}

#[test]
fn a_name_that_is_none() {
    let spoil = |wire: &mut v1::Pipeline| wire.stages[1].databases[0] = "users; drop table".into();
    let (field, why) = refusal::<Pipeline, _>(samples::pipeline(), spoil);
    assert_eq!(field, "stages[1].databases[0]");
    assert!(why.starts_with("`users; drop table` is not the name of a database: use 1 to 63"), "{why}");
    assert_eq!(refused_field(command(), |wire: &mut v1::Command| wire.environment.clear()), "environment");
    let run = |wire: &mut v1::Command| wire.resume.as_mut().unwrap().run.clear();
    assert_eq!(refused_field(command(), run), "resume.run");
    let by = |wire: &mut v1::Actor| wire.kind = Some(v1::actor::Kind::Operator("Ada".into()));
    assert_eq!(refused_field(Actor::Pipeline, by), "operator");
}

#[test]
fn a_digest_of_31_bytes() {
    let spoil = |wire: &mut v1::Command| wire.plan_digest.truncate(31);
    let why = "is 31 bytes long; a digest has 32";
    assert_eq!(refusal(command(), spoil), ("plan_digest".to_owned(), why.to_owned()));
    assert_eq!(refused_field(command(), |wire: &mut v1::Command| wire.plan_digest.clear()), "plan_digest");
    assert!(field::optional_digest::read([1; 31], "fingerprint_before").is_err());
    let spoil = |wire: &mut v1::Inspection| wire.ledger[1].digest.push(0);
    assert_eq!(refused_field::<Inspection, _>(samples::inspections().remove(1), spoil), "ledger[1].digest");
}

#[test]
fn a_time_that_is_none() {
    let negative = Some(Duration { seconds: -1, nanos: 0 });
    let spoil = |wire: &mut v1::Manifest| wire.monitors[2].every = negative;
    assert_eq!(refused_field::<Manifest, _>(samples::manifests().remove(1), spoil), "monitors[2].every");
    let spoil = |wire: &mut v1::Pipeline| wire.stages[0].soak = None;
    assert_eq!(refused_field::<Pipeline, _>(samples::pipeline(), spoil), "stages[0].soak");
    let spoil = |wire: &mut v1::StepReport| {
        let Some(v1::step_report::Kind::BackedUp(report)) = &mut wire.kind else { panic!("{wire:?}") };
        report.took.as_mut().unwrap().nanos = 1_000_000_000;
    };
    assert_eq!(refused_field::<StepReport, _>(samples::step_reports().remove(0), spoil), "backed_up.took");
    let spoil = |wire: &mut v1::Command| wire.not_after.as_mut().unwrap().seconds = i64::MAX;
    assert_eq!(refused_field(command(), spoil), "not_after");
}

#[test]
fn a_number_out_of_range() {
    assert_eq!(refused_field(command(), |wire: &mut v1::Command| wire.attempt = 0), "attempt");
    assert_eq!(refused_field(samples::records().remove(0), |wire: &mut v1::Record| wire.seq = 0), "seq");
    let spoil = |wire: &mut v1::StepKey| wire.stage = u32::MAX;
    assert_eq!(refused_field(samples::step(), spoil), "stage");
    let spoil = |wire: &mut v1::Record| {
        error_of(wire).as_mut().and_then(|error| error.place.as_mut()).unwrap().line = 0;
    };
    assert_eq!(refused_field(failed_step(), spoil), "event.step_finished.outcome.failed.error.place.line");
}

#[test]
fn a_step_whose_kind_and_migration_do_not_fit() {
    // Monitors are a migration's, or the stage's own.
    for key in samples::step_keys().into_iter().filter(|key| key.kind != StepKind::Monitor) {
        let given = if key.migration.is_some() { String::new() } else { "001_x".to_owned() };
        let (field, why) =
            refusal::<StepKey, _>(key.clone(), |wire: &mut v1::StepKey| wire.migration = given);
        assert_eq!(field, "migration");
        assert!(why.contains(&format!("a step of kind {} has", key.kind)), "{why}");
    }
}

#[test]
fn a_mark_that_is_always_true_and_is_false() {
    let pipeline = |wire: &mut v1::Actor| wire.kind = Some(v1::actor::Kind::Pipeline(false));
    assert_eq!(refused_field(Actor::Pipeline, pipeline), "pipeline");
    let skip = |wire: &mut v1::TargetPlan| {
        wire.migrations[0].action = Some(v1::migration_plan::Action::Skip(false));
    };
    assert_eq!(refused_field::<TargetPlan, _>(samples::target_plan(), skip), "migrations[0].skip");
}

#[test]
fn a_pipeline_that_no_file_could_hold() {
    let good = samples::pipeline;
    assert_eq!(refused_field::<Pipeline, _>(good(), |wire: &mut v1::Pipeline| wire.stages.clear()), "stages");
    let twice = |wire: &mut v1::Pipeline| wire.stages[1].environment = wire.stages[0].environment.clone();
    assert_eq!(refused_field::<Pipeline, _>(good(), twice), "stages[1].environment");
    let locks = |spoil: fn(&mut v1::LockSettings)| {
        move |wire: &mut v1::Pipeline| spoil(wire.stages[0].locks.as_mut().unwrap())
    };
    let endless = locks(|locks| locks.lock_timeout = Some(Duration::default()));
    let (field, why) = refusal::<Pipeline, _>(good(), endless);
    assert_eq!(
        (field.as_str(), why.as_str()),
        ("stages[0].locks.lock_timeout", "is less than 1 ms; it would wait for ever")
    );
    let never = locks(|locks| locks.oldest_transaction = Some(Duration::default()));
    assert_eq!(refused_field::<Pipeline, _>(good(), never), "stages[0].locks.oldest_transaction");
    let glob =
        |wire: &mut v1::Pipeline| wire.stages[0].drift.as_mut().unwrap().ignore.push("public.[".into());
    assert_eq!(refused_field::<Pipeline, _>(good(), glob), "stages[0].drift.ignore[1]");
    let nobody = |wire: &mut v1::Pipeline| wire.stages[1].approvals.as_mut().unwrap().approvers.truncate(1);
    let (field, why) = refusal::<Pipeline, _>(good(), nobody);
    assert!(
        field == "stages[1].approvals" && why.starts_with("approvals = 2 needs as many"),
        "{field}: {why}"
    );
    let group = |wire: &mut v1::Pipeline| {
        wire.stages[1].approvals.as_mut().unwrap().approvers.push("group:".into());
    };
    assert_eq!(refused_field::<Pipeline, _>(good(), group), "stages[1].approvals.approvers[2]");
    let wave = |wire: &mut v1::Pipeline| wire.stages[1].fleet.as_mut().unwrap().waves[0] = "0%".into();
    assert_eq!(refused_field::<Pipeline, _>(good(), wave), "stages[1].fleet.waves[0]");
    let rest = |wire: &mut v1::Pipeline| wire.stages[1].fleet.as_mut().unwrap().waves.truncate(3);
    assert_eq!(refused_field::<Pipeline, _>(good(), rest), "stages[1].fleet");
    let none = |wire: &mut v1::Pipeline| wire.stages[1].fleet.as_mut().unwrap().max_parallel = 0;
    assert_eq!(refused_field::<Pipeline, _>(good(), none), "stages[1].fleet");
    let empty = |wire: &mut v1::Pipeline| wire.stages[1].checklist.push(" ".into());
    assert_eq!(refused_field::<Pipeline, _>(good(), empty), "stages[1].checklist[1]");
    let short = |wire: &mut v1::Pipeline| wire.stages[0].hooks[0].timeout = Some(Duration::default());
    assert_eq!(refused_field::<Pipeline, _>(good(), short), "stages[0].hooks[0].timeout");
    let unset = |wire: &mut v1::Pipeline| {
        wire.stages[0].hooks[1].way = Some(v1::HookWay { kind: Some(v1::hook_way::Kind::External(false)) });
    };
    assert_eq!(refused_field::<Pipeline, _>(good(), unset), "stages[0].hooks[1].way.external");
    let step = |wire: &mut v1::Pipeline| wire.stages[0].hooks[2].step = 99;
    assert_eq!(refused_field::<Pipeline, _>(good(), step), "stages[0].hooks[2].step");
    let nothing = |wire: &mut v1::Pipeline| wire.notify[0].events.clear();
    assert_eq!(refused_field::<Pipeline, _>(good(), nothing), "notify[0].events");
    let nobody = |wire: &mut v1::Pipeline| {
        let email = v1::notify_target::Email { to: vec!["a@b\nBcc: c@d".into()] };
        wire.notify[0].to = Some(v1::NotifyTarget { kind: Some(v1::notify_target::Kind::Email(email)) });
    };
    assert_eq!(refused_field::<Pipeline, _>(good(), nobody), "notify[0].to.email.to");
}

#[test]
fn histories_name_their_tool_and_their_rows_state() {
    use stopover_model::history::Origin;
    let found = || samples::histories().remove(1);
    let spoilt = refused_field(found(), |wire: &mut v1::Histories| wire.tables[1].tool = 0);
    assert_eq!(spoilt, "tables[1].tool");
    let spoilt = refused_field(found(), |wire: &mut v1::Histories| wire.tables[0].rows[2].state = 99);
    assert_eq!(spoilt, "tables[0].rows[2].state");
    let nobody = |wire: &mut v1::Origin| wire.kind = Some(v1::origin::Kind::Baseline(String::new()));
    assert_eq!(refused_field(Origin::Baseline { by: "ada".parse().unwrap() }, nobody), "baseline");
}
