use std::collections::BTreeMap;

use futures::future::join_all;
use stopover_model::id::{AgentName, DatabaseName, EnvironmentName};
use stopover_model::wave::Labels;
use stopover_proto::token::{AuthorityFingerprint, JoinToken, TokenHash};

use super::super::{Redeemed, Store};
use super::{Place, at, on_both};

on_both!(
    of_agents_that_race_for_a_token_one_wins,
    a_token_is_refused_when_it_has_expired_or_never_was,
    a_name_of_another_environment_does_not_use_the_token_up,
    an_agent_that_joins_again_replaces_the_earlier_one,
    the_agent_that_announced_a_database_last_serves_it,
);

fn hash(number: u8) -> TokenHash {
    JoinToken::new([number; 32], AuthorityFingerprint::of(b"an authority")).hash()
}

fn environment(name: &str) -> EnvironmentName {
    name.parse().unwrap()
}

fn agent(name: &str) -> AgentName {
    name.parse().unwrap()
}

fn databases(names: &[&str]) -> Vec<DatabaseName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// A store with two environments, and a token for each.
async fn prepared(place: &Place) -> Store {
    let store = place.open().await;
    for (number, name) in [(1, "staging"), (2, "production")] {
        assert!(store.create_environment(&environment(name), at(0)).await.unwrap());
        assert!(store.create_join_token(&hash(number), &environment(name), at(3600)).await.unwrap());
    }
    store
}

async fn of_agents_that_race_for_a_token_one_wins(place: Place) {
    let store = prepared(&place).await;
    let racers = (0..8).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            store.redeem_join_token(&hash(1), &agent(&format!("agent-{number}")), at(10)).await.unwrap()
        })
    });
    let results: Vec<_> = join_all(racers).await.into_iter().map(Result::unwrap).collect();
    let won = Redeemed::Environment(environment("staging"));
    assert_eq!(results.iter().filter(|result| **result == won).count(), 1, "{results:?}");
    assert_eq!(results.iter().filter(|result| **result == Redeemed::Refused).count(), 7, "{results:?}");
    assert_eq!(store.agents().await.unwrap().len(), 1);
}

async fn a_token_is_refused_when_it_has_expired_or_never_was(place: Place) {
    let store = prepared(&place).await;
    assert!(!store.create_join_token(&hash(3), &environment("elsewhere"), at(3600)).await.unwrap());
    for (token, now) in [(hash(1), at(3600)), (hash(3), at(1)), (hash(4), at(1))] {
        let redeemed = store.redeem_join_token(&token, &agent("a"), now).await.unwrap();
        assert_eq!(redeemed, Redeemed::Refused);
    }
    assert_eq!(store.agents().await.unwrap(), []);
}

async fn a_name_of_another_environment_does_not_use_the_token_up(place: Place) {
    let store = prepared(&place).await;
    store.redeem_join_token(&hash(1), &agent("a"), at(1)).await.unwrap();
    let taken = store.redeem_join_token(&hash(2), &agent("a"), at(1)).await.unwrap();
    assert_eq!(taken, Redeemed::NameTaken);
    assert_eq!(store.agent(&agent("a")).await.unwrap().unwrap().environment, environment("staging"));
    let other = store.redeem_join_token(&hash(2), &agent("b"), at(1)).await.unwrap();
    assert_eq!(other, Redeemed::Environment(environment("production")));
}

async fn an_agent_that_joins_again_replaces_the_earlier_one(place: Place) {
    let store = prepared(&place).await;
    let a = agent("a");
    store.redeem_join_token(&hash(1), &a, at(1)).await.unwrap();
    for (serial, ends) in [("s1", at(100)), ("s2", at(200))] {
        store.record_certificate(&a, serial, ends).await.unwrap();
    }
    assert_eq!(store.agent(&a).await.unwrap().unwrap().certificate_ends, Some(at(200)));

    store.create_join_token(&hash(5), &environment("staging"), at(3600)).await.unwrap();
    store.redeem_join_token(&hash(5), &a, at(2)).await.unwrap();
    store.record_certificate(&a, "s3", at(150)).await.unwrap();
    let revoked = async |serial| store.certificate(serial).await.unwrap().map(|row| (row.agent, row.revoked));
    assert_eq!(revoked("s2").await, Some((a.clone(), true)));
    assert_eq!(revoked("s3").await, Some((a.clone(), false)));
    assert_eq!(revoked("s4").await, None);
    let row = store.agent(&a).await.unwrap().unwrap();
    assert_eq!((row.joined_at, row.certificate_ends), (at(2), Some(at(150))));
    assert!(store.record_certificate(&a, "s3", at(1)).await.is_err(), "a serial is given once");
}

async fn the_agent_that_announced_a_database_last_serves_it(place: Place) {
    let store = prepared(&place).await;
    store.create_join_token(&hash(5), &environment("staging"), at(3600)).await.unwrap();
    for (token, name) in [(hash(1), "a"), (hash(5), "b"), (hash(2), "c")] {
        store.redeem_join_token(&token, &agent(name), at(1)).await.unwrap();
    }
    let announce = async |name, names: &[&str], second| {
        let databases = databases(names).into_iter().map(|name| (name, Labels::default())).collect();
        store.set_agent_databases(&agent(name), &databases, "0.1.0", at(second)).await.unwrap();
    };
    announce("a", &["users", "orders", "orders"], 10).await;
    announce("b", &["users"], 20).await;
    announce("c", &["users"], 5).await;
    let serves = |pairs: &[(&str, &str)]| -> BTreeMap<DatabaseName, AgentName> {
        pairs.iter().map(|(database, name)| (database.parse().unwrap(), agent(name))).collect()
    };
    let all = store.environment_databases().await.unwrap();
    assert_eq!(all[&environment("staging")], serves(&[("users", "b"), ("orders", "a")]));
    assert_eq!(all[&environment("production")], serves(&[("users", "c")]));

    announce("b", &[], 30).await;
    store.touch_agent(&agent("a"), at(40)).await.unwrap();
    let all = store.environment_databases().await.unwrap();
    assert_eq!(all[&environment("staging")], serves(&[("users", "a"), ("orders", "a")]));
    let agents = store.agents().await.unwrap();
    assert_eq!(agents.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(agents[0].databases, databases(&["orders", "users"]).into_iter().collect());
    assert_eq!((agents[0].last_seen, agents[0].version.as_str()), (Some(at(40)), "0.1.0"));
    assert!(agents[1].databases.is_empty());
}
