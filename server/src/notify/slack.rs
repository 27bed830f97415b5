//! Incoming webhooks of Slack, and of what takes the same (Mattermost, Rocket.Chat). Their URL is the secret.

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use stopover_model::id::SecretName;
use stopover_model::notice::Notice;
use stopover_model::pipeline::check_url;

use super::{Post, SendError, Sender};

impl Sender {
    pub(super) async fn by_slack(
        &self,
        secret: &SecretName,
        notice: &Notice,
        id: &str,
        now: Timestamp,
    ) -> Result<(), SendError> {
        let url = self.secrets.read(secret)?;
        let url = url.expose_secret();
        check_url(url).map_err(|_| SendError::NoUrl(secret.clone()))?;
        let body = notice.slack().to_string().into_bytes();
        self.http.post(Post { url, id, body, secret: None, now }).await?.successful().map(drop)
    }
}
