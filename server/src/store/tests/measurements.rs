use std::time::Duration;

use stopover_model::digest::Digest;
use stopover_model::plan::{MeasuredKind, Measurement, Variant};
use uuid::Uuid;

use super::super::measurements::KEPT;
use super::super::{Hold, Learned};
use super::{Place, Store, at, create, going_on, id, on_both, waits};

on_both!(
    what_was_measured_comes_back_for_its_environment_and_for_its_migration,
    only_the_newest_of_each_kind_are_kept,
    nothing_is_kept_of_what_did_not_happen,
);

fn digest(number: u8) -> Digest {
    Digest::from_bytes([number; 32])
}

fn measured(environment: &str, database: &str, of: u8, kind: MeasuredKind, second: i64) -> Measurement {
    Measurement {
        environment: environment.parse().unwrap(),
        database: database.parse().unwrap(),
        digest: digest(of),
        variant: Variant::Batched,
        statement: 3,
        kind,
        rows: 1_000_000,
        bytes: 1 << 40,
        touched: 999_999,
        took: Duration::from_micros(14_000_001),
        at: at(second),
    }
}

async fn keep(store: &Store, seq: u64, measured: &[Measurement]) {
    let learned = Learned { measured, ..Learned::default() };
    store.append_learned(&[waits(&id(1), seq)], &going_on(), Hold::Keep, learned).await.unwrap();
}

async fn what_was_measured_comes_back_for_its_environment_and_for_its_migration(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    let all = [
        measured("production", "users", 1, MeasuredKind::Rewrite, 1),
        measured("production", "orders", 2, MeasuredKind::Backfill, 2),
        measured("production", "orders", 3, MeasuredKind::Other, 3),
        measured("staging", "users", 1, MeasuredKind::Other, 4),
        measured("staging", "users", 4, MeasuredKind::Scan, 5),
    ];
    keep(&store, 2, &all).await;
    let production = "production".parse().unwrap();
    let found = store.measurements(&production, &[]).await.unwrap();
    assert_eq!(found, [all[1].clone(), all[0].clone()]);
    let found = store.measurements(&production, &[digest(1), digest(9)]).await.unwrap();
    assert_eq!(found, [all[1].clone(), all[0].clone(), all[3].clone()]);
    let many: Vec<_> = (0..40).map(digest).collect();
    assert_eq!(store.measurements(&production, &many).await.unwrap().len(), all.len());
}

async fn only_the_newest_of_each_kind_are_kept(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    keep(&store, 2, &[measured("production", "users", 1, MeasuredKind::Scan, 0)]).await;
    let scans = i64::from(KEPT) + 5;
    for second in 1..=scans {
        let one = measured("production", "users", 1, MeasuredKind::Rewrite, second);
        keep(&store, 2 + u64::try_from(second).unwrap(), &[one]).await;
    }
    let found = store.measurements(&"production".parse().unwrap(), &[]).await.unwrap();
    let rewrites: Vec<_> = found.iter().filter(|m| m.kind == MeasuredKind::Rewrite).map(|m| m.at).collect();
    assert_eq!((rewrites.len(), rewrites[0]), (KEPT as usize, at(6)));
    assert!(found.iter().any(|m| m.kind == MeasuredKind::Scan));
}

async fn nothing_is_kept_of_what_did_not_happen(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    let one = measured("production", "users", 1, MeasuredKind::Scan, 0);
    let learned = Learned { measured: std::slice::from_ref(&one), ..Learned::default() };
    let late = store.append_learned(&[waits(&id(1), 7)], &going_on(), Hold::Keep, learned).await;
    assert!(late.is_err());
    let production = "production".parse().unwrap();
    assert_eq!(store.measurements(&production, &[]).await.unwrap(), []);
    // What was written, and is written again after a crash, counts once.
    keep(&store, 2, &[one.clone(), one.clone()]).await;
    keep(&store, 3, std::slice::from_ref(&one)).await;
    assert_eq!(store.measurements(&production, &[]).await.unwrap(), [one]);
}
