use stopover_model::digest::Digest;
use stopover_model::event::Actor;
use stopover_model::quarantine::{QuarantineChange, Quarantined};
use uuid::Uuid;

use super::super::{Hold, Learned};
use super::{Place, Store, at, create, going_on, id, on_both, waits};

on_both!(
    what_was_rolled_back_is_kept_for_its_environment_until_it_is_lifted,
    nothing_is_kept_of_a_lost_append
);

fn quarantined(environment: &str, of: u8, second: i64) -> Quarantined {
    Quarantined {
        environment: environment.parse().unwrap(),
        digest: Digest::from_bytes([of; 32]),
        migration: "001_x".parse().unwrap(),
        deployment: id(1),
        at: at(second),
        by: Actor::Operator("ada".parse().unwrap()),
        cause: "errors rose".into(),
    }
}

async fn learn(store: &Store, seq: u64, quarantine: &[QuarantineChange]) {
    let learned = Learned { quarantine, ..Learned::default() };
    store.append_learned(&[waits(&id(1), seq)], &going_on(), Hold::Keep, learned).await.unwrap();
}

async fn what_was_rolled_back_is_kept_for_its_environment_until_it_is_lifted(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    let put = |q: &Quarantined| QuarantineChange::Put(q.clone());
    let (one, two) = (quarantined("production", 1, 1), quarantined("production", 2, 2));
    learn(&store, 2, &[put(&two), put(&one), put(&quarantined("staging", 1, 3))]).await;
    let production = "production".parse().unwrap();
    assert_eq!(store.quarantined(&production).await.unwrap(), [one.clone(), two.clone()]);
    // Rolled back once more: the last time counts.
    let later = Quarantined { at: at(9), by: Actor::Pipeline, cause: "a monitor".into(), ..one };
    learn(&store, 3, &[put(&later)]).await;
    assert_eq!(store.quarantined(&production).await.unwrap(), [two, later.clone()]);
    let lift = QuarantineChange::Lift { environment: production.clone(), digest: later.digest };
    learn(&store, 4, &[lift]).await;
    assert_eq!(store.quarantined(&production).await.unwrap().len(), 1);
    let staging = "staging".parse().unwrap();
    assert_eq!(store.quarantined(&staging).await.unwrap().len(), 1);
    store.lift_quarantine(&staging, [later.digest]).await.unwrap();
    assert!(store.quarantined(&staging).await.unwrap().is_empty());
}

async fn nothing_is_kept_of_a_lost_append(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    let put = [QuarantineChange::Put(quarantined("production", 1, 1))];
    let learned = Learned { quarantine: &put, ..Learned::default() };
    let late = store.append_learned(&[waits(&id(1), 7)], &going_on(), Hold::Keep, learned).await;
    assert!(late.is_err());
    assert!(store.quarantined(&"production".parse().unwrap()).await.unwrap().is_empty());
}
