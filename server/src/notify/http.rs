//! Calls by HTTP to where a pipeline says: never redirected, never for long, and no long answer is read.

use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use secrecy::SecretString;

use super::{SendError, Signature};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the whole call.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Of an answer; the rest is not read.
const LONGEST_ANSWER: usize = 16 * 1024;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Http(reqwest::Client);

/// One call. With a secret it is signed.
pub struct Post<'a> {
    pub url: &'a str,
    /// The same for each try.
    pub id: &'a str,
    pub body: Vec<u8>,
    pub secret: Option<&'a SecretString>,
    pub now: Timestamp,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// As far as it was read.
    pub body: String,
}

impl Http {
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            // Whoever is asked must not choose who is asked next.
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("stopover/", env!("CARGO_PKG_VERSION")));
        client.build().map(Self)
    }

    pub async fn post(&self, post: Post<'_>) -> Result<Answer, SendError> {
        let mut request = self.0.post(post.url).header(CONTENT_TYPE, "application/json");
        if let Some(secret) = post.secret {
            let signature = Signature::of(secret, post.id, post.now, &post.body);
            request = signature.headers().into_iter().fold(request, |r, (name, value)| r.header(name, value));
        }
        let sent = request.body(post.body).send().await.map_err(failed)?;
        let status = sent.status().as_u16();
        let (mut body, mut chunks) = (Vec::new(), sent.bytes_stream());
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk.map_err(failed)?);
            if body.len() >= LONGEST_ANSWER {
                body.truncate(LONGEST_ANSWER);
                break;
            }
        }
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

impl Answer {
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// An error where it is none; of its words the first.
    pub fn successful(self) -> Result<Self, SendError> {
        if self.is_success() {
            return Ok(self);
        }
        let body = self.body.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
        Err(SendError::Answered { status: self.status, body })
    }
}

fn failed(error: reqwest::Error) -> SendError {
    if error.is_timeout() { SendError::Slow(TIMEOUT) } else { SendError::Unreachable(error.without_url()) }
}
