//! What people decide by must be true: each statement of a corpus is predicted from the agent's own facts and then run, and
//! what PostgreSQL really locks, writes anew, goes through and fires is compared with the prediction.

mod observe;
mod outside;

use std::collections::BTreeSet;

use stopover_agent::inspect::{self, InspectRequest, impact};
use stopover_agent::postgres::{Purpose, Session, SessionName};
use stopover_lint::impact::{ScriptToPredict, predict, questions};
use stopover_model::event::StepKind;
use stopover_model::impact::{LockMode, ScriptImpact, StatementImpact, WorkKind};
use stopover_model::migration::{Migration, Variant};
use stopover_model::report::{Inspection, Outcome, StepReport};

use crate::support::{Bench, migration};
use observe::Observed;

const SCHEMA: &str = include_str!("impact/schema.sql");
const CORPUS: &str = include_str!("impact/corpus.sql");

async fn inspection(bench: &Bench, migrations: Vec<Migration>) -> Inspection {
    match inspect::run(
        &bench.context(StepKind::Inspect),
        &InspectRequest { migrations, sample: None, backup: None },
    )
    .await
    {
        Outcome::Succeeded { report: StepReport::Inspected(inspection) } => inspection,
        other => panic!("{other:?}"),
    }
}

/// What is said of a script of one statement.
async fn predicted(bench: &Bench, sql: &str) -> StatementImpact {
    let found = inspection(bench, vec![migration("001_x", &[("up.sql", sql)])]).await;
    assert!(
        !found.warnings.iter().any(|warning| warning.contains("statements")),
        "{sql}: {:?}",
        found.warnings
    );
    let impacts: Vec<ScriptImpact> = found.impacts;
    impacts.into_iter().flat_map(|script| script.statements).next().unwrap_or_default()
}

/// In the words of the comparison. Locks that everybody takes all the time are compared where they are said at all.
fn in_words(impact: &StatementImpact) -> Observed {
    let table = |name: &str| name.strip_prefix("public.").unwrap_or(name).to_owned();
    let of_tables = impact.locks.iter().filter(|lock| !lock.relation.contains("users_email"));
    let locks = of_tables.map(|lock| (table(&lock.relation), lock.mode)).collect();
    let work = |kinds: &[WorkKind]| {
        let works = impact.work.iter().filter(|work| kinds.contains(&work.kind));
        works.map(|work| table(&work.relation)).collect::<BTreeSet<_>>()
    };
    Observed {
        locks,
        rewritten: work(&[WorkKind::Rewrite]),
        scanned: work(&[WorkKind::Rewrite, WorkKind::Scan, WorkKind::BuildIndex]),
        fired: impact.triggers.iter().map(|trigger| trigger.name.clone()).collect(),
    }
}

#[tokio::test]
async fn what_is_predicted_is_what_postgresql_does() {
    let bench = Bench::new().await;
    bench.execute(SCHEMA).await;
    let migrations: Vec<Migration> =
        CORPUS.lines().map(|sql| migration("001_x", &[("up.sql", sql)])).collect();
    let scripts: Vec<ScriptToPredict<'_>> = migrations.iter().map(standard).collect();
    let session = session(&bench).await;
    let facts = impact::facts(&session, &questions(&scripts), &mut Vec::new()).await.unwrap();
    let mut wrong = Vec::new();
    for (sql, script) in CORPUS.lines().zip(scripts) {
        let found = predict(&[script], &facts, 10).impacts;
        let impact = found.into_iter().flat_map(|script| script.statements).next().unwrap_or_default();
        match observe::run(&bench, sql).await {
            Ok(seen) => wrong.extend(difference(sql, &impact, &seen)),
            Err(error) => wrong.push(error),
        }
    }
    session.close().await;
    assert!(wrong.is_empty(), "{} of {}:\n\n{}", wrong.len(), CORPUS.lines().count(), wrong.join("\n"));
}

fn standard(migration: &Migration) -> ScriptToPredict<'_> {
    ScriptToPredict {
        migration: &migration.id,
        variant: Variant::Standard,
        script: &migration.up,
        saves: true,
    }
}

async fn session(bench: &Bench) -> Session {
    let context = bench.context(StepKind::Inspect);
    bench.database.connect(&Purpose::reading(&SessionName::of(&context))).await.unwrap()
}

fn difference(sql: &str, impact: &StatementImpact, seen: &Observed) -> Option<String> {
    let said = in_words(impact);
    let changes_rows = impact.work.iter().any(|work| work.kind == WorkKind::ChangeRows);
    let mut wrong = Vec::new();
    let felt = |of: &Observed| -> BTreeSet<String> {
        // Which partitions are touched by what changes rows is up to the rows.
        let inherits =
            |table: &str| ["events_", "regions_", "cats"].iter().any(|child| table.starts_with(child));
        let felt = of.locks.iter().filter(|(table, mode)| {
            **mode > LockMode::RowExclusive || (**mode > LockMode::AccessShare && !inherits(table))
        });
        felt.map(|(table, mode)| format!("{mode} {table}")).collect()
    };
    compare("locks", &felt(&said), &felt(seen), &mut wrong);
    if !sql.starts_with("TRUNCATE") {
        compare("rewritten", &said.rewritten, &seen.rewritten, &mut wrong);
    }
    // Rows are found by the planner's choice; whom foreign keys point to is looked up by it too.
    let only_reads = ["SELECT", "COPY", "ANALYZE", "TRUNCATE"].iter().any(|word| sql.starts_with(word))
        && !sql.contains(" INTO ");
    if !changes_rows && !only_reads {
        let referenced = impact
            .locks
            .iter()
            .filter(|lock| lock.why.as_ref().is_some_and(|why| why.starts_with("referenced")));
        let referenced: Vec<String> =
            referenced.map(|lock| lock.relation.trim_start_matches("public.").to_owned()).collect();
        let elsewhere = |table: &&String| !referenced.contains(table) && !seen.rewritten.contains(*table);
        let read = seen.scanned.iter().filter(elsewhere).cloned().collect();
        let said = said.scanned.iter().filter(elsewhere).cloned().collect();
        compare("scanned", &said, &read, &mut wrong);
    }
    compare("fired", &said.fired, &seen.fired, &mut wrong);
    (!wrong.is_empty()).then(|| format!("{sql}\n    {}\n    notes {:?}", wrong.join("\n    "), impact.notes))
}

fn compare(what: &str, said: &BTreeSet<String>, seen: &BTreeSet<String>, wrong: &mut Vec<String>) {
    if said != seen {
        let missing: Vec<_> = seen.difference(said).collect();
        let invented: Vec<_> = said.difference(seen).collect();
        wrong.push(format!("{what}: not predicted {missing:?}, predicted in vain {invented:?}"));
    }
}
