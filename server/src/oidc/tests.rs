//! Tokens that somebody made up, and keys that come and go.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use super::keys::Pace;
use super::*;
use crate::testing::issuer::{CLIENT, Issuer, Signer, in_seconds, unsigned};
use crate::testing::now;

/// A fetch whenever one is wanted, and never two within the test otherwise.
const NEVER_TWICE: Pace =
    Pace { fresh: Duration::from_hours(1), most: Duration::from_hours(2), between: Duration::from_hours(1) };
const ALWAYS: Pace = Pace { between: Duration::ZERO, ..NEVER_TWICE };

fn trusting(issuer: &Issuer, pace: Pace) -> Oidc {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Oidc::with_pace(issuer.settings(), pace).unwrap()
}

fn with(mut claims: Value, changes: &[(&str, Value)]) -> Value {
    for (claim, value) in changes {
        let all = claims.as_object_mut().unwrap();
        match value {
            Value::Null => drop(all.remove(*claim)),
            value => drop(all.insert((*claim).to_owned(), value.clone())),
        }
    }
    claims
}

#[tokio::test]
async fn a_token_of_the_provider_stands_for_a_person() {
    let (curve, edwards) = (Signer::curve("one"), Signer::edwards("two"));
    let issuer = Issuer::start(&[&curve, &edwards]).await;
    let oidc = trusting(&issuer, NEVER_TWICE);
    let anna = SignedIn {
        name: "anna@example.com".parse().unwrap(),
        subject: "sub-anna".to_owned(),
        groups: vec!["dba".parse().unwrap()],
        expires_at: Timestamp::from_second(now().as_second() + 3600).unwrap(),
    };
    for (signer, claims) in [
        (&curve, issuer.anna()),
        (&edwards, issuer.anna()),
        (
            &curve,
            with(issuer.anna(), &[("email", json!("Anna@Example.com")), ("email_verified", json!(true))]),
        ),
        (&curve, with(issuer.anna(), &[("aud", json!(["other", CLIENT])), ("nbf", in_seconds(5))])),
        (&curve, with(issuer.anna(), &[("groups", json!("dba"))])),
        (&curve, with(issuer.anna(), &[("groups", json!(["dba", "\u{202e}abd", 7, "dba"]))])),
    ] {
        let found = oidc.check(&signer.token(&claims), now()).await.unwrap();
        assert_eq!(found, SignedIn { expires_at: found.expires_at, ..anna.clone() }, "{claims}");
    }
    let nameless = json!({ "alg": "EdDSA" });
    oidc.check(&edwards.with_header(&nameless, &issuer.anna()), now()).await.unwrap();
    let in_none = with(issuer.anna(), &[("groups", Value::Null)]);
    assert!(oidc.check(&curve.token(&in_none), now()).await.unwrap().groups.is_empty());
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn what_somebody_made_up_is_refused() {
    let (key, other) = (Signer::curve("one"), Signer::curve("one"));
    let issuer = Issuer::start(&[&key]).await;
    let oidc = trusting(&issuer, NEVER_TWICE);
    let refused = async |token: String| oidc.check(&token, now()).await.unwrap_err().to_string();
    let is = |text: String, words: &str| assert!(text.contains(words), "{text}\ndoes not say: {words}");

    let none = unsigned(&json!({ "alg": "none", "kid": "one" }), &issuer.anna());
    for token in [format!("{none}."), format!("{none}.AAAA")] {
        is(refused(token).await, "signed by `none`, which does not count here");
    }
    let message = unsigned(&json!({ "alg": "HS256", "kid": "one" }), &issuer.anna());
    let secret = hmac::Key::new(hmac::HMAC_SHA256, key.public_key());
    let mark = URL_SAFE_NO_PAD.encode(hmac::sign(&secret, message.as_bytes()));
    is(refused(format!("{message}.{mark}")).await, "signed by `HS256`, which does not count here");

    let right = key.token(&issuer.anna());
    is(refused(other.token(&issuer.anna())).await, "signature is not that of http://127.0.0.1");
    let eve = unsigned(
        &json!({ "alg": "ES256", "kid": "one" }),
        &with(issuer.anna(), &[("email", json!("eve@example.com"))]),
    );
    is(refused(format!("{eve}.{}", right.rsplit('.').next().unwrap())).await, "it was changed");
    // A key is for its own algorithm alone.
    let header = json!({ "alg": "RS256", "kid": "one" });
    is(refused(key.with_header(&header, &issuer.anna())).await, "does not publish");
    for (header, words) in [
        (json!({ "alg": "ES256", "kid": "one", "crit": ["b64"] }), "asks for an extension"),
        (json!({ "alg": "ES256", "kid": "one", "typ": "logout+jwt" }), "its `typ` is neither"),
    ] {
        is(refused(key.with_header(&header, &issuer.anna())).await, words);
    }
    is(refused("eyJ.a.b".to_owned()).await, "is no signed token (JWT)");
}

#[tokio::test]
async fn a_token_counts_for_this_server_and_now_and_for_somebody() {
    let key = Signer::curve("one");
    let issuer = Issuer::start(&[&key]).await;
    let oidc = trusting(&issuer, NEVER_TWICE);
    for (changes, words) in [
        (vec![("aud", json!("wiki"))], "the token is for `wiki`, and this server takes those for `stopover`"),
        (vec![("aud", json!([]))], "the token is for nobody"),
        (vec![("iss", json!("https://evil.example"))], "the token is of `https://evil.example`"),
        (vec![("exp", in_seconds(-11))], "the sign-in of anna@example.com ended at"),
        (vec![("nbf", in_seconds(60))], "the clock of this server or that of"),
        (vec![("sub", Value::Null)], "claim `sub` is missing"),
        (vec![("sub", json!(""))], "claim `sub` is missing"),
        (vec![("email", Value::Null)], "claim `email` names nobody: it is missing"),
        (vec![("email", json!("anna smith"))], "`anna smith` is not the name of an operator"),
        (vec![("email", json!("änna@example.com"))], "is not the name of an operator"),
        (vec![("email_verified", json!(false))], "has not verified the address anna@example.com"),
        (vec![("groups", json!({ "dba": true }))], "claim `groups` is neither a text nor a list"),
        // A time that is none must not count as missing.
        (vec![("exp", Value::Null)], "makes no sense (JSON error: missing field `exp`"),
        (vec![("exp", json!("4102444800"))], "what it says makes no sense"),
        (vec![("nbf", json!("now"))], "what it says makes no sense"),
        (vec![("exp", json!(1e300))], "claim `exp` is no time"),
    ] {
        let token = key.token(&with(issuer.anna(), &changes));
        let error = oidc.check(&token, now()).await.unwrap_err().to_string();
        assert!(error.contains(words), "{changes:?} gave {error}");
    }
    // The clocks may differ a little.
    oidc.check(&key.token(&with(issuer.anna(), &[("exp", in_seconds(-3))])), now()).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_rotated_is_fetched_once_and_the_old_one_is_gone() {
    let (old, new) = (Signer::curve("old"), Signer::curve("new"));
    let issuer = Issuer::start(&[&old]).await;
    let oidc = trusting(&issuer, ALWAYS);
    let (by_old, by_new) = (old.token(&issuer.anna()), new.token(&issuer.anna()));
    oidc.check(&by_old, now()).await.unwrap();
    issuer.publish(&[&new]);
    oidc.check(&by_new, now()).await.unwrap();
    oidc.check(&by_new, now()).await.unwrap();
    assert_eq!(issuer.asked(), 2);
    let gone = oidc.check(&by_old, now()).await.unwrap_err();
    assert!(matches!(gone, OidcError::UnknownKey { .. }), "{gone}");
}

#[tokio::test]
async fn an_old_key_is_gone_once_the_keys_are_asked_for_again() {
    let (old, new) = (Signer::curve("old"), Signer::curve("new"));
    let issuer = Issuer::start(&[&old]).await;
    let oidc = trusting(&issuer, Pace { fresh: Duration::ZERO, ..ALWAYS });
    oidc.check(&old.token(&issuer.anna()), now()).await.unwrap();
    issuer.publish(&[&new]);
    let gone = oidc.check(&old.token(&issuer.anna()), now()).await.unwrap_err();
    assert!(matches!(gone, OidcError::UnknownKey { .. }), "{gone}");
}

#[tokio::test]
async fn unknown_keys_of_strangers_are_not_asked_for_one_by_one() {
    let (key, strange) = (Signer::curve("one"), Signer::curve("x"));
    let issuer = Issuer::start(&[&key]).await;
    let oidc = trusting(&issuer, NEVER_TWICE);
    oidc.check(&key.token(&issuer.anna()), now()).await.unwrap();
    let made_up =
        |n: usize| strange.with_header(&json!({ "alg": "ES256", "kid": format!("k{n}") }), &issuer.anna());
    let tokens: Vec<_> = (0..100).map(made_up).collect();
    let refused = futures::future::join_all(tokens.iter().map(|token| oidc.check(token, now()))).await;
    assert!(refused.iter().all(|refused| matches!(refused, Err(OidcError::UnknownKey { .. }))));
    assert_eq!(issuer.asked(), 1);
    oidc.check(&key.token(&issuer.anna()), now()).await.unwrap();
}

#[tokio::test]
async fn keys_that_are_known_outlast_a_provider_that_is_away_for_a_while() {
    let key = Signer::curve("one");
    let issuer = Issuer::start(&[&key]).await;
    let token = key.token(&issuer.anna());
    let oidc = trusting(&issuer, Pace { fresh: Duration::ZERO, ..ALWAYS });
    oidc.check(&token, now()).await.unwrap();
    issuer.is_away();
    oidc.check(&token, now()).await.unwrap();
    assert_eq!(issuer.asked(), 2);

    let forgetful = trusting(&issuer, Pace { most: Duration::ZERO, ..NEVER_TWICE });
    for _ in 0..3 {
        let away = forgetful.check(&token, now()).await.unwrap_err().to_string();
        assert!(
            away.contains("can't be asked for its keys:") && away.contains("/keys answered 503"),
            "{away}"
        );
    }
    assert_eq!(issuer.asked(), 3, "not asked with each call");
}

#[tokio::test]
async fn a_provider_that_is_another_is_none() {
    let key = Signer::curve("one");
    let issuer = Issuer::start(&[&key]).await;
    let token = key.token(&issuer.anna());
    for (said, words) in [
        (
            json!({ "issuer": "https://evil", "jwks_uri": format!("{}/keys", issuer.origin()) }),
            "it calls itself https://evil",
        ),
        (json!({ "issuer": issuer.origin() }), "is not readable (missing field `jwks_uri`"),
    ] {
        issuer.says(&said.to_string());
        let error = trusting(&issuer, ALWAYS).check(&token, now()).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
