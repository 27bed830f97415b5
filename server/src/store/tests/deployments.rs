use std::collections::BTreeMap;

use futures::future::join_all;
use stopover_model::digest::Digest;
use stopover_model::event::DeploymentOutcome;
use stopover_model::id::Seq;
use uuid::Uuid;

use super::super::{Creation, Found, Hold, Projection};
use super::{Place, at, create, files_of_sample, id, migration, on_both, waits};

on_both!(
    a_request_sent_twice_makes_one_deployment,
    a_taken_id_is_told_apart_from_a_repeated_request,
    migrations_keep_their_files,
    the_list_shows_the_newest_first,
    a_deployment_is_found_by_the_beginning_of_its_id,
);

async fn a_request_sent_twice_makes_one_deployment(place: Place) {
    let store = place.open().await;
    let request = Uuid::new_v4();
    let callers = (1..=6).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { create(&store, &id(number), 0, request).await })
    });
    let results: Vec<_> = join_all(callers).await.into_iter().map(Result::unwrap).collect();
    let made = store.open_deployments().await.unwrap();
    assert_eq!(made.len(), 1);
    assert_eq!(results.iter().filter(|result| **result == Creation::Created).count(), 1, "{results:?}");
    assert_eq!(
        results.iter().filter(|result| **result == Creation::Existing(made[0].clone())).count(),
        5,
        "{results:?}"
    );
}

async fn a_taken_id_is_told_apart_from_a_repeated_request(place: Place) {
    let store = place.open().await;
    assert_eq!(create(&store, &id(1), 0, Uuid::new_v4()).await, Creation::Created);
    assert_eq!(create(&store, &id(1), 0, Uuid::new_v4()).await, Creation::IdTaken);
    assert_eq!(store.records(&id(1), Seq::ZERO, 10).await.unwrap().len(), 1);
}

async fn migrations_keep_their_files(place: Place) {
    let store = place.open().await;
    for number in [1, 2] {
        create(&store, &id(number), 0, Uuid::new_v4()).await;
    }
    let (ours, nobodys) = (migration().digest, Digest::from_bytes([7; 32]));
    let found = BTreeMap::from([(ours, files_of_sample())]);
    assert_eq!(store.bundles(&[ours]).await.unwrap(), found);
    assert_eq!(store.bundles(&[nobodys, ours]).await.unwrap(), found);
    assert_eq!(store.bundles(&[nobodys]).await.unwrap(), BTreeMap::new());
}

async fn the_list_shows_the_newest_first(place: Place) {
    let store = place.open().await;
    for number in 1..=3 {
        create(&store, &id(number), i64::try_from(number).unwrap() * 10, Uuid::new_v4()).await;
    }
    let failed =
        Projection { outcome: Some(DeploymentOutcome::RolledBack), at: "staging: rolled back".to_owned() };
    store.append(&[waits(&id(1), 2)], &failed, Hold::Keep).await.unwrap();

    let list = store.list_deployments(10).await.unwrap();
    assert_eq!(list.iter().map(|row| &row.id).collect::<Vec<_>>(), [&id(3), &id(2), &id(1)]);
    let row = &list[2];
    assert_eq!(
        (row.pipeline.as_str(), row.by.as_str(), row.at.as_str()),
        ("users-db", "anna", "staging: rolled back")
    );
    assert_eq!((row.created_at, row.updated_at), (at(10), at(2)));
    assert_eq!((row.outcome, row.seq), (Some(DeploymentOutcome::RolledBack), Seq(2)));
    assert_eq!(row.migrations, [migration().id]);
    assert_eq!((list[0].outcome, list[0].at.as_str()), (None, "created"));
    assert_eq!(store.list_deployments(2).await.unwrap(), list[..2]);
    assert_eq!(store.open_deployments().await.unwrap(), [id(2), id(3)]);
}

async fn a_deployment_is_found_by_the_beginning_of_its_id(place: Place) {
    let store = place.open().await;
    // Ids begin with their low bits.
    let (a, b) = (id(0b00001_01010), id(0b00010_01010));
    assert_eq!((a.as_str(), b.as_str()), ("a100000000", "a200000000"));
    for id in [&a, &b] {
        create(&store, id, 0, Uuid::new_v4()).await;
    }
    for (prefix, found) in [
        ("a1", Found::One(a.clone())),
        ("A2", Found::One(b)),
        (a.as_str(), Found::One(a.clone())),
        ("a", Found::Many),
        ("b", Found::None),
        ("%", Found::None),
        ("a_", Found::None),
        ("", Found::None),
        ("a1000000000", Found::None),
    ] {
        assert_eq!(store.find_deployment(prefix).await.unwrap(), found, "{prefix:?}");
    }
}
