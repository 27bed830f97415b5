//! What is written into the audit log of one call: that it was asked for, before anything is done, and what became of it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use http::Extensions;
use stopover_model::audit::{AuditActor, AuditEntry, AuditOutcome, Through};
use stopover_model::digest::{Digest, Digester};
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status};

use super::status::{ISSUER_AWAY, RpcError, name_of};
use crate::audit::Audit;

/// Found in the extensions of each operator's request.
#[derive(Clone)]
pub(super) struct Trail(Arc<Inner>);

/// Who calls, and what they showed.
pub(super) struct By {
    pub(super) actor: AuditActor,
    pub(super) through: Option<Through>,
}

impl From<AuditActor> for By {
    fn from(actor: AuditActor) -> Self {
        Self { actor, through: None }
    }
}

struct Inner {
    audit: Arc<Audit>,
    base: AuditEntry,
    asked: OnceLock<(u64, AuditEntry)>,
}

impl Trail {
    pub(super) fn new(audit: &Arc<Audit>, by: impl Into<By>, from: Option<SocketAddr>, what: &str) -> Self {
        let By { actor, through } = by.into();
        let base = AuditEntry {
            by: actor,
            through,
            from: from.map(|address| address.to_string()).unwrap_or_default(),
            what: what.to_owned(),
            about: String::new(),
            digest: None,
            outcome: AuditOutcome::Asked,
        };
        Self(Arc::new(Inner { audit: Arc::clone(audit), base, asked: OnceLock::new() }))
    }

    /// Before anything is done. Where it can't be written, nothing may be.
    pub(super) async fn asked(&self, about: String, request: &[u8]) -> Result<(), RpcError> {
        let entry = AuditEntry { about, digest: Some(digest(request)), ..self.0.base.clone() };
        let seq = self.0.audit.record(entry.clone()).await?;
        let _ = self.0.asked.set((seq, entry));
        Ok(())
    }

    /// None: it went well.
    pub(super) async fn ended(&self, status: Option<&Status>) {
        let Inner { audit, base, asked } = &*self.0;
        let told = status.map(|status| (name_of(status).to_owned(), status.message().to_owned()));
        match (asked.get(), told) {
            (Some((asked, entry)), told) => {
                let asked = *asked;
                let outcome = match told {
                    None => AuditOutcome::Done { asked },
                    Some((code, why)) => AuditOutcome::Failed { asked, code, why },
                };
                audit.outcome(AuditEntry { outcome, ..entry.clone() }).await;
            }
            (None, Some((code, why))) if status.is_some_and(is_refusal) => {
                audit
                    .refused(AuditEntry { outcome: AuditOutcome::Refused { code, why }, ..base.clone() })
                    .await;
            }
            (None, _) => {}
        }
    }
}

/// The address at the other end, as the listener saw it.
pub(super) fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr)
}

fn is_refusal(status: &Status) -> bool {
    matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) || name_of(status) == ISSUER_AWAY
}

fn digest(request: &[u8]) -> Digest {
    let mut digester = Digester::new("stopover request");
    digester.part("message", request);
    digester.finish()
}
