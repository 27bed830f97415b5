use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use stopover_tests::{HttpTarget, Reply};

use super::*;

fn web(target: &HttpTarget, path: &str) -> Web {
    configured(WebConfig { allow: vec![under(target, path)], ..config() })
}

fn under(target: &HttpTarget, path: &str) -> Allowed {
    format!("{}{path}", target.origin).parse().unwrap()
}

fn config() -> WebConfig {
    WebConfig { timeout: Duration::from_millis(500), ..WebConfig::default() }
}

fn configured(config: WebConfig) -> Web {
    Web::new(config).unwrap()
}

async fn get(web: &Web, target: &HttpTarget, path: &str) -> Result<(u16, String), String> {
    let answer = web.get(&format!("{}{path}", target.origin), 200, Wanted::Body).await;
    answer.map(|a| (a.status, String::from_utf8(a.body).unwrap())).map_err(|e| e.to_string())
}

#[tokio::test]
async fn only_what_is_allowed_is_asked_and_the_error_names_the_line_to_add() {
    let target = HttpTarget::start().await;
    target.says("/api/health", Reply::Is(200, "fine".into()));
    target.says("/admin", Reply::Is(200, "secret".into()));
    let web = web(&target, "/api/");
    assert_eq!(get(&web, &target, "/api/health?deep=1").await, Ok((200, "fine".to_owned())));
    let refused = get(&web, &target, "/admin?token=hunter2").await.unwrap_err();
    let line = format!("add \"{}/\" to `allow` under [http]", target.origin);
    assert!(refused.contains(&line) && !refused.contains("hunter2"), "{refused}");
    assert!(get(&web, &target, "/api/../admin").await.is_err());
    assert_eq!(target.requests().len(), 1, "the others were never sent");
}

#[tokio::test]
async fn a_redirect_is_followed_within_what_is_allowed_and_no_further() {
    let (target, other) = (HttpTarget::start().await, HttpTarget::start().await);
    target.says("/api/old", Reply::Redirect("/api/health".into()));
    target.says("/api/health", Reply::Is(200, "fine".into()));
    target.says("/api/out", Reply::Redirect(format!("{}/login?return=secret", other.origin)));
    target.says("/api/up", Reply::Redirect("../admin".into()));
    target.says("/api/round", Reply::Redirect("/api/round".into()));
    let web = web(&target, "/api/");
    assert_eq!(get(&web, &target, "/api/old").await, Ok((200, "fine".to_owned())));
    let astray = get(&web, &target, "/api/out").await.unwrap_err();
    assert!(astray.contains(&other.origin) && !astray.contains("secret"), "{astray}");
    assert!(get(&web, &target, "/api/up").await.is_err());
    assert_eq!(get(&web, &target, "/api/round").await.unwrap_err(), "it redirects more than 5 times");
    assert!(other.requests().is_empty());
    // Where a redirect is what is expected, it is the answer.
    let answer = web.get(&format!("{}/api/out", target.origin), 302, Wanted::Status).await.unwrap();
    assert_eq!(answer.status, 302);
}

#[tokio::test]
async fn a_target_that_hangs_talks_without_end_or_is_not_there_is_no_answer() {
    let target = HttpTarget::start().await;
    target.says("/hangs", Reply::Hang);
    target.says("/large", Reply::Large(LONGEST_BODY + 1));
    target.says("/fits", Reply::Large(LONGEST_BODY));
    let web = web(&target, "/");
    assert_eq!(get(&web, &target, "/hangs").await.unwrap_err(), "no answer within 500 ms");
    assert_eq!(get(&web, &target, "/large").await.unwrap_err(), "the answer is longer than 1048576 bytes");
    assert_eq!(get(&web, &target, "/fits").await.unwrap().1.len(), LONGEST_BODY);
    // Where the status is enough, the body is not read.
    let answer = web.get(&format!("{}/large", target.origin), 200, Wanted::Status).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let url = format!("{}/health", target.origin);
    drop(target);
    let gone = web.get(&url, 200, Wanted::Status).await.unwrap_err().to_string();
    assert!(gone.starts_with("it could not be reached: "), "{gone}");
}

#[tokio::test]
async fn headers_go_to_their_own_addresses_alone() {
    let (target, other) = (HttpTarget::start().await, HttpTarget::start().await);
    target.says("/health", Reply::Redirect(format!("{}/health", other.origin)));
    other.says("/health", Reply::Is(200, String::new()));
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "Bearer hunter2\n").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let written = BTreeMap::from([("Authorization_file".to_owned(), "token".to_owned())]);
    let headers = HeaderSet::parse(&written, directory.path()).unwrap();
    assert!(!headers.holds_secret() && !format!("{headers:?}").contains("hunter2"));
    let web = configured(WebConfig {
        allow: vec![under(&target, "/"), under(&other, "/")],
        headers: vec![(under(&target, "/"), headers)],
        ..config()
    });
    assert_eq!(get(&web, &target, "/health").await.map(|a| a.0), Ok(200));
    assert!(target.requests()[0].contains("authorization: Bearer hunter2"), "{:?}", target.requests());
    assert!(!other.requests()[0].contains("hunter2"), "{:?}", other.requests());
    // A token that others can read is not used.
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let readable = get(&web, &target, "/health").await.unwrap_err();
    assert!(readable.contains("chmod 600") && !readable.contains("hunter2"), "{readable}");
}
