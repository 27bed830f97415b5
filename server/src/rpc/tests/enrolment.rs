use futures::future::join_all;
use stopover_proto::token::{AuthorityFingerprint, JoinToken};
use stopover_proto::v1::RenewRequest;
use tonic::Code;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn of_agents_that_race_for_a_token_one_gets_a_certificate() {
    let bench = Bench::start().await;
    bench.environment("staging").await;
    let token = bench.join_token("staging").await;
    let names: Vec<_> = (0..6).map(|number| format!("agent-{number}")).collect();
    let results = join_all(names.iter().map(|name| bench.join(&token, name))).await;
    let (joined, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((joined.len(), refused.len()), (1, 5));
    let member = joined.into_iter().next().unwrap().unwrap();
    assert_eq!(member.answer.environment, "staging");
    for status in refused.into_iter().filter_map(Result::err) {
        assert_eq!((status.code(), name_of(&status)), (Code::PermissionDenied, "join_refused"));
    }
}

#[tokio::test]
async fn wrong_tokens_are_borne_for_a_while_and_then_not() {
    let bench = Bench::start().await;
    bench.environment("staging").await;
    let good = bench.join_token("staging").await;
    let mut refusals = Vec::new();
    for number in 0..12 {
        refusals.push(bench.join(&wrong_token(number), "a").await.err().unwrap());
    }
    let names: Vec<_> = refusals.iter().map(name_of).collect();
    assert_eq!(names[..10], ["join_refused"; 10]);
    assert_eq!(names[10..], ["guessing"; 2]);
    assert_eq!(refusals[10].code(), Code::ResourceExhausted);
    let held_up = bench.join(&good, "a").await.err().unwrap();
    assert_eq!(name_of(&held_up), "guessing");
}

/// A token that was never made.
fn wrong_token(number: u8) -> String {
    JoinToken::new([number; 32], AuthorityFingerprint::of(b"")).expose()
}

#[tokio::test(flavor = "multi_thread")]
async fn right_tokens_are_no_guesses_however_many_come_at_once_from_one_address() {
    let bench = Bench::start().await;
    bench.environment("staging").await;
    let mut tokens = Vec::new();
    for number in 0..50 {
        tokens.push((bench.join_token("staging").await, format!("agent-{number}"), true));
        if number % 10 == 5 {
            tokens.push((wrong_token(number), format!("wrong-{number}"), false));
        }
    }
    let joins = join_all(tokens.iter().map(|(token, agent, _)| bench.join(token, agent))).await;
    for ((_, agent, right), joined) in tokens.iter().zip(joins) {
        match joined {
            Ok(_) => assert!(*right, "{agent} has joined"),
            Err(refused) => assert!(!right && name_of(&refused) == "join_refused", "{agent}: {refused}"),
        }
    }
    assert_eq!(bench.services.store.agents().await.unwrap().len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_wrong_tokens_that_come_at_once_no_more_are_looked_at_than_one_after_the_other() {
    let bench = Bench::start().await;
    bench.environment("staging").await;
    let tokens: Vec<_> = (0..60).map(wrong_token).collect();
    let refusals = join_all(tokens.iter().map(|token| bench.join(token, "a"))).await;
    let names: Vec<_> = refusals.iter().map(|refused| name_of(refused.as_ref().err().unwrap())).collect();
    let count = |wanted| names.iter().filter(|name| **name == wanted).count();
    // One more every ten seconds.
    assert!((10..15).contains(&count("join_refused")), "{names:?}");
    assert_eq!(count("join_refused") + count("guessing"), 60, "{names:?}");
}

#[tokio::test]
async fn a_request_that_cannot_be_certified_leaves_the_token_good() {
    let bench = Bench::start().await;
    for name in ["staging", "production"] {
        bench.environment(name).await;
    }
    let token = bench.join_token("staging").await;
    let mut client = EnrolmentClient::new(bench.channel(None));
    let (_, csr) = key_and_csr();
    for (agent, csr, token, name) in [
        ("a", vec![1, 2, 3], token.as_str(), "bad_csr"),
        ("A B", csr.clone(), &token, "bad_field"),
        ("a", csr, "stj_x", "bad_join_token"),
    ] {
        let request = JoinRequest { token: token.into(), agent: agent.into(), csr };
        let refused = client.join(request).await.unwrap_err();
        assert_eq!((refused.code(), name_of(&refused)), (Code::InvalidArgument, name));
    }
    bench.member("production", "a").await;
    let refused = bench.join(&token, "a").await.err().unwrap();
    assert_eq!((refused.code(), name_of(&refused)), (Code::AlreadyExists, "agent_name_taken"));
    bench.join(&token, "b").await.unwrap();
}

#[tokio::test]
async fn an_agent_renews_until_another_takes_its_place() {
    let bench = Bench::start().await;
    bench.environment("staging").await;
    let first = bench.member("staging", "a").await;
    let renew = async |identity: Option<Identity>| {
        let (key, csr) = key_and_csr();
        let answer = EnrolmentClient::new(bench.channel(identity)).renew(RenewRequest { csr }).await?;
        let certificate = pem(&answer.into_inner().identity.unwrap().certificate);
        Ok::<_, Status>(Identity::from_pem(certificate, key.serialize_pem()))
    };
    let stranger = renew(None).await.unwrap_err();
    assert_eq!((stranger.code(), name_of(&stranger)), (Code::Unauthenticated, "not_an_agent"));
    let second = renew(Some(first.identity.clone())).await.unwrap();
    renew(Some(first.identity.clone())).await.expect("the old one is good until it ends");
    renew(Some(second.clone())).await.unwrap();

    bench.member("staging", "a").await;
    for identity in [first.identity, second] {
        let replaced = renew(Some(identity)).await.unwrap_err();
        assert_eq!((replaced.code(), name_of(&replaced)), (Code::PermissionDenied, "agent_revoked"));
    }
}
