use futures::future::join_all;
use jiff::Timestamp;
use stopover_model::audit::{
    AuditActor, AuditChain, AuditEntry, AuditHead, AuditOutcome, AuditRecord, BrokenLink,
};

use super::super::{Store, Undelivered};
use super::{Place, at, on_both};

on_both!(
    records_written_at_the_same_time_are_one_chain,
    a_log_that_somebody_changed_is_found_out,
    heads_wait_in_their_order_until_they_have_arrived,
);

fn sign(head: &AuditHead) -> String {
    format!("signed {}", head.seq)
}

async fn write(store: &Store, what: &str) {
    write_and_send(store, what, None).await;
}

async fn write_and_send(store: &Store, what: &str, to_send: Option<Timestamp>) {
    let entry = AuditEntry {
        by: AuditActor::Operator("anna".parse().unwrap()),
        through: None,
        from: "10.0.0.1:5".to_owned(),
        what: what.to_owned(),
        about: String::new(),
        digest: None,
        outcome: AuditOutcome::Asked,
    };
    let make = |seq| serde_json::to_string(&AuditRecord { seq, at: at(0), entry });
    store.append_audit(make, sign, to_send).await.unwrap();
}

/// As somebody who audits would.
async fn verify(store: &Store) -> Result<u64, BrokenLink> {
    let mut chain = AuditChain::default();
    for row in store.audit(0, 1000).await.unwrap() {
        chain.follow(&row.record, &row.hash)?;
    }
    let signed = store.audit_head().await.unwrap();
    assert_eq!(signed.signature, format!("signed {}", signed.head.seq));
    chain.head().covers(&signed.head)?;
    Ok(chain.head().seq)
}

async fn records_written_at_the_same_time_are_one_chain(place: Place) {
    let store = place.open().await;
    assert_eq!(store.audit_head().await.unwrap().head, AuditHead::START);
    let names: Vec<_> = (0..20).map(|number| format!("Deploy {number}")).collect();
    join_all(names.iter().map(|name| write(&store, name))).await;
    assert_eq!(verify(&store).await, Ok(20));
    assert_eq!(store.audit(17, 2).await.unwrap().iter().map(|row| row.seq).collect::<Vec<_>>(), [18, 19]);
}

async fn a_log_that_somebody_changed_is_found_out(place: Place) {
    let store = place.open().await;
    for what in ["Deploy", "ApproveDeployment", "CreateToken", "RevokeToken", "Deploy"] {
        write(&store, what).await;
    }
    store.spoil("DELETE FROM audit WHERE seq = 5").await;
    assert_eq!(verify(&store).await, Err(BrokenLink::CutOff { last: 4, signed: 5 }));
    store.spoil("DELETE FROM audit WHERE seq = 3").await;
    assert_eq!(verify(&store).await, Err(BrokenLink::Missing { missing: 3, found: 4 }));
    store.spoil("UPDATE audit SET record = replace(record, 'anna', 'eve') WHERE seq = 2").await;
    assert_eq!(verify(&store).await, Err(BrokenLink::Changed(2)));
}

async fn heads_wait_in_their_order_until_they_have_arrived(place: Place) {
    let store = place.open().await;
    assert_eq!(store.audit_undelivered().await.unwrap(), Undelivered::default());
    write(&store, "nobody is sent this one").await;
    for second in 1..=12 {
        write_and_send(&store, "Deploy", Some(at(second))).await;
    }
    let seqs = async || {
        let heads = store.audit_outbox(5).await.unwrap();
        heads.iter().map(|signed| signed.head.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs().await, [2, 3, 4, 5, 6]);
    assert_eq!(store.audit_undelivered().await.unwrap(), Undelivered { count: 12, since: Some(at(1)) });
    let last = store.audit_head().await.unwrap();
    store.send_audit_head(&last, at(99)).await.unwrap();
    store.audit_delivered(10).await.unwrap();
    assert_eq!(seqs().await, [11, 12, 13], "and none twice");
    assert_eq!(store.audit_outbox(5).await.unwrap()[2], last);
    store.audit_delivered(13).await.unwrap();
    assert_eq!(store.audit_undelivered().await.unwrap(), Undelivered::default());
}
