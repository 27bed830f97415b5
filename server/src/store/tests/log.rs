use futures::future::join_all;
use stopover_model::event::DeploymentOutcome;
use stopover_model::id::{EnvironmentName, Seq};
use uuid::Uuid;

use super::super::db::sql;
use super::super::{AppendError, Hold, Projection, StoreError};
use super::{Place, create, created, going_on, id, on_both, waits};

on_both!(
    events_read_back_as_they_were_written,
    of_concurrent_appends_one_wins,
    an_append_is_all_or_nothing,
    a_log_with_a_gap_is_refused,
    an_environment_is_held_by_one,
    a_store_opened_again_holds_what_it_held,
    no_epoch_is_drawn_twice,
    a_spoilt_row_is_named_and_told_apart_from_a_failing_store,
);

async fn events_read_back_as_they_were_written(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    let written: Vec<_> = (2..=40).map(|seq| waits(&id(1), seq)).collect();
    store.append(&written[..1], &going_on(), Hold::Keep).await.unwrap();
    store.append(&written[1..], &going_on(), Hold::Keep).await.unwrap();

    let read = store.records(&id(1), Seq::ZERO, 1000).await.unwrap();
    assert_eq!(read[0], created(&id(1), 0));
    assert_eq!(read[1..], written);
    assert_eq!(store.records(&id(1), Seq(10), 3).await.unwrap(), written[9..12]);
    assert_eq!(store.records(&id(1), Seq(40), 3).await.unwrap(), []);
    assert_eq!(store.records(&id(2), Seq::ZERO, 3).await.unwrap(), []);
}

async fn of_concurrent_appends_one_wins(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    for seq in [2, 3, 4] {
        let writers = (0..8).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.append(&[waits(&id(1), seq)], &going_on(), Hold::Keep).await })
        });
        let results: Vec<_> = join_all(writers).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        for lost in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(matches!(lost, AppendError::Conflict { found, .. } if found.0 == seq), "{lost:?}");
        }
    }
    assert_eq!(store.records(&id(1), Seq::ZERO, 100).await.unwrap().len(), 4);
}

async fn an_append_is_all_or_nothing(place: Place) {
    let store = place.open().await;
    let staging: EnvironmentName = "staging".parse().unwrap();
    for number in [1, 2] {
        create(&store, &id(number), 0, Uuid::new_v4()).await;
    }
    store.append(&[waits(&id(1), 2)], &going_on(), Hold::Take(&staging)).await.unwrap();
    let finished = Projection { outcome: Some(DeploymentOutcome::Failed), at: "failed".to_owned() };
    let refused = store.append(&[waits(&id(2), 2)], &finished, Hold::Take(&staging)).await.unwrap_err();
    assert!(matches!(&refused, AppendError::Held { by } if *by == id(1)), "{refused:?}");

    assert_eq!(store.records(&id(2), Seq::ZERO, 10).await.unwrap().len(), 1);
    assert_eq!(store.open_deployments().await.unwrap().len(), 2);
    store.append(&[waits(&id(2), 2)], &finished, Hold::Keep).await.unwrap();
    assert_eq!(store.open_deployments().await.unwrap(), [id(1)]);
}

async fn a_log_with_a_gap_is_refused(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    let append = async |records: &[_]| store.append(records, &going_on(), Hold::Keep).await.unwrap_err();
    let gap = append(&[waits(&id(1), 3)]).await;
    assert!(matches!(gap, AppendError::Conflict { found: Seq(1), .. }), "{gap:?}");
    let unknown = append(&[waits(&id(9), 2)]).await;
    assert!(matches!(unknown, AppendError::Conflict { found: Seq::ZERO, .. }), "{unknown:?}");
    for malformed in [
        vec![],
        vec![waits(&id(1), 1)],
        vec![waits(&id(1), 2), waits(&id(1), 4)],
        vec![waits(&id(1), 2), waits(&id(2), 3)],
    ] {
        let error = append(&malformed).await;
        assert!(matches!(error, AppendError::Malformed(_)), "{error:?}");
    }
    assert_eq!(store.records(&id(1), Seq::ZERO, 10).await.unwrap().len(), 1);
}

