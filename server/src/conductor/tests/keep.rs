//! What is kept of long logs: read where it fits the log, and never believed instead of it.

use std::collections::BTreeSet;

use stopover_model::deployment::FORM;

use super::*;
use crate::store::{Kept, Snapshot};

/// A deployment that has ended, with so many lines in its log.
async fn chatty(bench: &mut Bench, lines: u64) -> (DeploymentId, Vec<Record>) {
    let id = bench.deploy("001_a").await;
    let working = bench.asked_for(StepKind::Migrate).await.take();
    for number in 1..=lines {
        working.line(number).await;
    }
    let mut follower = bench.follow(&id).await;
    let logged = |d: &Deployment| d.seq.0 > lines;
    follower.until("all lines", logged).await;
    working.succeed().await;
    (id.clone(), bench.finish(&id).await.records)
}

async fn kept(bench: &Bench, id: &DeploymentId, kind: Kept) -> Option<Seq> {
    bench.store.snapshot(id, kind, FORM).await.unwrap().map(|kept| kept.seq)
}

/// The deployment's task has nothing left to do, and what it keeps is kept.
async fn retired(bench: &Bench, id: &DeploymentId) {
    let gone = async {
        while bench.conductor.shared.actors().contains_key(id) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    soon("the end of the deployment's task", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_was_kept_is_what_the_log_gives() {
    let mut bench = Bench::start().await;
    let (id, log) = chatty(&mut bench, 1_100).await;
    retired(&bench, &id).await;
    let (whole, last) = (Deployment::fold(&log).unwrap().unwrap(), log.last().unwrap().seq);
    assert_eq!(kept(&bench, &id, Kept::State).await, Some(last));
    assert_eq!(bench.conductor.state_of(&id).await.unwrap(), whole);

    // One that was kept on the way, and the rest of the log.
    let before = Deployment::fold(&log[..700]).unwrap().unwrap();
    let body = zstd::encode_all(&serde_json::to_vec(&before).unwrap()[..], 1).unwrap();
    let keep = async |seq: Seq, body: &[u8]| {
        bench.store.keep_snapshot(&id, Kept::State, FORM, Snapshot { seq, body }).await.unwrap();
    };
    keep(before.seq, &body).await;
    assert_eq!(bench.conductor.state_of(&id).await.unwrap(), whole);

    // What can't be read, what says another seq than it is of, and what is of a longer log that is no longer there.
    let longer = Deployment { seq: Seq(last.0 + 5), ..whole.clone() };
    let longer_body = zstd::encode_all(&serde_json::to_vec(&longer).unwrap()[..], 1).unwrap();
    for (seq, body) in [(last, &b"nonsense"[..]), (last, &body[..]), (longer.seq, &longer_body[..])] {
        keep(seq, body).await;
        assert_eq!(bench.conductor.state_of(&id).await.unwrap(), whole);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_the_same_from_memory_from_what_was_kept_and_from_the_log() {
    let mut bench = Bench::start().await;
    let (id, log) = chatty(&mut bench, 1_100).await;
    retired(&bench, &id).await;
    let shown = Deployment::fold(&log).unwrap().unwrap().glance(&BTreeSet::new());
    assert_eq!(kept(&bench, &id, Kept::Glance).await, Some(log.last().unwrap().seq));
    assert_eq!(bench.conductor.glance(&id, BTreeSet::new()).await.unwrap(), shown);

    // It goes on: what was kept is of the past.
    bench.ask(&id, Request::Rollback { stage: None, to: None }).await.unwrap();
    let taken_up = bench.conductor.glance(&id, BTreeSet::new()).await.unwrap().into_shown().0;
    assert!(taken_up.seq > log.last().unwrap().seq && taken_up.stages[0].rollback.is_some());

    let short = bench.deploy("002_b").await;
    let short_log = bench.finish(&short).await.records;
    retired(&bench, &short).await;
    assert_eq!(kept(&bench, &short, Kept::Glance).await, None, "a short log is read");
    let shown = Deployment::fold(&short_log).unwrap().unwrap().glance(&BTreeSet::new());
    assert_eq!(bench.conductor.glance(&short, BTreeSet::new()).await.unwrap(), shown);
}
