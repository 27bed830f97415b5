//! Questions over HTTP for monitors: which addresses may be asked, with which headers, and how little of an answer is read.
//!
//! An address that agent.toml does not allow is never asked, neither by a pipeline's wish nor by a redirect's. Headers are
//! agent.toml's own; of an answer nothing leaves this module but its status and a body of bounded length.

mod address;
mod headers;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures::StreamExt as _;
use reqwest::header::LOCATION;
use reqwest::{Client, StatusCode, Url, redirect};
use stopover_model::cause;
use stopover_model::duration::human;

pub use address::{Allowed, InvalidAddress};
pub use headers::{HeaderSet, InvalidHeader};

/// What a monitor reads of a body: a health check's answer is short, and a large one is a mistake.
const LONGEST_BODY: usize = 1024 * 1024;
const MOST_REDIRECTS: usize = 5;

/// `[http]` of agent.toml.
#[derive(Debug, Clone)]
pub struct WebConfig {
    pub allow: Vec<Allowed>,
    pub headers: Vec<(Allowed, HeaderSet)>,
    /// A question's, from its first byte to the answer's last.
    pub timeout: Duration,
    /// Certificates of authorities in PEM, trusted beside the system's own.
    pub authorities: Vec<u8>,
}

impl WebConfig {
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            headers: Vec::new(),
            timeout: Self::DEFAULT_TIMEOUT,
            authorities: Vec::new(),
        }
    }
}

/// Asks over HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Web {
    client: Client,
    config: WebConfig,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// How much of an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Status,
    Body,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("`{0}` is not an address")]
    Address(String),
    #[error(
        "the agent may not ask {origin}: add \"{origin}/\" to `allow` under [http] in its agent.toml, and start it again"
    )]
    NotAllowed { origin: String },
    #[error("it redirects to {origin}, which `allow` under [http] in agent.toml does not hold")]
    LedAstray { origin: String },
    #[error("it redirects more than {MOST_REDIRECTS} times")]
    Redirects,
    #[error("no answer within {}", human(*.0))]
    Timeout(Duration),
    #[error("the answer is longer than {LONGEST_BODY} bytes")]
    TooLong,
    #[error(transparent)]
    Header(#[from] InvalidHeader),
    #[error("it could not be reached: {0}")]
    Unreachable(String),
}

/// The agent can't ask over HTTP at all.
#[derive(Debug, thiserror::Error)]
pub enum InvalidWeb {
    #[error("the certificates that `ca` under [http] in agent.toml names can't be read as PEM")]
    Authorities(#[source] reqwest::Error),
    #[error("the HTTP client can't be set up")]
    Client(#[source] reqwest::Error),
}

impl Web {
    pub fn new(config: WebConfig) -> Result<Self, InvalidWeb> {
        // Only fails when it is installed already, as the program does at its start.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authorities =
            reqwest::Certificate::from_pem_bundle(&config.authorities).map_err(InvalidWeb::Authorities)?;
        let client = Client::builder()
            .user_agent(concat!("stopover-agent/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            // What is allowed is asked, and not a proxy that a variable names.
            .no_proxy()
            .tls_certs_merge(authorities)
            .build()
            .map_err(InvalidWeb::Client)?;
        Ok(Self { client, config })
    }

    /// A GET. `expected`: the status that is none to follow, should it be a redirect.
    pub(crate) async fn get(&self, url: &str, expected: u16, wanted: Wanted) -> Result<Answered, NoAnswer> {
        let url = Url::parse(url).map_err(|_| NoAnswer::Address(url.escape_debug().to_string()))?;
        if !self.allows(&url) {
            return Err(NoAnswer::NotAllowed { origin: origin(&url) });
        }
        let within = self.config.timeout;
        let asking = self.follow(url, expected, wanted);
        tokio::time::timeout(within, asking).await.map_err(|_| NoAnswer::Timeout(within))?
    }

    async fn follow(&self, mut url: Url, expected: u16, wanted: Wanted) -> Result<Answered, NoAnswer> {
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self.client.get(url.clone());
            for (_, headers) in self.config.headers.iter().filter(|(prefix, _)| prefix.holds(&url)) {
                request = request.headers(headers.read()?);
            }
            let answer = request.send().await.map_err(|e| NoAnswer::Unreachable(reason(e)))?;
            let status = answer.status();
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match location.filter(|_| leads_on(status) && status.as_u16() != expected) {
                None => return read(answer, wanted).await,
                Some(location) => {
                    let next =
                        url.join(location).map_err(|_| NoAnswer::Address("a redirect's".to_owned()))?;
                    if !self.allows(&next) {
                        return Err(NoAnswer::LedAstray { origin: origin(&next) });
                    }
                    url = next;
                }
            }
        }
        Err(NoAnswer::Redirects)
    }

    fn allows(&self, url: &Url) -> bool {
        self.config.allow.iter().any(|prefix| prefix.holds(url))
    }
}

fn leads_on(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Without path and query, which may hold a secret.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

async fn read(answer: reqwest::Response, wanted: Wanted) -> Result<Answered, NoAnswer> {
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    if wanted == Wanted::Body {
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| NoAnswer::Unreachable(reason(e)))?;
            if body.len() + chunk.len() > LONGEST_BODY {
                return Err(NoAnswer::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
    }
    Ok(Answered { status, body })
}

/// The innermost cause says it best. The address is left out: its query may hold a secret.
fn reason(error: reqwest::Error) -> String {
    cause::last(&error.without_url()).to_string().escape_debug().to_string()
}
