//! The identifiers, each with a type of its own, checked once where they enter.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::as_text;

/// Why a text is not an identifier. Says which identifier, what was given and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {what}: {rule}")]
pub struct InvalidId {
    what: &'static str,
    given: String,
    rule: &'static str,
}

const NAME_RULE: &str =
    "use 1 to 63 of the letters a-z, the digits, `-` and `_`, beginning with a letter or a digit";
const OPERATOR_RULE: &str = "use 1 to 128 of the letters a-z, the digits, `.`, `-`, `_`, `+` and `@`, beginning with a \
                             letter or a digit";
const GROUP_RULE: &str = "use 1 to 128 letters, digits, signs of ASCII and spaces, no space at either end, and no \
                          `group:` before it";
const MIGRATION_RULE: &str =
    "use 1 to 128 of the letters, the digits, `.`, `-` and `_`, beginning with a letter or a digit";
const DEPLOYMENT_RULE: &str = "use the id as `stopover list` shows it";

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { what: $what, given: shortened(text), rule: $rule })
                }
            }
        }

        as_text!($name, InvalidId);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

text_id!(
    /// An environment: staging, production.
    EnvironmentName, "the name of an environment", NAME_RULE, is_name
);
text_id!(
    /// A database as its agent calls it: the name in agent.toml, not what PostgreSQL calls it.
    DatabaseName, "the name of a database", NAME_RULE, is_name
);
text_id!(
    /// A pipeline.
    PipelineName, "the name of a pipeline", NAME_RULE, is_name
);
text_id!(
    /// An agent, unique in the server.
    AgentName, "the name of an agent", NAME_RULE, is_name
);
text_id!(
    /// A person or a machine, as tokens and sign-ins call them: anna, or anna@example.com.
    OperatorName, "the name of an operator", OPERATOR_RULE, is_operator
);
text_id!(
    /// A group that operators are in: dba. As an identity provider writes it, so that almost everything is allowed.
    GroupName, "the name of a group", GROUP_RULE, is_group
);
text_id!(
    /// An operator's token, for people: the beginning of what is stored of it.
    TokenId, "a token's id", "use the id as `stopover token list` shows it", is_deployment
);
text_id!(
    /// A hook of a stage.
    HookName, "the name of a hook", NAME_RULE, is_name
);
text_id!(
    /// A secret of the server's settings: only its name is known elsewhere.
    SecretName, "the name of a secret", NAME_RULE, is_name
);
text_id!(
    /// A migration: the name of its directory.
    MigrationId, "a migration's name", MIGRATION_RULE, is_migration
);
text_id!(
    /// A deployment: ten characters that can be read out on the phone.
    DeploymentId, "a deployment's id", DEPLOYMENT_RULE, is_deployment
);
text_id!(
    /// A backup that lies somewhere: ten characters, made from its manifest.
    BackupId, "a backup's id", "use the id as `stopover backup list` shows it", is_deployment
);
text_id!(
    /// Something that was dropped and kept: ten characters, as a deployment's.
    SavedId, "the id of something saved", "use the id as `stopover saved list` shows it", is_deployment
);
text_id!(
    /// One run of a piece of work inside one agent process. A restarted agent's work has another.
    RunId, "a run's id", "use a UUID", is_name
);

impl DeploymentId {
    const LENGTH: usize = 10;
    /// Crockford's base 32 in lower case: no i, l, o, u.
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

    /// Makes an id out of 50 random bits (the low ones).
    #[must_use]
    pub fn from_random(mut bits: u64) -> Self {
        let mut text = String::with_capacity(Self::LENGTH);
        for _ in 0..Self::LENGTH {
            text.push(char::from(Self::ALPHABET[(bits & 31) as usize]));
            bits >>= 5;
        }
        Self(text)
    }
}

impl SavedId {
    /// Makes an id out of 50 random bits (the low ones).
    #[must_use]
    pub fn from_random(bits: u64) -> Self {
        Self(DeploymentId::from_random(bits).0)
    }
}

impl TokenId {
    /// Of the stored hash of a token: a SHA-256, of which the beginning tells two tokens apart.
    #[must_use]
    pub fn of_hash(hash: &str) -> Option<Self> {
        hash.get(..DeploymentId::LENGTH)?.parse().ok()
    }
}

impl BackupId {
    /// Of bits that tell a backup from all others (the low 50).
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(DeploymentId::from_random(bits).0)
    }
}

/// Fences writers of one database: a work transaction of a lower epoch than the database has seen does nothing.
/// The server draws each from one counter, so that a later attempt of any deployment has a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// The how-manieth try of a step, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u32);

/// The place of an event in its deployment's log, from 1, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first event.
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_number!(Epoch, Attempt, Seq);

fn is_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

fn is_operator(text: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_' | b'+' | b'@');
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(allowed)
}

fn is_group(text: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ';
    // What a pipeline writes before the name of one is none of it.
    !text.is_empty()
        && !text.starts_with("group:")
        && text.trim() == text
        && text.chars().count() <= 128
        && text.chars().all(allowed)
}

fn is_migration(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

fn is_deployment(text: &str) -> bool {
    text.len() == DeploymentId::LENGTH && text.bytes().all(|b| DeploymentId::ALPHABET.contains(&b))
}

/// What was given, short enough for an error line, with control characters made visible.
fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().count() > 80 {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_could_be_taken_for_something_else() {
        for bad in ["", "-x", "_x", "Users", "a b", "a/b", "users; drop table", "é", &"a".repeat(64)] {
            assert!(bad.parse::<EnvironmentName>().is_err(), "{bad:?}");
        }
        for good in ["a", "9", "users-db", "eu_west_1", &"a".repeat(63)] {
            assert_eq!(good.parse::<EnvironmentName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn people_and_groups_are_called_as_an_identity_provider_calls_them() {
        for good in ["anna", "anna@example.com", "a.b+c_d-e@x", &"a".repeat(128)] {
            assert_eq!(good.parse::<OperatorName>().unwrap().as_str(), good);
        }
        for bad in ["", "Anna@example.com", "@x", "a b", "a;b", "é@x", &"a".repeat(129)] {
            assert!(bad.parse::<OperatorName>().is_err(), "{bad:?}");
        }
        for good in ["dba", "DBA Team", "/org/dba", "CN=dba,OU=x", "Größe", "7a9-b"] {
            assert_eq!(good.parse::<GroupName>().unwrap().as_str(), good);
        }
        for bad in ["", " dba", "dba ", "group:dba", "a\nb", "a\u{202e}b", &"g".repeat(129)] {
            assert!(bad.parse::<GroupName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_error_names_the_kind_the_value_and_the_rule() {
        let error = "Users\u{1b}[31m".parse::<DatabaseName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`Users\\u{{1b}}[31m` is not the name of a database: {NAME_RULE}")
        );
    }

    #[test]
    fn a_deployment_id_comes_from_random_bits_and_reads_back() {
        let id = DeploymentId::from_random(0x0123_4567_89ab_cdef);
        assert_eq!(id.as_str().len(), 10);
        assert_eq!(id.as_str().parse::<DeploymentId>().unwrap(), id);
        assert_ne!(id, DeploymentId::from_random(1));
    }

    #[test]
    fn a_stored_name_is_checked_when_it_is_read() {
        assert!(serde_json::from_str::<AgentName>("\"Agent 1\"").is_err());
    }
}
