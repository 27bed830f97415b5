//! What a backup's files are called, and which of them belong to one deployment's backups of one database.

use jiff::Timestamp;
use stopover_model::id::{DatabaseName, DeploymentId, EnvironmentName};

pub(crate) const DUMP: &str = ".dump.zst";
/// A directory with a file for each table, which several jobs have made.
pub(crate) const DIRECTORY: &str = ".dump.dir";
/// What the site's own command said, which made the backup elsewhere.
pub(crate) const LOG: &str = ".log";
/// Behind the ending of what is not whole yet.
pub(crate) const PARTIAL: &str = ".partial";
pub(crate) const MANIFEST: &str = ".json";
/// Behind a dump's name, when it is encrypted.
pub(crate) const ENCRYPTED: &str = ".age";

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

    /// Whether this is the name of a backup of the database, whatever deployment made it, less any ending.
    pub(crate) fn is_of(environment: &EnvironmentName, database: &DatabaseName, stem: &str) -> bool {
        let rest = stem.strip_prefix(&format!("{environment}-{database}-"));
        let parts = rest.and_then(|rest| rest.split_once('-'));
        parts.is_some_and(|(time, id)| is_time(time) && id.parse::<DeploymentId>().is_ok())
    }

    /// Whether a file's name, less this ending, is of this kind.
    pub(crate) fn owns(&self, file: &str, ending: &str) -> bool {
        let time = file
            .strip_prefix(&self.prefix)
            .and_then(|rest| rest.strip_suffix(ending))
            .and_then(|rest| rest.strip_suffix(&self.suffix));
        time.is_some_and(is_time)
    }
}

fn is_time(text: &str) -> bool {
    text.len() == 16
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'T' || b == b'Z')
        && text.ends_with('Z')
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
        assert!(names.owns(&format!("{name}.dump.zst.partial"), ".dump.zst.partial"));
        assert!(!names.owns(&format!("{name}.dump.zst"), ".dump.zst.partial"));
        let of =
            |database: &str| Names::is_of(&"staging".parse().unwrap(), &database.parse().unwrap(), &name);
        assert!(of("users") && !of("user") && !of("users-eu"));
        let other = longer.at(Timestamp::UNIX_EPOCH);
        assert!(
            !names.owns(&format!("{other}.json"), MANIFEST)
                && longer.owns(&format!("{other}.json"), MANIFEST)
        );
    }
}
