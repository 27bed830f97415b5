use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::Ordering;

use stopover_proto::token::JoinToken;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::testing::server::TestServer;

const SOON: Duration = Duration::from_secs(20);

async fn joined(server: &TestServer) -> (tempfile::TempDir, IdentityStore) {
    let identity = join(&server.url, &server.token, &"agent-1".parse().unwrap()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = IdentityStore::new(directory.path());
    store.save(&identity).unwrap();
    (directory, store)
}

#[tokio::test]
async fn a_token_becomes_an_identity_that_lies_private_on_the_disk() {
    let server = TestServer::start().await;
    let (directory, store) = joined(&server).await;
    let path = directory.path().join("identity.json");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let identity = store.load().unwrap();
    assert_eq!((identity.agent.as_str(), identity.environment.as_str()), ("agent-1", "staging"));
    assert!(identity.renew_at() > Timestamp::now() && identity.renew_at() < identity.not_after);
    identity.connect(&server.url).await.unwrap();
    assert!(!format!("{identity:?}").contains("PRIVATE"));

    std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    assert!(store.load().unwrap_err().to_string().contains("chmod 600"));
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "{}").unwrap();
    assert!(store.load().unwrap_err().to_string().contains("join again"));
    std::fs::remove_file(&path).unwrap();
    assert!(store.load().unwrap_err().to_string().contains("has not joined"));
}

#[tokio::test]
async fn a_refused_token_says_how_to_get_another() {
    let server = TestServer::start().await;
    let wrong = JoinToken::new([8; 32], server.token.authority());
    let error = join(&server.url, &wrong, &"agent-1".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, IdentityError::Token), "{error:?}");
    assert!(error.to_string().contains("stopover agent token"));
}

#[tokio::test]
async fn at_half_of_its_life_a_certificate_is_renewed_and_kept() {
    let server = TestServer::start().await;
    server.life.store(2, Ordering::Relaxed);
    let (_directory, store) = joined(&server).await;
    server.life.store(86_400, Ordering::Relaxed);
    let first = store.load().unwrap();
    let renewal = Renewal::new(server.url.clone(), store.clone(), first.clone());
    let mut identities = renewal.watch();
    let stop = CancellationToken::new();
    let renewing = tokio::spawn(renewal.run(stop.clone()));
    tokio::time::timeout(SOON, identities.changed()).await.expect("it is renewed").unwrap();
    let second = identities.borrow().clone();
    assert!(second.not_after > first.not_after);
    assert_ne!(second.key_pem, first.key_pem, "a new certificate has a new key");
    assert_eq!(store.load().unwrap().not_after, second.not_after);
    stop.cancel();
    tokio::time::timeout(SOON, renewing).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn a_state_directory_serves_one_process_and_is_cleared_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let store = IdentityStore::new(directory.path());
    let first = store.take().unwrap();
    std::fs::write(store.scratch().join("passfile-1"), "secret").unwrap();
    assert!(store.take().unwrap_err().to_string().contains("another agent runs"));
    drop(first);
    let _second = store.take().unwrap();
    assert_eq!(std::fs::read_dir(store.scratch()).unwrap().count(), 0);
}

#[test]
fn a_certificate_of_no_agent_is_none() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    let error = Identity::new(key.serialize_pem(), certificate.pem(), String::new()).unwrap_err();
    assert!(error.to_string().contains("does not name an agent"), "{error}");
}
