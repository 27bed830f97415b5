//! A signed POST with the notice as JSON. Any answer 2xx says that it arrived.

use jiff::Timestamp;
use stopover_model::id::SecretName;
use stopover_model::notice::Notice;

use super::{Post, SendError, Sender};

impl Sender {
    pub(super) async fn by_webhook(
        &self,
        (url, secret): (&str, &SecretName),
        notice: &Notice,
        id: &str,
        now: Timestamp,
    ) -> Result<(), SendError> {
        let secret = self.secrets.read(secret)?;
        let body = notice.json().to_string().into_bytes();
        let answer = self.http.post(Post { url, id, body, secret: Some(&secret), now }).await?;
        answer.successful().map(drop)
    }
}
