//! Other tools' histories.

use stopover_model::history::{
    AppliedMigration, Histories, HistoryRow, HistoryTable, Origin, Recorded, RowState, Tool,
};
use stopover_model::id::Epoch;

use super::reports::inspections;
use super::{at, digest, id};
use crate::convert::{AgentAct, WireEnum as _};

pub(in crate::convert::tests) fn histories() -> Vec<Histories> {
    let bare = |state| HistoryRow { version: None, name: None, scope: None, state, at: None, checksum: None };
    let full = |state| HistoryRow {
        version: Some("1.2".into()),
        name: Some("users".into()),
        scope: Some("db/changelog.xml".into()),
        at: Some(at()),
        checksum: Some("-17".into()),
        ..bare(state)
    };
    let rows: Vec<_> = RowState::ALL.iter().flat_map(|state| [bare(*state), full(*state)]).collect();
    let table = |tool: &Tool| HistoryTable { tool: *tool, table: "public.x".into(), rows: rows.clone() };
    let ledger = inspections().into_iter().flat_map(|inspection| inspection.ledger).collect();
    let found = Histories { tables: Tool::ALL.iter().map(table).collect(), ledger };
    vec![Histories { tables: vec![], ledger: vec![] }, found]
}

pub(in crate::convert::tests) fn applied_migrations() -> Vec<AppliedMigration> {
    vec![AppliedMigration { migration: id("001_x"), digest: digest(4) }]
}

pub(in crate::convert::tests) fn origins() -> Vec<Origin> {
    vec![Origin::Adopted { from: "public.x".into(), by: id("ada") }, Origin::Baseline { by: id("ada") }]
}

pub(in crate::convert::tests) fn recorded() -> Vec<Recorded> {
    vec![Recorded { written: vec![id("001_x")], already: vec![id("002_y"), id("003_z")] }]
}

pub(in crate::convert::tests) fn acts() -> Vec<AgentAct> {
    vec![AgentAct {
        environment: id("staging"),
        database: id("users"),
        id: id("0123456789"),
        epoch: Epoch(9),
        not_after: at(),
    }]
}
