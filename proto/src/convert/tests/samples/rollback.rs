//! Plans of rollbacks.

use std::time::Duration;

use stopover_model::rollback::{
    Fate, Held, LaterMigration, MigrationRollback, RollbackPlan, Taken, Taking, WrittenSince,
};

use super::{WireEnum, at, id, inspections};

pub(in crate::convert::tests) fn rollback_plans() -> Vec<RollbackPlan> {
    let statements = inspections().into_iter().flat_map(|i| i.impacts).flat_map(|i| i.statements);
    let full = MigrationRollback {
        migration: id("001_x"),
        applied: Some(at()),
        takes: takes(),
        statements: statements.collect(),
    };
    let bare = MigrationRollback { migration: id("002_y"), applied: None, takes: vec![], statements: vec![] };
    let later = LaterMigration { migration: id("003_z"), deployment: id("0123456789"), at: at() };
    let plan = RollbackPlan {
        migrations: vec![bare, full],
        later: vec![later],
        warnings: vec!["a table is locked".into()],
    };
    vec![RollbackPlan::default(), plan]
}

pub(in crate::convert::tests) fn takes() -> Vec<Taken> {
    let taken = |(how, since): (&Taking, Option<WrittenSince>)| Taken {
        statement: 7,
        object: "column users.plan".into(),
        how: *how,
        held: since.map(|since| Held {
            rows: 805_000,
            counted: how == &Taking::Dropped,
            bytes: 1 << 40,
            since,
        }),
        fate: match how {
            Taking::Dropped => Some(Fate::Saved { keep_for: Some(Duration::from_hours(24)) }),
            Taking::Emptied => Some(Fate::Saved { keep_for: None }),
            Taking::Converted => Some(Fate::Lost { why: "save = false".into() }),
            Taking::Hidden => None,
        },
        along: vec!["index users_plan".into()],
        in_the_way: vec!["view paying".into()],
        notes: vec!["function price() speaks of it".into()],
    };
    let since = written().into_iter().map(Some).chain([None, None]);
    Taking::ALL.iter().zip(since).map(taken).collect()
}

pub(in crate::convert::tests) fn written() -> Vec<WrittenSince> {
    vec![
        WrittenSince::Rows { rows: u64::MAX, basis: "by the age of their transactions".into() },
        WrittenSince::Unknown { why: "the ledger was restored".into() },
    ]
}
