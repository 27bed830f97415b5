use stopover_model::event::StageIndex;
use stopover_model::id::Attempt;
use stopover_proto::token::HookToken;
use uuid::Uuid;

use super::super::HookAttempt;
use super::{Place, at, create, id, on_both};

on_both!(a_token_is_good_for_one_attempt_and_one_that_was_never_given_for_none);

async fn a_token_is_good_for_one_attempt_and_one_that_was_never_given_for_none(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    let of = |attempt| HookAttempt {
        deployment: id(1),
        stage: StageIndex(1),
        hook: "deploy".parse().unwrap(),
        attempt: Attempt(attempt),
    };
    let token = |secret| HookToken::new([secret; 32]).hash();
    for (secret, attempt) in [(1, 1), (2, 1), (3, 2)] {
        store.keep_hook_token(&token(secret), &of(attempt), at(i64::from(attempt))).await.unwrap();
    }
    assert_eq!(store.hook_token(&token(2)).await.unwrap(), Some(of(1)), "an attempt may have several");
    assert_eq!(store.hook_token(&token(3)).await.unwrap(), Some(of(2)));
    assert_eq!(store.hook_token(&token(4)).await.unwrap(), None);
    assert!(store.keep_hook_token(&token(1), &of(2), at(3)).await.is_err(), "it is for one attempt alone");
}
