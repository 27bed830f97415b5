//! The audit log, as it is stored: whoever reads it checks it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stopover_proto::convert::field::timestamp;
use stopover_proto::v1;

use super::Api;
use crate::rpc::status::RpcError;

const PAGE: u32 = 1000;

impl Api {
    pub(super) async fn audit(
        &self,
        request: v1::ListAuditRequest,
    ) -> Result<v1::ListAuditResponse, RpcError> {
        let limit = if request.limit == 0 { PAGE } else { request.limit.min(PAGE) };
        // The head first: the log may go on meanwhile, and never ends before it.
        let head = self.services.store.audit_head().await?;
        let rows = self.services.store.audit(request.after_seq, limit).await?;
        let delivery = self.services.audit.delivery().await?.map(|delivery| v1::AuditDelivery {
            url: delivery.url,
            waiting: delivery.undelivered.count,
            since: delivery.undelivered.since.and_then(timestamp::write),
            error: delivery.failing.as_ref().map(|failing| failing.error.clone()).unwrap_or_default(),
            tries: delivery.failing.map_or(0, |failing| failing.tries),
        });
        let links =
            rows.into_iter().map(|row| v1::AuditLink { seq: row.seq, record: row.record, hash: row.hash });
        Ok(v1::ListAuditResponse {
            links: links.collect(),
            head: Some(v1::AuditHead {
                seq: head.head.seq,
                hash: head.head.hash.to_string(),
                signature: STANDARD.decode(&head.signature).unwrap_or_default(),
                public_key: self.services.audit.public_key().to_vec(),
            }),
            delivery,
        })
    }
}
