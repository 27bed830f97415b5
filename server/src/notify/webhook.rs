//! A signed POST with the notice as JSON. Any answer 2xx says that it arrived.

use jiff::Timestamp;
use stopover_model::id::SecretName;
use stopover_model::notice::Notice;

use super::{SendError, Sender};

impl Sender {
    pub(super) async fn by_webhook(
        &self,
        (url, secret): (&str, &SecretName),
        notice: &Notice,
        id: &str,
        now: Timestamp,
    ) -> Result<(), SendError> {
        let body = notice.json().to_string().into_bytes();
        self.post_signed((url, secret), id, body, now).await?.successful().map(drop)
    }
}
