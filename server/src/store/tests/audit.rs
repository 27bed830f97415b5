use futures::future::join_all;
use stopover_model::audit::{
    AuditActor, AuditChain, AuditEntry, AuditHead, AuditOutcome, AuditRecord, BrokenLink,
};

use super::super::Store;
use super::{Place, at, on_both};

on_both!(records_written_at_the_same_time_are_one_chain, a_log_that_somebody_changed_is_found_out);

fn sign(head: &AuditHead) -> String {
    format!("signed {}", head.seq)
}

async fn write(store: &Store, what: &str) {
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
    store.append_audit(make, sign).await.unwrap();
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
