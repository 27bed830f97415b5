//! The fault matrix: every kind of script × every point at which it may be cut off × everything that may cut it off. Each
//! time the effects are there exactly once, the outcome is right, and nothing of the run is left in the database, as a
//! session sees it that is not the program's own.
//!
//! In the ordinary suite each kind meets each point once, and the faults take turns. The whole product, as often as it is
//! said here, and in each second round with two faults in a row:
//!
//! ```text
//! STOPOVER_FAULT_ROUNDS=2 cargo nextest run --profile faults -p stopover-agent faults::
//! ```

mod case;
mod kinds;

use std::time::Instant;

use futures::FutureExt as _;
use stopover_cluster::Cluster;

use crate::support::Bench;
use case::Case;
use kinds::{KINDS, Kind};

/// Where a run is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    BeforeIntent,
    AfterIntent,
    /// The server is at work on the statement.
    During,
    AfterExecution,
    BeforeCommit,
    AfterCommit,
    BeforeReport,
}

const POINTS: [Point; 7] = [
    Point::BeforeIntent,
    Point::AfterIntent,
    Point::During,
    Point::AfterExecution,
    Point::BeforeCommit,
    Point::AfterCommit,
    Point::BeforeReport,
];

/// What cuts it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// `kill -9`: the kernel resets the connections. The agent is started again, and is asked for the same attempt.
    AgentKilled,
    /// Its machine is gone: the server goes on as if nothing had happened. A new attempt follows, of a newer epoch.
    AgentSilent,
    /// The agent lives on.
    NetworkCut,
    /// The agent lives on.
    BackendKilled,
    /// `kill -9` of the server's main process, which is started again. The agent lives on.
    PostmasterKilled,
}

const FAULTS: [Fault; 4] = [Fault::AgentKilled, Fault::AgentSilent, Fault::NetworkCut, Fault::BackendKilled];

macro_rules! each_kind {
    ($($kind:ident),*) => { $(
        #[tokio::test]
        async fn $kind() {
            of_kind(stringify!($kind)).await;
        }
    )* };
}

each_kind!(
    transaction,
    transaction_behind_another,
    tables_behind_another,
    new_enum_value,
    use_of_a_new_enum_value,
    create_index_concurrently,
    reindex_concurrently,
    drop_index_concurrently,
    detach_partition_concurrently,
    vacuum,
    committing_block,
    committing_block_that_is_safe_to_rerun,
    create_database,
    drop_database,
    rollback_in_a_transaction,
    rollback_statement_by_statement,
    rollback_with_a_committing_block,
    own_transactions_of_the_file,
    up_that_drops,
    rollback_that_saves,
    rollback_that_saves_statement_by_statement,
    transaction_with_one_snapshot,
    table_with_a_trigger_behind_another
);

#[tokio::test]
async fn server_killed_under_a_transaction() {
    when_the_server_dies(0).await;
}

#[tokio::test]
async fn server_killed_under_an_index_or_a_block() {
    when_the_server_dies(1).await;
}

#[tokio::test]
async fn server_killed_under_a_rollback() {
    when_the_server_dies(2).await;
}

#[test]
fn every_kind_has_its_test() {
    let source = include_str!("mod.rs");
    for kind in KINDS {
        assert!(source.contains(&format!("\n    {}", kind.name)), "{} is in no test", kind.name);
    }
}

fn rounds() -> Option<u32> {
    std::env::var("STOPOVER_FAULT_ROUNDS").ok().map(|n| n.parse().expect("a number of rounds"))
}

/// All faults but the server's own death.
async fn of_kind(name: &str) {
    let (number, kind) = KINDS.iter().enumerate().find(|(_, kind)| kind.name == name).unwrap();
    let mut cases = Vec::new();
    for (turn, point) in kind.points().into_iter().enumerate() {
        match rounds() {
            Some(rounds) => cases.extend(repeated(kind, point, &FAULTS, rounds)),
            None if dies_with_its_server(number, turn) => {}
            None => cases.push(Case::new(kind, point, FAULTS[(number + turn) % FAULTS.len()])),
        }
    }
    let mut failures = Vec::new();
    for case in &cases {
        failures.extend(failure(case, Bench::new().await).await);
    }
    report(name, cases.len(), &failures);
}

/// Each third kind, on a cluster that is killed and started again and again.
async fn when_the_server_dies(third: usize) {
    let cluster = Cluster::builder().name("faults").setting("max_connections", "40").start().await.unwrap();
    let mut cases = Vec::new();
    for (number, kind) in KINDS.iter().enumerate().filter(|(_, kind)| kind.group == third) {
        for (turn, point) in kind.points().into_iter().enumerate() {
            match rounds() {
                Some(rounds) => cases.extend(repeated(kind, point, &[Fault::PostmasterKilled], rounds)),
                None if dies_with_its_server(number, turn) => {
                    cases.push(Case::new(kind, point, Fault::PostmasterKilled));
                }
                None => {}
            }
        }
    }
    let mut failures = Vec::new();
    for case in &cases {
        let bench = Bench::on(&cluster).await;
        failures.extend(failure(&Case { cluster: Some(&cluster), ..*case }, bench).await);
        cluster.start_again().await.unwrap();
    }
    report("killed servers", cases.len(), &failures);
}

/// Whose turn it is in the ordinary suite: each kind loses its server at one or two points, and the kinds at all.
fn dies_with_its_server(kind: usize, turn: usize) -> bool {
    (kind + turn).is_multiple_of(FAULTS.len() + 1)
}

fn repeated<'a>(kind: &'a Kind, point: Point, faults: &[Fault], rounds: u32) -> Vec<Case<'a>> {
    let case = |fault, round| Case { times: 1 + round % 2, ..Case::new(kind, point, fault) };
    faults.iter().flat_map(|fault| (0..rounds).map(move |round| case(*fault, round))).collect()
}

/// What went wrong, with all that the runs said.
async fn failure(case: &Case<'_>, bench: Bench) -> Option<String> {
    let began = Instant::now();
    let mut trace = case::Trace::default();
    // A panic of a helper must not hide which case it was.
    let ran = std::panic::AssertUnwindSafe(Box::pin(case.run(bench, &mut trace))).catch_unwind().await;
    let why = match ran {
        Ok(Ok(())) => return None,
        Ok(Err(why)) => why,
        Err(panic) => match panic.downcast_ref::<String>() {
            Some(text) => text.clone(),
            None => panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).unwrap_or_default(),
        },
    };
    let failure = format!("{case}, after {:?}: {why}\n{trace}", began.elapsed());
    eprintln!("{failure}");
    Some(failure)
}

fn report(what: &str, cases: usize, failures: &[String]) {
    eprintln!("{what}: {cases} cases, {} failures", failures.len());
    assert!(cases > 0, "nothing was tried");
    assert!(failures.is_empty(), "{} of {cases} cases failed:\n{}", failures.len(), failures.join("\n"));
}
