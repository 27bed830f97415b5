//! The ways out, behind one door.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;
use stopover_model::id::SecretName;
use stopover_model::notice::Notice;
use stopover_model::pipeline::NotifyTarget;

use super::{Answer, Http, Post, SendError};
use crate::config::Smtp;
use crate::secrets::{SecretError, Secrets};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender {
    pub(super) http: Http,
    pub(super) secrets: Arc<Secrets>,
    pub(super) smtp: Option<Arc<Smtp>>,
}

impl Sender {
    /// The provider of TLS must have been chosen.
    pub fn new(secrets: Secrets, smtp: Option<Smtp>) -> Result<Self, reqwest::Error> {
        Ok(Self { http: Http::new()?, secrets: Arc::new(secrets), smtp: smtp.map(Arc::new) })
    }

    /// Sends once. The `id` is the same for each try of the same notice.
    pub async fn send(
        &self,
        target: &NotifyTarget,
        notice: &Notice,
        id: &str,
        now: Timestamp,
    ) -> Result<(), SendError> {
        match target {
            NotifyTarget::Webhook { url, secret } => self.by_webhook((url, secret), notice, id, now).await,
            NotifyTarget::Slack { secret } => self.by_slack(secret, notice, id, now).await,
            NotifyTarget::Email { to } => self.by_email(to, notice, id, now).await,
        }
    }

    /// Why nothing could be signed with it, as the settings are.
    pub fn check_secret(&self, secret: &SecretName) -> Result<(), SendError> {
        Ok(self.secrets.read(secret).map(drop)?)
    }

    pub(crate) fn secret(&self, name: &SecretName) -> Result<SecretString, SecretError> {
        self.secrets.read(name)
    }

    /// A signed POST; what was answered is for the caller to judge.
    pub(crate) async fn post_signed(
        &self,
        (url, secret): (&str, &SecretName),
        id: &str,
        body: Vec<u8>,
        now: Timestamp,
    ) -> Result<Answer, SendError> {
        let secret = self.secrets.read(secret)?;
        self.http.post(Post { url, id, body, secret: Some(&secret), now }).await
    }

    /// Why nothing could ever be sent there, as the settings are.
    pub fn check(&self, target: &NotifyTarget) -> Result<(), SendError> {
        if let Some(secret) = target.secret() {
            self.check_secret(secret)?;
        }
        if matches!(target, NotifyTarget::Email { .. }) && self.smtp.is_none() {
            return Err(SendError::NoSmtp);
        }
        Ok(())
    }
}
