//! Whom a pipeline tells of its deployments, and of what.
//!
//! What must not be read by everybody who reads the pipeline (a key, an incoming webhook's URL) is only named here: the
//! server's own settings say what it is.

use std::collections::BTreeSet;
use std::fmt;

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};
use toml::Spanned;
use url::Url;

use crate::config::ConfigError;
use crate::id::SecretName;

/// One of those who are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    pub to: NotifyTarget,
    /// Of what.
    pub events: BTreeSet<NoticeKind>,
}

/// Where a notice goes. What goes to the same target goes in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NotifyTarget {
    /// JSON, signed with the secret.
    Webhook {
        url: String,
        secret: SecretName,
    },
    /// An incoming webhook of Slack, or of what takes the same; the secret is its URL.
    Slack {
        secret: SecretName,
    },
    Email {
        to: Vec<String>,
    },
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A deployment was made.
    Started,
    /// A stage ended well, and another one follows.
    StageSucceeded,
    /// Somebody has to do something, or nothing goes on.
    Waiting,
    /// A step failed for good, its outcome is UNKNOWN, or a rollback failed.
    Failed,
    Paused,
    Resumed,
    Cancelled,
    RolledBack,
    Succeeded,
    /// What was looked at days after the migration is not as it has to be.
    FollowUpFailed,
}

impl NoticeKind {
    pub const ALL: [Self; 10] = [
        Self::Started,
        Self::StageSucceeded,
        Self::Waiting,
        Self::Failed,
        Self::Paused,
        Self::Resumed,
        Self::Cancelled,
        Self::RolledBack,
        Self::Succeeded,
        Self::FollowUpFailed,
    ];

    /// Told where nothing else is said: what somebody has to act on, and how it ended.
    #[must_use]
    pub fn usual() -> BTreeSet<Self> {
        [
            Self::Waiting,
            Self::Failed,
            Self::Cancelled,
            Self::RolledBack,
            Self::Succeeded,
            Self::FollowUpFailed,
        ]
        .into()
    }

    /// As it is written in a pipeline.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::StageSucceeded => "stage_succeeded",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Cancelled => "cancelled",
            Self::RolledBack => "rolled_back",
            Self::Succeeded => "succeeded",
            Self::FollowUpFailed => "follow_up_failed",
        }
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl NotifyTarget {
    /// The secret of the server's that it needs.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretName> {
        match self {
            Self::Webhook { secret, .. } | Self::Slack { secret } => Some(secret),
            Self::Email { .. } => None,
        }
    }
}

/// For people: where it goes, without anything secret.
impl fmt::Display for NotifyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook { url, .. } => f.write_str(url),
            Self::Slack { secret } => write!(f, "slack {secret}"),
            Self::Email { to } => f.write_str(&to.join(", ")),
        }
    }
}

/// Why something can't be called by HTTP.
pub fn check_url(text: &str) -> Result<(), String> {
    let url: Url = text.parse().map_err(|error| format!("`{text}` is no URL ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!(
            "`{text}` is no web address; it begins with https://, or http:// inside a network"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "this URL holds a login, and everybody who reads the pipeline would have it; leave it out: \
                    the call is signed"
                .into(),
        );
    }
    if text.len() > 2_000 {
        return Err("this URL has more than 2,000 characters".into());
    }
    Ok(())
}

