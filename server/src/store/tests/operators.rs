use futures::future::join_all;
use stopover_model::id::{OperatorName, TokenId};
use stopover_model::role::{Grants, Role};
use stopover_proto::token::{OperatorToken, TokenHash};

use super::super::{NewToken, Revoked, Store};
use super::{Place, at, on_both};

on_both!(
    operators_are_known_by_their_tokens,
    a_token_that_ended_or_was_revoked_is_found_and_not_good,
    somebody_can_always_make_tokens,
    of_two_administrators_who_revoke_each_other_one_stays
);

fn name(text: &str) -> OperatorName {
    text.parse().unwrap()
}

fn hash(number: u8) -> TokenHash {
    OperatorToken::new([number; 32]).hash()
}

/// Made at second 0; an administrator's ends after 100.
async fn make(store: &Store, operator: &str, number: u8, admin: bool) -> TokenId {
    let (operator, by) = (name(operator), name("root"));
    let groups = ["dba".parse().unwrap(), "eu".parse().unwrap()];
    let token = NewToken {
        operator: &operator,
        hash: &hash(number),
        groups: if admin { &[] } else { &groups },
        roles: &Grants::everywhere(if admin { Role::Admin } else { Role::Approver }),
        created_by: (!admin).then_some(&by),
        at: at(0),
        expires_at: admin.then(|| at(100)),
    };
    store.create_operator_token(token).await.unwrap()
}

async fn operators_are_known_by_their_tokens(place: Place) {
    let store = place.open().await;
    let mut made = Vec::new();
    for (operator, number) in [("anna", 1), ("anna", 2), ("ben", 3), ("ben", 3)] {
        made.push(make(&store, operator, number, false).await);
    }
    assert_eq!(made[2], made[3], "the same token again");
    assert_eq!(store.operator_tokens().await.unwrap().len(), 3);
    let anna = store.operator_token(&hash(2)).await.unwrap().unwrap();
    assert_eq!((&anna.operator, &anna.id), (&name("anna"), &made[1]));
    assert_eq!(anna.roles, Grants::everywhere(Role::Approver));
    assert_eq!(anna.groups.iter().map(ToString::to_string).collect::<Vec<_>>(), ["dba", "eu"]);
    assert_eq!((anna.created_by, anna.expires_at), (Some(name("root")), None));
    assert_eq!(store.operator_token(&hash(4)).await.unwrap(), None);
}

async fn a_token_that_ended_or_was_revoked_is_found_and_not_good(place: Place) {
    let store = place.open().await;
    make(&store, "root", 1, true).await;
    let id = make(&store, "ben", 2, false).await;
    let root = store.operator_token(&hash(1)).await.unwrap().unwrap();
    assert!(root.is_good(at(99)) && !root.is_good(at(100)));
    let revoked = store.revoke_operator_token(&id, &name("root"), at(5)).await.unwrap();
    let again = store.revoke_operator_token(&id, &name("anna"), at(9)).await.unwrap();
    assert_eq!(revoked, again, "the first time counts");
    let ben = store.operator_token(&hash(2)).await.unwrap().unwrap();
    assert!(!ben.is_good(at(6)));
    assert_eq!((ben.revoked_at, ben.revoked_by), (Some(at(5)), Some(name("root"))));
    let unknown = "0123456789".parse().unwrap();
    assert_eq!(store.revoke_operator_token(&unknown, &name("root"), at(5)).await.unwrap(), Revoked::Unknown);
}

async fn somebody_can_always_make_tokens(place: Place) {
    let store = place.open().await;
    assert!(!store.has_admin(at(0)).await.unwrap());
    let first = make(&store, "root", 1, true).await;
    make(&store, "ben", 2, false).await;
    let refused = store.revoke_operator_token(&first, &name("root"), at(5)).await.unwrap();
    assert!(matches!(refused, Revoked::LastAdmin(token) if token.id == first));
    assert!(store.has_admin(at(99)).await.unwrap() && !store.has_admin(at(100)).await.unwrap());
    make(&store, "anna", 3, true).await;
    let revoked = store.revoke_operator_token(&first, &name("anna"), at(5)).await.unwrap();
    assert!(matches!(revoked, Revoked::Token(_)));
}

async fn of_two_administrators_who_revoke_each_other_one_stays(place: Place) {
    let store = place.open().await;
    let mut wishes = Vec::new();
    for (operator, number) in [("anna", 1), ("ben", 2), ("carl", 3), ("dora", 4)] {
        let id = make(&store, operator, number, true).await;
        let store = store.clone();
        wishes.push(async move { store.revoke_operator_token(&id, &name("eve"), at(5)).await.unwrap() });
    }
    let wishes = wishes.into_iter().map(tokio::spawn);
    let answers: Vec<_> = join_all(wishes).await.into_iter().map(Result::unwrap).collect();
    let last = answers.iter().filter(|answer| matches!(answer, Revoked::LastAdmin(_))).count();
    assert_eq!(last, 1, "{answers:?}");
    assert!(store.has_admin(at(6)).await.unwrap());
}
