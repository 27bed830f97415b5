//! Where a database's password comes from. It is asked for again at each connection: tokens of clouds last minutes.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use secrecy::SecretString;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

const COMMAND_DEADLINE: Duration = Duration::from_secs(10);
const LONGEST: u64 = 64 * 1024;

#[derive(Clone)]
pub(super) enum PasswordSource {
    /// Trust, peer or certificate authentication.
    None,
    Url(SecretString),
    File(PathBuf),
    /// The program and its arguments; never empty.
    Command(Vec<String>),
}

/// Why there is no password. Never shows what a program printed: that may be half a secret.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("read the password_file {}; it must exist and be readable by the agent's user", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the password_file {} is empty; write the password into its first line", path.display())]
    EmptyFile { path: PathBuf },
    #[error(
        "run the password_command `{program}`; give its absolute path, and let the agent's user execute it"
    )]
    Run { program: String, source: std::io::Error },
    #[error(
        "the password_command `{program}` ended with {status}; run it by hand as the agent's user to see why"
    )]
    Failed { program: String, status: ExitStatus },
    #[error(
        "the password_command `{program}` printed nothing on its standard output; it must print the password"
    )]
    Silent { program: String },
    #[error("the password_command `{program}` gave no answer within {} s; run it by hand as the agent's user to see why", COMMAND_DEADLINE.as_secs())]
    Slow { program: String },
}

impl PasswordSource {
    pub(super) async fn get(&self) -> Result<Option<SecretString>, PasswordError> {
        match self {
            Self::None => Ok(None),
            Self::Url(password) => Ok(Some(password.clone())),
            Self::File(path) => {
                let text = tokio::fs::read_to_string(path)
                    .await
                    .map_err(|source| PasswordError::File { path: path.clone(), source })?;
                match text.lines().next().filter(|line| !line.is_empty()) {
                    Some(line) => Ok(Some(line.into())),
                    None => Err(PasswordError::EmptyFile { path: path.clone() }),
                }
            }
            Self::Command(command) => {
                let (program, arguments) =
                    command.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
                match tokio::time::timeout(COMMAND_DEADLINE, ask(program, arguments)).await {
                    Ok(answer) => answer.map(Some),
                    Err(_) => Err(PasswordError::Slow { program: program.to_owned() }),
                }
            }
        }
    }
}

async fn ask(program: &str, arguments: &[String]) -> Result<SecretString, PasswordError> {
    let failed = |source| PasswordError::Run { program: program.to_owned(), source };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mut printed = String::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LONGEST).read_to_string(&mut printed).await.map_err(failed)?;
    }
    let status = child.wait().await.map_err(failed)?;
    if !status.success() {
        return Err(PasswordError::Failed { program: program.to_owned(), status });
    }
    match printed.trim() {
        "" => Err(PasswordError::Silent { program: program.to_owned() }),
        password => Ok(password.into()),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn command(script: &str) -> PasswordSource {
        PasswordSource::Command(["/bin/sh", "-c", script].map(str::to_owned).into())
    }

    #[tokio::test]
    async fn a_command_is_asked_each_time_and_its_answer_trimmed() {
        let directory = tempfile::tempdir().unwrap();
        let count = directory.path().join("count");
        let source = command(&format!("echo x >> {0}; wc -l < {0}", count.display()));
        for expected in ["1", "2"] {
            assert_eq!(source.get().await.unwrap().unwrap().expose_secret(), expected);
        }
    }

    #[tokio::test]
    async fn a_failing_command_is_named_and_its_words_are_kept_back() {
        let error = command("echo hunter2; echo hunter3 >&2; exit 3").get().await.unwrap_err().to_string();
        assert!(error.contains("`/bin/sh` ended with exit status: 3"), "{error}");
        assert!(!error.contains("hunter"), "{error}");
        assert!(command("true").get().await.unwrap_err().to_string().contains("printed nothing"));
        let missing = PasswordSource::Command(vec!["/no/such/program".to_owned()]).get().await.unwrap_err();
        assert!(missing.to_string().contains("/no/such/program"));
    }

    #[tokio::test]
    async fn the_first_line_of_a_file_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "pass word \r\nnote\n").unwrap();
        let source = PasswordSource::File(path.clone());
        assert_eq!(source.get().await.unwrap().unwrap().expose_secret(), "pass word ");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(source.get().await.unwrap_err(), PasswordError::EmptyFile { .. }));
    }
}
