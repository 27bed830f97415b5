//! `[backup]`: where backups go, to whom they are encrypted, and how long they stay.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use stopover_model::config::ConfigError;

use super::at;
use crate::vault::{
    Bucket, Destination, InvalidDestination, InvalidRecipient, Options, Recipients, Retention, Vault,
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackup {
    directory: Option<toml::Spanned<PathBuf>>,
    destination: Option<toml::Spanned<String>>,
    #[serde(default)]
    options: Options,
    #[serde(default)]
    recipients: Vec<toml::Spanned<String>>,
    keep: Option<toml::Spanned<u32>>,
    keep_for: Option<toml::Spanned<String>>,
    pub(super) command: Option<toml::Spanned<Vec<String>>>,
    jobs: Option<toml::Spanned<u32>>,
}

/// More sessions at a time than this serve no database.
const MOST_JOBS: u32 = 64;

impl RawBackup {
    /// A secret stands in the file itself.
    pub(super) fn holds_secret(&self) -> bool {
        self.options.holds_secret()
    }

    /// How many tables are dumped at a time.
    pub(super) fn jobs(&self, file: &str, text: &str) -> Result<u32, ConfigError> {
        let Some(jobs) = &self.jobs else { return Ok(1) };
        let count = *jobs.get_ref();
        let goes_elsewhere = self.destination.as_ref().is_some_and(|d| Bucket::is_url(d.get_ref()));
        let message = if count == 0 || count > MOST_JOBS {
            format!("write a number of jobs from 1 to {MOST_JOBS}")
        } else if count > 1 && self.command.is_some() {
            "`command` makes the backups, and `jobs` would not reach it; keep one of them".to_owned()
        } else if count > 1 && (goes_elsewhere || !self.recipients.is_empty()) {
            "several jobs make a directory, which goes into no bucket and is not encrypted; leave `jobs` out, or name a \
             directory as `destination` and no `recipients`"
                .to_owned()
        } else {
            return Ok(count);
        };
        Err(at(file, text, jobs, message))
    }

    /// The vault, and the directory of this machine that belongs to it. Paths begin at `here`.
    pub(super) fn checked(
        self,
        (file, text): (&str, &str),
        here: &Path,
        state_dir: &Path,
    ) -> Result<(Vault, PathBuf), ConfigError> {
        let retention = self.retention(file, text)?;
        let mut recipients = Vec::new();
        for recipient in &self.recipients {
            Recipients::parse(std::slice::from_ref(recipient.get_ref()))
                .map_err(|error: InvalidRecipient| at(file, text, recipient, error.to_string()))?;
            recipients.push(recipient.get_ref().clone());
        }
        let recipients =
            Recipients::parse(&recipients).map_err(|e| ConfigError::whole(file, e.to_string()))?;
        if let (Some(_), Some(destination)) = (&self.directory, &self.destination) {
            let message =
                "`directory` and `destination` both say where backups go; keep one of them".to_owned();
            return Err(at(file, text, destination, message));
        }
        let url = self.destination.as_ref().filter(|destination| Bucket::is_url(destination.get_ref()));
        let Some(url) = url else {
            if !self.options.is_empty() {
                let message =
                    "[backup.options] belong to a destination such as s3://BUCKET/PREFIX, and there is none";
                return Err(ConfigError::whole(file, message));
            }
            let named = self.directory.map(toml::Spanned::into_inner);
            let named = named.or_else(|| self.destination.map(|destination| destination.into_inner().into()));
            let directory = named.map_or_else(|| state_dir.join("backups"), |directory| here.join(directory));
            let destination = Destination::Directory(directory.clone());
            return Ok((Vault { destination, recipients, retention }, directory));
        };
        let bucket = Bucket::open(url.get_ref(), &self.options, here)
            .map_err(|error: InvalidDestination| at(file, text, url, error.to_string()))?;
        let destination = Destination::Bucket(std::sync::Arc::new(bucket));
        Ok((Vault { destination, recipients, retention }, state_dir.join("backups")))
    }

    fn retention(&self, file: &str, text: &str) -> Result<Retention, ConfigError> {
        if let Some(keep) = self.keep.as_ref().filter(|keep| *keep.get_ref() == 0) {
            let message = "at least one backup stays; leave `keep` out to keep all".to_owned();
            return Err(at(file, text, keep, message));
        }
        let keep_for =
            self.keep_for.as_ref().map(|age| duration(age.get_ref()).map_err(|why| at(file, text, age, why)));
        Ok(Retention {
            keep: self.keep.as_ref().map(|keep| *keep.get_ref()),
            keep_for: keep_for.transpose()?,
        })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    stopover_model::duration::parse(text)
}

#[cfg(test)]
mod tests {
    use super::super::AgentConfig;
    use super::*;

    const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    fn parse(directory: &Path, backup: &str) -> Result<AgentConfig, String> {
        let text = format!(
            "server = \"https://h:1\"\n[backup]\n{backup}\n[[database]]\nname = \"users\"\nurl = \"host=db dbname=users\"\n"
        );
        let file = directory.join("agent.toml");
        AgentConfig::parse(&file, &text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_destination_is_a_directory_or_a_bucket() {
        let here = tempfile::tempdir().unwrap();
        for backup in ["directory = \"there\"", "destination = \"there\""] {
            let config = parse(here.path(), backup).unwrap();
            assert_eq!(config.backup_directory, here.path().join("there"));
            assert!(!config.vault.streams(), "{backup}");
        }
        let s3 = "destination = \"s3://bucket/some/where\"\n[backup.options]\nregion = \"eu-west-3\"\n";
        let config = parse(here.path(), s3).unwrap();
        assert_eq!(config.vault.destination.location("x"), "s3://bucket/some/where/x");
        assert_eq!((config.backup_jobs, parse(here.path(), "jobs = 4").unwrap().backup_jobs), (1, 4));
        let rest = format!("recipients = [\"{RECIPIENT}\"]\nkeep = 14\nkeep_for = \"30d\"");
        let config = parse(here.path(), &rest).unwrap();
        assert!(config.vault.streams());
        let month = Duration::from_hours(30 * 24);
        assert_eq!(config.vault.retention, Retention { keep: Some(14), keep_for: Some(month) });
    }

    #[test]
    fn secrets_stand_in_private_files_and_nowhere_in_what_is_shown() {
        use std::os::unix::fs::PermissionsExt as _;
        let here = tempfile::tempdir().unwrap();
        let secret = here.path().join("secret");
        std::fs::write(&secret, "hunter2\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
        let backup = "destination = \"s3://bucket\"\n[backup.options]\naccess_key_id = \"me\"\n\
                      secret_access_key_file = \"secret\"\nregion = \"eu\"\n";
        mode(0o644);
        let error = parse(here.path(), backup).unwrap_err();
        assert!(error.contains("chmod 600") && !error.contains("hunter2"), "{error}");
        mode(0o600);
        let config = parse(here.path(), backup).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let gone = backup.replace("\"secret\"", "\"nowhere\"");
        assert!(parse(here.path(), &gone).unwrap_err().contains("secret_access_key_file"));
    }

    #[test]
    fn each_mistake_has_its_error() {
        let here = tempfile::tempdir().unwrap();
        let s3 = |options: &str| format!("destination = \"s3://b/p\"\n[backup.options]\n{options}\n");
        let cases = [
            ("destination = \"ftp://b\"".to_owned(), "agent.toml:3:15: `ftp://b` is no destination"),
            ("destination = \"s3://\"".to_owned(), "is no destination"),
            ("destination = \"s3://b/../c\"".to_owned(), "can't be used"),
            ("destination = \"s3://b\"\ndirectory = \"x\"".to_owned(), "keep one of them"),
            (s3("colour = \"red\""), "`colour` is not an option of S3"),
            (s3("endpoint = \"http://127.0.0.1:9000\""), "write `allow_http = true`"),
            (s3("token = \"a\"\ntoken_file = \"b\""), "keep one of them"),
            ("[backup.options]\nregion = \"x\"".to_owned(), "belong to a destination"),
            ("keep = 0".to_owned(), "at least one backup stays"),
            ("keep_for = \"soon\"".to_owned(), "agent.toml:3:12"),
            ("jobs = 0".to_owned(), "agent.toml:3:8: write a number of jobs from 1 to 64"),
            ("jobs = 2\ndestination = \"s3://b/p\"".to_owned(), "goes into no bucket"),
            (format!("jobs = 2\nrecipients = [\"{RECIPIENT}\"]"), "is not encrypted"),
            ("jobs = 2\ncommand = [\"/bin/true\"]".to_owned(), "keep one of them"),
            ("recipients = [\"age1x\"]".to_owned(), "age-keygen"),
            ("recipients = [\"AGE-SECRET-KEY-1ABC\"]".to_owned(), "keep it elsewhere"),
        ];
        for (backup, expected) in cases {
            let error = parse(here.path(), &backup).unwrap_err();
            assert!(error.contains(expected), "{backup}\n gave {error}");
        }
    }
}
