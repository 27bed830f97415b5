//! What a backup's files are called, and which of them belong to one deployment's backups of one database.

use jiff::Timestamp;
use stopover_model::id::{DatabaseName, DeploymentId, EnvironmentName};

pub(crate) const DUMP: &str = ".dump.zst";
pub(crate) const PARTIAL: &str = ".dump.zst.partial";
pub(crate) const MANIFEST: &str = ".json";

const TIME: &str = "%Y%m%dT%H%M%SZ";

/// Names of the form `ENVIRONMENT-DATABASE-TIME-DEPLOYMENT`, whose parts hold nothing that a path could trip over.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
    suffix: String,
}

impl Names {
    pub(crate) fn new(
        environment: &EnvironmentName,
        database: &DatabaseName,
        deployment: &DeploymentId,
    ) -> Self {
        Self { prefix: format!("{environment}-{database}-"), suffix: format!("-{deployment}") }
    }

    /// The name, without an ending, of a backup that begins at this time.
    pub(crate) fn at(&self, time: Timestamp) -> String {
        format!("{}{}{}", self.prefix, time.strftime(TIME), self.suffix)
    }

    /// Whether a file's name, less this ending, is of this kind.
    pub(crate) fn owns(&self, file: &str, ending: &str) -> bool {
        let time = file
            .strip_prefix(&self.prefix)
            .and_then(|rest| rest.strip_suffix(ending))
            .and_then(|rest| rest.strip_suffix(&self.suffix));
        time.is_some_and(|t| {
            t.len() == 16
                && t.bytes().all(|b| b.is_ascii_digit() || b == b'T' || b == b'Z')
                && t.ends_with('Z')
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_files_are_its_own() {
        let id = DeploymentId::from_random(7);
        let names = Names::new(&"staging".parse().unwrap(), &"users".parse().unwrap(), &id);
        let longer = Names::new(&"staging".parse().unwrap(), &"users-eu".parse().unwrap(), &id);
        let name = names.at(Timestamp::from_second(1_700_000_000).unwrap());
        assert_eq!(name, format!("staging-users-20231114T221320Z-{id}"));
        assert!(names.owns(&format!("{name}.dump.zst.partial"), PARTIAL));
        assert!(!names.owns(&format!("{name}.dump.zst"), PARTIAL));
        let other = longer.at(Timestamp::UNIX_EPOCH);
        assert!(
            !names.owns(&format!("{other}.json"), MANIFEST)
                && longer.owns(&format!("{other}.json"), MANIFEST)
        );
    }
}
