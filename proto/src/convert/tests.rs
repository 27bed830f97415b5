//! Every value of the model comes back from its bytes, and what no message may hold is refused by its field's name.

use std::collections::BTreeSet;
use std::fmt::Debug;

use prost::Message;
use stopover_model::drift::{Comparison, Drift, ObjectChange, SchemaLook};
use stopover_model::event::{
    Actor, DeploymentOutcome, Event, Record, Resolution, StageOutcome, StepKey, StepKind, Waiting,
};
use stopover_model::gate::{GateWait, HookOutcome};
use stopover_model::history::{AppliedMigration, Histories, Origin, Recorded, RowState, Tool};
use stopover_model::impact::{LockMode, SampleWish, WorkKind};
use stopover_model::lint::ScriptRole;
use stopover_model::migration::{Expectation, Manifest, Scalar};
use stopover_model::monitor::Question;
use stopover_model::notice::NotificationState;
use stopover_model::pipeline::{
    BackupLevel, BackupScope, DiskPolicy, DriftPolicy, NoticeKind, OnFailure, OutOfOrder, Pipeline,
};
use stopover_model::plan::{MigrationSummary, TargetPlan, Variant};
use stopover_model::report::{
    Effect, ErrorClass, Inspection, LedgerState, LogLine, Outcome, Progress, ProgressUnit, StepReport,
};
use stopover_model::rollback::{RollbackPlan, Taking, WrittenSince};
use stopover_model::saved::{RestoredValues, Saved, SavedWhat};
use stopover_model::window::AtEnd;

use super::field::optional_enumeration;
use super::{AgentAct, AgentCommand, InvalidWire, WireEnum};
use crate::v1;

mod bundle;
mod refusals;
mod samples;

/// Implemented with [`wire_choice!`], whose matches know every variant: a sample of each of these is a sample of all.
pub(super) trait Choice {
    const TAGS: &'static [&'static str];

    fn tag(&self) -> &'static str;
}

fn come_back<M, W>(samples: Vec<M>)
where
    M: Clone + PartialEq + Debug + TryFrom<W, Error = InvalidWire>,
    W: From<M> + Message + Default,
{
    assert!(!samples.is_empty());
    for sample in samples {
        let bytes = W::from(sample.clone()).encode_to_vec();
        let read = M::try_from(W::decode(&bytes[..]).unwrap());
        assert_eq!(read.as_ref(), Ok(&sample));
    }
}

fn all_come_back<M, W>(samples: Vec<M>)
where
    M: Choice + Clone + PartialEq + Debug + TryFrom<W, Error = InvalidWire>,
    W: From<M> + Message + Default,
{
    let tags: BTreeSet<_> = samples.iter().map(Choice::tag).collect();
    let missing: Vec<_> = M::TAGS.iter().filter(|tag| !tags.contains(*tag)).collect();
    assert!(missing.is_empty(), "there is no sample of {missing:?}");
    come_back::<M, W>(samples);
}

fn every_value_comes_back<M: WireEnum + PartialEq + Debug>() {
    for (i, value) in M::ALL.iter().enumerate() {
        assert_eq!(value.to_wire(), i32::try_from(i).unwrap() + 1, "{value:?}");
        assert_eq!(M::from_wire(value.to_wire()).as_ref(), Ok(value));
        assert_eq!(optional_enumeration::read(value.to_wire(), "x"), Ok(Some(*value)));
    }
    assert_eq!(optional_enumeration::read::<M>(0, "x"), Ok(None));
    assert_eq!(M::from_wire(0).unwrap_err().why, "is not set");
    assert_eq!(M::from_wire(99).unwrap_err().why, "99 is unknown to this version of Stopover");
}

