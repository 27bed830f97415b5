//! Why somebody could not be told.

use std::error::Error;

use crate::secrets::SecretError;

/// Never says a secret: an URL that lets in whoever knows it is left out.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the secret `{0}` is no URL of an incoming webhook; it begins with https://")]
    NoUrl(stopover_model::id::SecretName),
    #[error("could not reach it")]
    Unreachable(#[source] reqwest::Error),
    #[error("it gave no answer within {0:?}")]
    Slow(std::time::Duration),
    #[error("it answered {status}{}", words(.body))]
    Answered { status: u16, body: String },
    #[error("server.toml has no [smtp], without which no mail leaves; add it, and start the server again")]
    NoSmtp,
    #[error("could not read the authority's certificate `{path}` of [smtp]")]
    Authority {
        path: String,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("could not write the mail")]
    Mail(#[source] Box<dyn Error + Send + Sync>),
    #[error("the mail server did not take it")]
    Smtp(#[source] lettre::transport::smtp::Error),
}

impl SendError {
    /// Whether the same would be refused again and again: then others must not wait behind it.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            // Its content is what is refused, and not who sends it: keys and addresses can be mended.
            Self::Answered { status, .. } => matches!(status, 400 | 413 | 415 | 422),
            Self::Smtp(error) => {
                error.is_permanent()
                    && error.status().is_some_and(|code| (550..=554).contains(&u16::from(code)))
            }
            Self::Mail(_) => true,
            _ => false,
        }
    }
}

fn words(body: &str) -> String {
    let body = body.trim();
    if body.is_empty() { String::new() } else { format!(": {body}") }
}
