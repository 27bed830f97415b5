//! What a scratch database is called: by its name alone an agent knows whose it is, even when a crash left nothing else.

use stopover_model::digest::{Digest, Digester};
use stopover_model::id::EnvironmentName;

use crate::step::StepContext;

/// All names begin so.
const PREFIX: &str = "stopover_scratch_";
/// Hexadecimal digits of what is hashed.
const DIGITS: usize = 8;
/// The first key of the advisory lock that a living owner holds: "SCRA".
pub(super) const LOCK_CLASS: i32 = 0x5343_5241;

/// `stopover_scratch_ENVIRONMENT_DEPLOYMENT_STAGE_DATABASE`, the first and the last as a hash: 45 bytes at most of
/// PostgreSQL's 63, and nothing in it that would have to be quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScratchName(String);

impl ScratchName {
    pub(super) fn of(context: &StepContext) -> Self {
        let StepContext { environment, deployment, step, .. } = context;
        let database = hash(&["database", step.database.as_str(), context.database.database()]);
        Self(format!("{}{deployment}_{}_{database}", Self::prefix(environment), step.stage.0))
    }

    /// What the names of all of an environment's scratch databases, and roles, begin with.
    pub(super) fn prefix(environment: &EnvironmentName) -> String {
        format!("{PREFIX}{}_", hash(&["environment", environment.as_str()]))
    }

    /// A name that was found in the server, when it is one of the environment's.
    pub(super) fn found(name: &str, environment: &EnvironmentName) -> Option<Self> {
        let rest = name.strip_prefix(&Self::prefix(environment))?;
        let plain = rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        plain.then(|| Self(name.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The second key of its advisory lock.
    pub(super) fn lock_key(&self) -> i32 {
        let digest = digest(&["lock", &self.0]);
        let [a, b, c, d, ..] = *digest.as_bytes();
        i32::from_be_bytes([a, b, c, d])
    }
}

fn hash(parts: &[&str]) -> String {
    format!("{:.DIGITS$}", digest(parts))
}

fn digest(parts: &[&str]) -> Digest {
    let mut digester = Digester::new("stopover scratch");
    for part in parts {
        digester.part("", part.as_bytes());
    }
    digester.finish()
}

#[cfg(test)]
mod tests {
    use stopover_model::event::StepKind;

    use super::*;
    use crate::testing::context;

    #[test]
    fn a_name_fits_and_is_known_by_its_environment() {
        let mut context = context("host=h dbname='We ird'", StepKind::Backup);
        context.step.stage = stopover_model::event::StageIndex(9_999);
        let name = ScratchName::of(&context);
        assert!(name.as_str().len() <= 63, "{}", name.as_str());
        assert_eq!(ScratchName::found(name.as_str(), &context.environment), Some(name.clone()));
        assert_eq!(ScratchName::found(name.as_str(), &"production".parse().unwrap()), None);
        assert_eq!(ScratchName::found(&format!("{}\"; x", name.as_str()), &context.environment), None);
        context.step.database = "orders".parse().unwrap();
        let other = ScratchName::of(&context);
        assert_ne!((name.as_str(), name.lock_key()), (other.as_str(), other.lock_key()));
    }
}
