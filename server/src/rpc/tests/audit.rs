//! What is written down of calls, and that nothing is done where it can't be.

use ring::signature::{ED25519, UnparsedPublicKey};
use stopover_model::audit::{AuditActor, AuditChain, AuditHead, AuditOutcome, AuditRecord};
use stopover_proto::v1::{ListAuditRequest, ListEnvironmentsRequest};
use tonic::Code;

use super::*;

impl Bench {
    /// The log, checked as somebody who audits would.
    async fn log(&self) -> Vec<AuditRecord> {
        let answer = self.operator().list_audit(ListAuditRequest::default()).await.unwrap().into_inner();
        let mut chain = AuditChain::default();
        let links = answer.links.iter();
        let records = links.map(|link| chain.follow(&link.record, &link.hash).unwrap()).collect();
        let head = answer.head.unwrap();
        let signed = AuditHead { seq: head.seq, hash: head.hash.parse().unwrap() };
        chain.head().covers(&signed).unwrap();
        if signed.seq > 0 {
            let key = UnparsedPublicKey::new(&ED25519, &head.public_key);
            key.verify(signed.signed_text().as_bytes(), &head.signature).unwrap();
        }
        records
    }

    async fn try_environment(&self, name: &str) -> Result<(), Status> {
        let request = CreateEnvironmentRequest { name: name.into() };
        self.operator().create_environment(request).await.map(|_| ())
    }
}

#[tokio::test]
async fn what_is_asked_is_written_down_with_what_became_of_it() {
    let bench = Bench::start().await;
    bench.try_environment("staging").await.unwrap();
    let twice = bench.try_environment("staging").await.unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists);
    bench.operator().list_environments(ListEnvironmentsRequest {}).await.unwrap();

    let log = bench.log().await;
    let outcomes: Vec<_> = log.iter().map(|record| record.entry.outcome.clone()).collect();
    assert!(
        matches!(
            outcomes.as_slice(),
            [
                AuditOutcome::Asked,
                AuditOutcome::Done { asked: 1 },
                AuditOutcome::Asked,
                AuditOutcome::Failed { asked: 3, .. }
            ]
        ),
        "reading is not written down: {outcomes:?}"
    );
    let first = &log[0].entry;
    assert_eq!((first.what.as_str(), first.about.as_str()), ("CreateEnvironment", "environment staging"));
    assert_eq!(first.by, AuditActor::Operator("anna".parse().unwrap()));
    assert!(first.from.starts_with("127.0.0.1:") && first.digest.is_some(), "{first:?}");
    assert_eq!(first.digest, log[2].entry.digest, "the same request");

    let heads = std::fs::read_to_string(bench.dir.path().join("audit.heads")).unwrap();
    assert_eq!(heads.lines().count(), 4, "{heads}");
}

#[tokio::test]
async fn refusals_are_written_down_and_strangers_do_not_fill_the_log() {
    let bench = Bench::start().await;
    let viewer = bench.holder_of(&["viewer@*"]).await;
    let before = bench.log().await.len();
    let mut ben = bench.with_header(&format!("Bearer {viewer}"));
    ben.create_environment(CreateEnvironmentRequest { name: "x".into() }).await.unwrap_err();
    ben.list_audit(ListAuditRequest::default()).await.unwrap_err();
    for _ in 0..200 {
        bench.with_header("Bearer nothing").list_environments(ListEnvironmentsRequest {}).await.unwrap_err();
    }
    let log = bench.log().await;
    let refused = &log[before..];
    let (bens, strangers): (Vec<_>, Vec<_>) =
        refused.iter().partition(|record| record.entry.by == AuditActor::Operator("ben".parse().unwrap()));
    assert_eq!(
        bens.iter().map(|record| record.entry.what.as_str()).collect::<Vec<_>>(),
        ["CreateEnvironment", "ListAudit"]
    );
    assert!(bens.iter().all(|record| matches!(&record.entry.outcome,
        AuditOutcome::Refused { code, .. } if code == "role_needed")));
    assert_eq!(strangers.len(), 60, "of 200");
}

#[tokio::test]
async fn without_the_audit_log_nothing_is_changed() {
    let bench = Bench::start().await;
    bench.services.store.spoil("ALTER TABLE audit RENAME TO elsewhere").await;
    let refused = bench.try_environment("staging").await.unwrap_err();
    assert_eq!((refused.code(), name_of(&refused)), (Code::Unavailable, "audit_failed"));
    assert_eq!(
        refused.message(),
        "the audit log can't be written, and nothing is changed without it; the server's log says why"
    );
    let none = bench.operator().list_environments(ListEnvironmentsRequest {}).await.unwrap().into_inner();
    assert!(none.environments.is_empty(), "{none:?}");
    bench.services.store.spoil("ALTER TABLE elsewhere RENAME TO audit").await;
    bench.try_environment("staging").await.unwrap();
}

#[tokio::test]
async fn a_join_is_written_down_and_so_is_one_that_is_refused() {
    let bench = Bench::start().await;
    bench.environment("staging").await;
    let token = bench.join_token("staging").await;
    bench.join(&token, "a-1").await.map(|_| ()).unwrap();
    bench.join(&token, "a-2").await.map(|_| ()).unwrap_err();
    let log = bench.log().await;
    let joins: Vec<_> = log.iter().filter(|record| record.entry.what == "Join").map(|r| &r.entry).collect();
    assert_eq!(
        joins.iter().map(|entry| entry.about.as_str()).collect::<Vec<_>>(),
        ["agent a-1", "agent a-1", "agent a-2", "agent a-2"]
    );
    assert!(matches!(joins[1].outcome, AuditOutcome::Done { .. }));
    assert!(matches!(&joins[3].outcome, AuditOutcome::Failed { code, .. } if code == "join_refused"));
    assert!(!format!("{log:?}").contains(&token));
}