/// Why a mail can't go there. A name beside the address is none of it.
pub fn check_address(text: &str) -> Result<(), String> {
    let options = Options::default().without_display_text().with_no_minimum_sub_domains();
    EmailAddress::parse_with_options(text, options)
        .map(drop)
        .map_err(|error| format!("`{text}` is no mail address ({error}); write it as \"dba@example.com\""))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotify {
    webhook: Option<Spanned<String>>,
    secret: Option<Spanned<SecretName>>,
    slack: Option<Spanned<SecretName>>,
    email: Option<Spanned<Vec<Spanned<String>>>>,
    events: Option<Spanned<Vec<Spanned<String>>>>,
}

/// Those of a pipeline's file.
pub(super) fn read(all: Vec<Spanned<RawNotify>>, file: &str, text: &str) -> Result<Vec<Notify>, ConfigError> {
    let mut found: Vec<Notify> = Vec::with_capacity(all.len());
    for raw in all {
        let span = raw.span();
        let notify = raw.into_inner().read(span.clone(), file, text)?;
        if found.iter().any(|other| other.to == notify.to) {
            let message = format!("{} is told twice; put all its `events` into one [[notify]]", notify.to);
            return Err(ConfigError::at(file, text, Some(span), message));
        }
        found.push(notify);
    }
    Ok(found)
}

impl RawNotify {
    fn read(self, span: std::ops::Range<usize>, file: &str, text: &str) -> Result<Notify, ConfigError> {
        let at = |span, message: String| ConfigError::at(file, text, Some(span), message);
        let Self { webhook, secret, slack, email, events } = self;
        if let Some(secret) = secret.as_ref().filter(|_| webhook.is_none()) {
            let message = "`secret` names the key that a `webhook` is signed with, and there is none here";
            return Err(at(secret.span(), message.into()));
        }
        let to = match (webhook, slack, email) {
            (Some(url), None, None) => {
                check_url(url.get_ref()).map_err(|why| at(url.span(), why))?;
                let secret = secret.ok_or_else(|| {
                    let message = "the webhook needs a `secret`: the name of one of server.toml's [secrets], which its \
                                   receiver has too and checks the signature with";
                    at(url.span(), message.into())
                })?;
                NotifyTarget::Webhook { url: url.into_inner(), secret: secret.into_inner() }
            }
            (None, Some(secret), None) => NotifyTarget::Slack { secret: secret.into_inner() },
            (None, None, Some(email)) => {
                if email.get_ref().is_empty() {
                    return Err(at(email.span(), "`email` names nobody".into()));
                }
                let mut to: Vec<String> = Vec::new();
                for address in email.into_inner() {
                    check_address(address.get_ref()).map_err(|why| at(address.span(), why))?;
                    if to.contains(address.get_ref()) {
                        return Err(at(address.span(), format!("{} is named twice", address.get_ref())));
                    }
                    to.push(address.into_inner());
                }
                NotifyTarget::Email { to }
            }
            _ => {
                let message = "a [[notify]] has one of `webhook` (a URL, with `secret`), `slack` (the name of a secret that \
                               is an incoming webhook's URL) and `email` (a list of addresses)";
                return Err(at(span, message.into()));
            }
        };
        Ok(Notify { to, events: kinds(events, file, text)? })
    }
}

fn kinds(
    events: Option<Spanned<Vec<Spanned<String>>>>,
    file: &str,
    text: &str,
) -> Result<BTreeSet<NoticeKind>, ConfigError> {
    let Some(events) = events else { return Ok(NoticeKind::usual()) };
    let at = |span, message: String| ConfigError::at(file, text, Some(span), message);
    if events.get_ref().is_empty() {
        return Err(at(
            events.span(),
            "`events` is empty, so that nothing would be told; leave it out".into(),
        ));
    }
    let known = || NoticeKind::ALL.map(NoticeKind::as_str).join(", ");
    let mut found = BTreeSet::new();
    for event in events.into_inner() {
        let kind = NoticeKind::ALL.into_iter().find(|kind| kind.as_str() == event.get_ref());
        match (kind, event.get_ref().as_str()) {
            (Some(kind), _) => drop(found.insert(kind)),
            (None, "all") => found.extend(NoticeKind::ALL),
            (None, other) => {
                let message = format!("unknown event `{other}`; there are {}, and all", known());
                return Err(at(event.span(), message));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Pipeline;

    fn parse(notify: &str) -> Result<Pipeline, String> {
        let text = format!("name = \"p\"\n{notify}\n[[stage]]\nenvironment = \"s\"\n");
        Pipeline::parse("pipeline.toml", &text).map_err(|e| e.to_string())
    }

    #[test]
    fn each_target_has_the_usual_events_unless_it_says_others() {
        let text = "[[notify]]\nwebhook = \"http://10.0.0.7:8080/x?a=b\"\nsecret = \"team-hook\"\n\
                    [[notify]]\nslack = \"team-slack\"\nevents = [\"failed\", \"waiting\"]\n\
                    [[notify]]\nemail = [\"dba@example.com\", \"Anna.O'Neil+db@mail\"]\nevents = [\"all\"]\n";
        let pipeline = parse(text).unwrap();
        let shown: Vec<_> = pipeline.notify.iter().map(|n| n.to.to_string()).collect();
        assert_eq!(
            shown,
            ["http://10.0.0.7:8080/x?a=b", "slack team-slack", "dba@example.com, Anna.O'Neil+db@mail"]
        );
        let [webhook, slack, email] = &pipeline.notify[..] else { panic!() };
        assert_eq!(webhook.events, NoticeKind::usual());
        assert_eq!(slack.events, [NoticeKind::Waiting, NoticeKind::Failed].into());
        assert_eq!(email.events.len(), NoticeKind::ALL.len());
        let json = serde_json::to_value(&pipeline).unwrap();
        assert_eq!(serde_json::from_value::<Pipeline>(json).unwrap(), pipeline);
    }

    #[test]
    fn a_pipeline_without_any_has_the_digest_that_it_had() {
        let json = serde_json::to_value(parse("").unwrap()).unwrap();
        assert!(json.get("notify").is_none(), "{json}");
        assert_eq!(serde_json::from_value::<Pipeline>(json).unwrap(), parse("").unwrap());
    }

    #[test]
    fn what_is_wrong_is_shown_in_its_place() {
        for (lines, expected) in [
            ("", "pipeline.toml:2:1: a [[notify]] has one of `webhook`"),
            ("slack = \"a\"\nemail = [\"a@b\"]", "a [[notify]] has one of"),
            ("webhook = \"https://h/\"", "pipeline.toml:3:11: the webhook needs a `secret`"),
            ("webhook = \"ftp://h/\"\nsecret = \"s\"", "3:11: `ftp://h/` is no web address"),
            ("webhook = \"h\"\nsecret = \"s\"", "3:11: `h` is no URL"),
            ("webhook = \"https://u:p@h/\"\nsecret = \"s\"", "3:11: this URL holds a login"),
            ("slack = \"a\"\nsecret = \"s\"", "4:10: `secret` names the key that a `webhook`"),
            ("slack = \"https://hooks\"", "3:9: `https://hooks` is not the name of a secret"),
            ("email = []", "3:9: `email` names nobody"),
            ("email = [\"a@b\", \"nobody\"]", "3:17: `nobody` is no mail address"),
            ("email = [\"a@b\", \"a@b\"]", "3:17: a@b is named twice"),
            ("email = [\"a@b\\r\\nBcc: c@d\"]", "is no mail address"),
            ("slack = \"a\"\nevents = []", "4:10: `events` is empty"),
            ("slack = \"a\"\nevents = [\"fails\"]", "4:11: unknown event `fails`; there are started,"),
            ("slak = \"a\"", "did you mean `slack`?"),
            ("slack = \"a\"\n[[notify]]\nslack = \"a\"", "4:1: slack a is told twice"),
        ] {
            let error = parse(&format!("[[notify]]\n{lines}")).unwrap_err();
            assert!(error.contains(expected), "{lines} gave {error}");
        }
    }
}
