use futures::future::join;
use stopover_model::event::{Actor, DeploymentOutcome, StageIndex, Waiting};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::store::{Bundle, Creation, Hold, NewDeployment, Projection};
use crate::testing::{created, migration, now, pipeline, soon, store};

type Items = mpsc::Receiver<Result<WatchItem, StoreError>>;

/// A hub over a log that is written as the conductor writes it: first the store, then the hub.
struct Bench {
    _dir: TempDir,
    store: Store,
    hub: Hub,
    id: DeploymentId,
    last: Seq,
}

impl Bench {
    async fn start() -> Self {
        let (dir, store) = store().await;
        let (id, migration, pipeline) = (DeploymentId::from_random(1), migration("001_x"), pipeline("p"));
        let event = created(pipeline, &migration);
        let record = Record { deployment: id.clone(), seq: Seq(1), at: now(), event };
        let bundles = [Bundle { digest: migration.digest, files: migration.files() }];
        let new = NewDeployment { record: &record, bundles: &bundles, request_id: Uuid::new_v4() };
        assert_eq!(store.create_deployment(new).await.unwrap(), Creation::Created);
        Self { _dir: dir, store, hub: Hub::default(), id, last: Seq(1) }
    }

    async fn append(&mut self, events: Vec<Event>) {
        let record = |event| {
            self.last = self.last.next();
            Record { deployment: self.id.clone(), seq: self.last, at: now(), event }
        };
        let records: Vec<_> = events.into_iter().map(record).collect();
        let projection = Projection { outcome: None, at: String::new() };
        self.store.append(&records, &projection, Hold::Keep).await.unwrap();
        for record in records {
            self.hub.publish(&self.id, WatchItem::Record(Arc::new(record)));
        }
    }

    fn watch(&self, after: u64) -> Items {
        let (out, items) = mpsc::channel(8);
        let (hub, store, id) = (self.hub.clone(), self.store.clone(), self.id.clone());
        tokio::spawn(async move { hub.watch(store, id, Seq(after), out).await });
        items
    }
}

fn waits(number: u64) -> Event {
    Event::WaitingChanged { waiting: Some(Waiting::Person { cause: number.to_string() }) }
}

fn finished() -> Event {
    Event::Finished { outcome: DeploymentOutcome::Succeeded }
}

fn reopened() -> Event {
    let by = Actor::Operator("anna".parse().unwrap());
    Event::RollbackStarted { stage: StageIndex(0), cause: "asked for".into(), by, to: None }
}

/// What comes until the watch ends: the seqs of records, 0 for having caught up.
async fn all(mut items: Items) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Some(item) = soon("an item", items.recv()).await {
        match item.unwrap() {
            WatchItem::Record(record) => seqs.push(record.seq.0),
            WatchItem::CaughtUp => seqs.push(0),
            WatchItem::Progress(..) => {}
        }
    }
    seqs
}

async fn caught_up(items: &mut Items) {
    while !matches!(soon("the log", items.recv()).await, Some(Ok(WatchItem::CaughtUp))) {}
}

#[tokio::test]
async fn a_watch_begun_in_the_middle_of_writing_has_no_gap_and_no_double() {
    let mut bench = Bench::start().await;
    let watches: Vec<_> = (0..4).map(|_| all(bench.watch(0))).collect();
    let watching = futures::future::join_all(watches);
    let writing = async {
        for n in 0..60 {
            bench.append(vec![waits(n), waits(n)]).await;
        }
        bench.append(vec![finished()]).await;
    };
    let (each, ()) = join(watching, writing).await;
    for mut seqs in each {
        seqs.retain(|seq| *seq != 0);
        assert_eq!(seqs, (1..=122).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_reader_that_slept_through_a_storm_reads_it_from_the_log() {
    let mut bench = Bench::start().await;
    let mut items = bench.watch(0);
    caught_up(&mut items).await;
    for _ in 0..6 {
        bench.append((0..1000).map(waits).collect()).await;
    }
    bench.append(vec![finished()]).await;
    assert_eq!(all(items).await, (2..=6002).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_watch_of_an_ended_deployment_ends_and_that_of_a_reopened_one_goes_on() {
    let mut bench = Bench::start().await;
    bench.append(vec![finished()]).await;
    assert_eq!(all(bench.watch(0)).await, [1, 2, 0]);
    assert_eq!(all(bench.watch(2)).await, [0], "nothing is left to wait for");

    bench.append(vec![reopened()]).await;
    let mut items = bench.watch(2);
    caught_up(&mut items).await;
    bench.append(vec![waits(1), finished()]).await;
    assert_eq!(all(items).await, [4, 5]);
    assert_eq!(all(bench.watch(0)).await, [1, 2, 3, 4, 5, 0], "the first end is not the last");
}

#[tokio::test]
async fn a_watcher_that_has_gone_is_forgotten_although_nothing_happens() {
    let bench = Bench::start().await;
    let (out, mut items) = mpsc::channel(8);
    let hub = bench.hub.clone();
    let (store, id) = (bench.store.clone(), bench.id.clone());
    let watch = tokio::spawn(async move { hub.watch(store, id, Seq::ZERO, out).await });
    caught_up(&mut items).await;
    drop(items);
    soon("the watch's end", watch).await.unwrap();
}