#[test]
fn enums() {
    every_value_comes_back::<StepKind>();
    every_value_comes_back::<Variant>();
    every_value_comes_back::<BackupLevel>();
    every_value_comes_back::<AtEnd>();
    every_value_comes_back::<BackupScope>();
    every_value_comes_back::<Resolution>();
    every_value_comes_back::<ErrorClass>();
    every_value_comes_back::<Effect>();
    every_value_comes_back::<LedgerState>();
    every_value_comes_back::<ProgressUnit>();
    every_value_comes_back::<StageOutcome>();
    every_value_comes_back::<DeploymentOutcome>();
    every_value_comes_back::<OnFailure>();
    every_value_comes_back::<OutOfOrder>();
    every_value_comes_back::<ScriptRole>();
    every_value_comes_back::<DiskPolicy>();
    every_value_comes_back::<DriftPolicy>();
    every_value_comes_back::<ObjectChange>();
    every_value_comes_back::<Tool>();
    every_value_comes_back::<RowState>();
    every_value_comes_back::<LockMode>();
    every_value_comes_back::<WorkKind>();
    every_value_comes_back::<NoticeKind>();
    every_value_comes_back::<NotificationState>();
}

#[test]
fn events() {
    all_come_back::<Event, v1::Event>(samples::events());
    come_back::<Record, v1::Record>(samples::records());
    all_come_back::<Waiting, v1::Waiting>(samples::waitings());
    all_come_back::<GateWait, v1::GateWait>(samples::gate_waits());
    all_come_back::<HookOutcome, v1::HookOutcome>(samples::hook_outcomes());
    come_back::<Actor, v1::Actor>(samples::actors());
    come_back::<StepKey, v1::StepKey>(samples::step_keys());
}

#[test]
fn reports() {
    all_come_back::<Outcome, v1::Outcome>(samples::outcomes());
    all_come_back::<StepReport, v1::StepReport>(samples::step_reports());
    come_back::<Inspection, v1::Inspection>(samples::inspections());
    all_come_back::<LogLine, v1::LogLine>(samples::log_lines());
    come_back::<Progress, v1::Progress>(samples::progress());
}

#[test]
fn pipelines_migrations_and_plans() {
    come_back::<Pipeline, v1::Pipeline>(vec![samples::pipeline()]);
    come_back::<Manifest, v1::Manifest>(samples::manifests());
    all_come_back::<Expectation, v1::Expectation>(samples::expectations());
    all_come_back::<Question, v1::Question>(samples::questions());
    all_come_back::<Scalar, v1::Scalar>(samples::scalars());
    come_back::<MigrationSummary, v1::MigrationSummary>(samples::migration_summaries());
    come_back::<TargetPlan, v1::TargetPlan>(vec![samples::target_plan()]);
}

#[test]
fn commands() {
    come_back::<AgentCommand, v1::Command>(samples::commands());
    come_back::<AgentAct, v1::Act>(samples::acts());
    come_back::<SampleWish, v1::SampleWish>(samples::sample_wishes());
}

#[test]
fn drift() {
    come_back::<Drift, v1::Drift>(samples::drifts());
    let known = samples::drifts().into_iter().map(Comparison::Known);
    let comparisons: Vec<_> =
        known.chain([Comparison::Unknown { why: "nothing is recorded".into() }]).collect();
    all_come_back::<Comparison, v1::Comparison>(comparisons.clone());
    let look = |comparison| SchemaLook { schema: samples::digest(9), comparison };
    come_back::<SchemaLook, v1::SchemaLook>(comparisons.into_iter().map(look).collect());
}

#[test]
fn rollbacks() {
    come_back::<RollbackPlan, v1::RollbackPlan>(samples::rollback_plans());
    all_come_back::<WrittenSince, v1::WrittenSince>(samples::written());
    every_value_comes_back::<Taking>();
}

#[test]
fn saved() {
    come_back::<Saved, v1::Saved>(samples::saved());
    come_back::<RestoredValues, v1::RestoredValues>(samples::restored_values());
    every_value_comes_back::<SavedWhat>();
}

#[test]
fn histories() {
    come_back::<Histories, v1::Histories>(samples::histories());
    come_back::<AppliedMigration, v1::AppliedMigration>(samples::applied_migrations());
    all_come_back::<Origin, v1::Origin>(samples::origins());
    come_back::<Recorded, v1::Recorded>(samples::recorded());
}