async fn an_environment_is_held_by_one(place: Place) {
    let store = place.open().await;
    let staging: EnvironmentName = "staging".parse().unwrap();
    for number in 1..=6 {
        create(&store, &id(number), 0, Uuid::new_v4()).await;
    }
    let takers = (1..=6).map(|number| {
        let (store, staging) = (store.clone(), staging.clone());
        tokio::spawn(async move {
            store.append(&[waits(&id(number), 2)], &going_on(), Hold::Take(&staging)).await
        })
    });
    let results: Vec<_> = join_all(takers).await.into_iter().map(Result::unwrap).collect();
    let winner = results.iter().position(Result::is_ok).map(|index| id(1 + index as u64)).unwrap();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert!(
        results
            .iter()
            .filter_map(|result| result.as_ref().err())
            .all(|error| matches!(error, AppendError::Held { by } if *by == winner)),
        "{results:?}"
    );
    assert_eq!(store.holds().await.unwrap(), [(staging.clone(), winner.clone())].into());

    // Taking it again does nothing; nobody else can let go of it.
    let other = if winner == id(1) { id(2) } else { id(1) };
    store.append(&[waits(&winner, 3)], &going_on(), Hold::Take(&staging)).await.unwrap();
    store.append(&[waits(&other, 2)], &going_on(), Hold::Release(&staging)).await.unwrap();
    assert_eq!(store.holds().await.unwrap().len(), 1);
    store.append(&[waits(&winner, 4)], &going_on(), Hold::Release(&staging)).await.unwrap();
    assert!(store.holds().await.unwrap().is_empty());
    store.append(&[waits(&other, 3)], &going_on(), Hold::Take(&staging)).await.unwrap();
    assert_eq!(store.holds().await.unwrap(), [(staging, other)].into());
}

async fn a_store_opened_again_holds_what_it_held(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    store.append(&[waits(&id(1), 2)], &going_on(), Hold::Keep).await.unwrap();
    let epoch = store.next_epoch().await.unwrap();
    store.close().await;
    let gone = store.append(&[waits(&id(1), 3)], &going_on(), Hold::Keep).await.unwrap_err();
    assert!(
        gone.to_string().starts_with(&format!("could not append events of deployment {}", id(1))),
        "{gone}"
    );

    let again = place.open().await;
    assert_eq!(again.records(&id(1), Seq(1), 10).await.unwrap(), [waits(&id(1), 2)]);
    assert!(again.next_epoch().await.unwrap() > epoch);
    again.append(&[waits(&id(1), 3)], &going_on(), Hold::Keep).await.unwrap();
}

async fn no_epoch_is_drawn_twice(place: Place) {
    let store = place.open().await;
    let drawers = (0..50).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.next_epoch().await.unwrap() })
    });
    let mut epochs: Vec<_> = join_all(drawers).await.into_iter().map(|epoch| epoch.unwrap().0).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=50).collect::<Vec<_>>());
}

async fn a_spoilt_row_is_named_and_told_apart_from_a_failing_store(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    store.db.write(sql("UPDATE events SET body = '{\"event\": \"exploded\"}'")).await.unwrap();
    let error = store.records(&id(1), Seq::ZERO, 10).await.unwrap_err();
    let StoreError::Nonsense { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().starts_with("unknown variant `exploded`"), "{source}");
    assert_eq!(
        error.to_string(),
        format!(
            "could not read the events of deployment {}: what the store holds as body makes no sense; \
             restore it from a backup",
            id(1)
        )
    );
    store.close().await;
    let error = store.records(&id(1), Seq::ZERO, 10).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
}
