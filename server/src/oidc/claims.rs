//! What a token says, once its signature is known to be right: whether it is for this server and now, and of whom.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Number, Value};
use stopover_model::id::{GroupName, OperatorName};

use super::{OidcError, OidcSettings, SignedIn};

const EMAIL: &str = "email";

/// Times that are no numbers make the whole unreadable: they must not count as missing.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    sub: Option<String>,
    aud: Audience,
    exp: Number,
    nbf: Option<Number>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Claims {
    pub(super) fn check(
        self,
        settings: &OidcSettings,
        now: Timestamp,
        leeway: Duration,
    ) -> Result<SignedIn, OidcError> {
        let issuer = settings.issuer.clone();
        if self.iss != issuer {
            return Err(OidcError::Issuer { issuer, given: self.iss });
        }
        let audiences = match &self.aud {
            Audience::One(one) => vec![one.clone()],
            Audience::Several(all) => all.clone(),
        };
        if !audiences.contains(&settings.audience) {
            return Err(OidcError::Audience { audience: settings.audience.clone(), given: audiences });
        }
        let expires_at = Self::time("exp", &self.exp, settings)?;
        if expires_at.saturating_add(leeway).is_ok_and(|end| end <= now) {
            return Err(OidcError::Ended { name: self.name(settings).ok(), at: expires_at });
        }
        let from = self.nbf.as_ref().map(|from| Self::time("nbf", from, settings)).transpose()?;
        if let Some(from) = from.filter(|from| now.saturating_add(leeway).is_ok_and(|now| now < *from)) {
            return Err(OidcError::NotYet { issuer, from, now });
        }
        let name = self.name(settings)?;
        let Some(subject) = self.sub.clone().filter(|subject| !subject.is_empty()) else {
            return Err(OidcError::Claim { issuer, claim: "sub".to_owned(), why: "missing" });
        };
        Ok(SignedIn { name, subject, groups: self.groups(settings)?, expires_at })
    }

    /// A person is a name, and names are in lower case: Anna@example.com is anna@example.com.
    fn name(&self, settings: &OidcSettings) -> Result<OperatorName, OidcError> {
        let (issuer, claim) = (&settings.issuer, &settings.name_claim);
        let wrong = |why: String| OidcError::Name { issuer: issuer.clone(), claim: claim.clone(), why };
        let given = match claim.as_str() {
            "sub" => self.sub.as_deref(),
            other => self.others.get(other).and_then(Value::as_str),
        };
        let given = given.ok_or_else(|| wrong("it is missing".to_owned()))?;
        // Where nothing is said of it, the provider does not let people enter an address by themselves.
        if claim == EMAIL && self.others.get("email_verified").is_some_and(|verified| !is_true(verified)) {
            return Err(OidcError::Unverified { issuer: issuer.clone(), address: given.to_owned() });
        }
        given.to_lowercase().parse().map_err(|error: stopover_model::id::InvalidId| wrong(error.to_string()))
    }

    /// Those that have a name that could be written in a file. Without the claim: none.
    fn groups(&self, settings: &OidcSettings) -> Result<Vec<GroupName>, OidcError> {
        let claim = &settings.groups_claim;
        let given: Vec<&str> = match self.others.get(claim) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            Some(_) => {
                let (issuer, claim) = (settings.issuer.clone(), claim.clone());
                return Err(OidcError::Claim { issuer, claim, why: "neither a text nor a list of texts" });
            }
        };
        let mut groups: Vec<GroupName> = given.into_iter().filter_map(|group| group.parse().ok()).collect();
        groups.sort();
        groups.dedup();
        Ok(groups)
    }

    fn time(claim: &str, number: &Number, settings: &OidcSettings) -> Result<Timestamp, OidcError> {
        #[expect(clippy::cast_possible_truncation, reason = "a fraction of a second counts for nothing here")]
        let seconds = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64));
        seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or_else(|| OidcError::Claim {
            issuer: settings.issuer.clone(),
            claim: claim.to_owned(),
            why: "no time",
        })
    }
}

/// Some providers write it as a text.
fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || value.as_str() == Some("true")
}
