use std::time::Duration;

use stopover_model::digest::Digest;
use stopover_model::follow_up::{FollowUpChange, FollowUpKey, Scheduled, Seen};
use stopover_model::migration::FollowUp;
use uuid::Uuid;

use super::super::{Hold, Learned};
use super::{Place, Store, at, create, going_on, id, on_both, waits};

on_both!(
    a_follow_up_is_found_when_it_is_due_and_keeps_its_history,
    one_whose_migration_is_rolled_back_is_due_no_more
);

fn follow_up(name: &str, after: u64) -> Scheduled {
    Scheduled {
        key: FollowUpKey {
            deployment: id(1),
            environment: "production".parse().unwrap(),
            database: "users".parse().unwrap(),
            migration: "001_e".parse().unwrap(),
            name: name.into(),
        },
        digest: Digest::from_bytes([3; 32]),
        follow_up: FollowUp {
            name: name.into(),
            after: Duration::from_secs(after),
            again: None,
            sql: "SELECT 1".into(),
            expect: None,
        },
        since: at(0),
        system_identifier: "7".into(),
        runs: Vec::new(),
        held: None,
        acknowledged: None,
        cancelled: None,
    }
}

async fn schedule(store: &Store, seq: u64, follow_ups: &[FollowUpChange]) {
    let learned = Learned { follow_ups, ..Learned::default() };
    store.append_learned(&[waits(&id(1), seq)], &going_on(), Hold::Keep, learned).await.unwrap();
}

async fn a_follow_up_is_found_when_it_is_due_and_keeps_its_history(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    let (day, week) = (follow_up("a day", 100), follow_up("a week", 700));
    let put = |s: &Scheduled| FollowUpChange::Schedule(Box::new(s.clone()));
    schedule(&store, 2, &[put(&week), put(&day)]).await;
    assert_eq!(store.follow_ups(&id(1)).await.unwrap(), [day.clone(), week.clone()]);
    assert!(store.follow_ups_due(at(99), 10).await.unwrap().is_empty());
    assert_eq!(store.follow_ups_due(at(100), 10).await.unwrap(), std::slice::from_ref(&day));
    assert_eq!(store.follow_ups_due(at(900), 1).await.unwrap().len(), 1);

    let seen = Seen { passed: false, expected: "0".into(), observed: "3".into() };
    let changed = store.change_follow_up(&day.key, |s| s.record(seen, at(130))).await.unwrap().unwrap().0;
    assert_eq!((changed.runs.len(), changed.has_failed()), (1, true));
    assert!(store.follow_ups_due(at(200), 10).await.unwrap().is_empty(), "it has run");
    let failed = store.failed_follow_ups().await.unwrap();
    assert_eq!((failed.len(), &failed[0].key, failed[0].digest), (1, &day.key, day.digest));
    let acknowledge = |s: &mut Scheduled| s.acknowledge("ada".parse().unwrap(), "known", at(140));
    store.change_follow_up(&day.key, acknowledge).await.unwrap().unwrap().1.unwrap();
    assert!(store.failed_follow_ups().await.unwrap().is_empty());
    let mut other = day.key.clone();
    other.name = "another".into();
    assert!(store.change_follow_up(&other, |_| ()).await.unwrap().is_none());
}

async fn one_whose_migration_is_rolled_back_is_due_no_more(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    let day = follow_up("a day", 100);
    schedule(&store, 2, &[FollowUpChange::Schedule(Box::new(day.clone()))]).await;
    let FollowUpKey { deployment, environment, database, migration, .. } = day.key;
    let cancel = FollowUpChange::Cancel { deployment, environment, database, migration, at: at(50) };
    schedule(&store, 3, &[cancel]).await;
    assert!(store.follow_ups_due(at(900), 10).await.unwrap().is_empty());
    assert_eq!(store.follow_ups(&id(1)).await.unwrap()[0].cancelled, Some(at(50)));
}
