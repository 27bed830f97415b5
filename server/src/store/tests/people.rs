use futures::future::join_all;
use stopover_model::id::OperatorName;

use super::super::{Account, Met};
use super::{Place, at, on_both};

on_both!(an_account_keeps_its_first_name_and_has_it_alone, of_accounts_that_race_for_a_name_one_gets_it);

fn account(subject: &str) -> Account {
    Account { issuer: "https://id".to_owned(), claim: "email".to_owned(), subject: subject.to_owned() }
}

fn name(name: &str) -> OperatorName {
    name.parse().unwrap()
}

async fn an_account_keeps_its_first_name_and_has_it_alone(place: Place) {
    let store = place.open().await;
    assert_eq!(store.person(&account("1")).await.unwrap(), None);
    assert_eq!(store.meet(&account("1"), &name("anna"), at(1)).await.unwrap(), Met::As(name("anna")));
    assert_eq!(store.meet(&account("1"), &name("zoe"), at(2)).await.unwrap(), Met::As(name("anna")));
    assert_eq!(store.meet(&account("2"), &name("anna"), at(3)).await.unwrap(), Met::NameTaken);
    assert_eq!(store.person(&account("1")).await.unwrap(), Some(name("anna")));
    assert_eq!(store.person(&account("2")).await.unwrap(), None);
    let other_claim = Account { claim: "preferred_username".to_owned(), ..account("2") };
    assert_eq!(store.meet(&other_claim, &name("anna"), at(4)).await.unwrap(), Met::As(name("anna")));

    let people = store.people().await.unwrap();
    assert_eq!(people.iter().map(|p| p.account.subject.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!((people[0].since, &people[0].name), (at(1), &name("anna")));
    assert_eq!(store.forget_person(&name("anna")).await.unwrap().len(), 2);
    assert_eq!(store.forget_person(&name("anna")).await.unwrap(), []);
    assert_eq!(store.meet(&account("2"), &name("anna"), at(5)).await.unwrap(), Met::As(name("anna")));
}

async fn of_accounts_that_race_for_a_name_one_gets_it(place: Place) {
    let store = place.open().await;
    let racers = (0..8).map(|number| {
        let store = store.clone();
        tokio::spawn(
            async move { store.meet(&account(&number.to_string()), &name("anna"), at(1)).await.unwrap() },
        )
    });
    let met: Vec<_> = join_all(racers).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(met.iter().filter(|met| **met == Met::As(name("anna"))).count(), 1, "{met:?}");
    assert_eq!(met.iter().filter(|met| **met == Met::NameTaken).count(), 7, "{met:?}");
}
