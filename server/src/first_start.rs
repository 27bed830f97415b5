//! The first operator: made when nobody holds an administrator's token that is good.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use jiff::Timestamp;
use stopover_model::audit::{AuditActor, AuditEntry, AuditOutcome};
use stopover_model::id::InvalidId;
use stopover_model::role::{Grants, Role};
use stopover_proto::token::OperatorToken;

use crate::data_dir::{DataDirError, write_private};
use crate::store::{NewToken, Store, StoreError};

const FIRST_OPERATOR: &str = "admin";

#[derive(Debug, thiserror::Error)]
pub enum FirstStartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    File(#[from] DataDirError),
    #[error("could not print the admin's token; start again with --admin-token-file FILE")]
    Print(#[source] io::Error),
    #[error(transparent)]
    Name(#[from] InvalidId),
}

/// What a first operator has to know.
#[derive(Debug, Clone, Copy)]
pub struct Welcome<'a> {
    pub address: SocketAddr,
    /// The first of the server's names.
    pub name: &'a str,
    /// The authority's certificate.
    pub ca: &'a Path,
    /// Where the token goes instead of `out`.
    pub token_file: Option<&'a Path>,
}

/// Makes a token of the operator `admin` where no administrator has one that is good, and shows it: nobody could make
/// another otherwise. Says whether it did.
///
/// The token is shown before it counts: a crash in between leaves a useless token and the next start makes another, while
/// the other way round nobody could ever get in.
pub async fn make_first_operator(
    store: &Store,
    welcome: Welcome<'_>,
    random: [u8; 32],
    now: Timestamp,
    mut out: impl Write + Send,
) -> Result<bool, FirstStartError> {
    if store.has_admin(now).await? {
        return Ok(false);
    }
    let first = store.operator_tokens().await?.is_empty();
    let token = OperatorToken::new(random);
    if let Some(file) = welcome.token_file {
        write_private(file, &format!("{}\n", token.expose()))?;
    } else {
        let print = out.write_all(welcome.text(&token, first).as_bytes()).and_then(|()| out.flush());
        print.map_err(FirstStartError::Print)?;
    }
    let (operator, hash) = (FIRST_OPERATOR.parse()?, token.hash());
    let new = NewToken {
        operator: &operator,
        hash: &hash,
        groups: &[],
        roles: &Grants::everywhere(Role::Admin),
        created_by: None,
        at: now,
        expires_at: None,
    };
    store.create_operator_token(new).await?;
    Ok(true)
}

/// What the audit log says of it.
#[must_use]
pub fn first_operator() -> AuditEntry {
    AuditEntry {
        by: AuditActor::Server,
        through: None,
        from: String::new(),
        what: "CreateToken".to_owned(),
        about: format!("operator {FIRST_OPERATOR}"),
        digest: None,
        outcome: AuditOutcome::Asked,
    }
}

impl Welcome<'_> {
    fn text(&self, token: &OperatorToken, first: bool) -> String {
        let why = if first {
            "This is the first start."
        } else {
            "No administrator has a token any more that is good."
        };
        let host = if self.name.contains(':') { format!("[{}]", self.name) } else { self.name.to_owned() };
        format!(
            "{why} The operator `{FIRST_OPERATOR}` has this token; it is not shown again:\n\n    \
             export STOPOVER_SERVER=https://{host}:{}\n    \
             export STOPOVER_CA={}\n    \
             export STOPOVER_TOKEN={}\n\n\
             With these set, `stopover environment list` answers. On another machine, copy the CA file there.\n\n",
            self.address.port(),
            self.ca.display(),
            token.expose()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_token_is_shown_once_and_opens_the_door() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_file(&dir.path().join("a.db")).await.unwrap();
        let welcome = Welcome {
            address: "127.0.0.1:7443".parse().unwrap(),
            name: "::1",
            ca: Path::new("/data/ca.pem"),
            token_file: None,
        };
        let mut out = Vec::new();
        let made =
            make_first_operator(&store, welcome, [7; 32], Timestamp::UNIX_EPOCH, &mut out).await.unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(made && text.contains("STOPOVER_SERVER=https://[::1]:7443\n"), "{text}");
        let token = text.split("STOPOVER_TOKEN=").nth(1).unwrap().lines().next().unwrap();
        let token: OperatorToken = token.parse().unwrap();
        let stored = store.operator_token(&token.hash()).await.unwrap().unwrap();
        assert!(stored.operator.as_str() == "admin" && stored.roles.is_admin(), "{stored:?}");

        let mut again = Vec::new();
        let file = dir.path().join("token");
        let welcome = Welcome { token_file: Some(&file), ..welcome };
        assert!(
            !make_first_operator(&store, welcome, [8; 32], Timestamp::UNIX_EPOCH, &mut again).await.unwrap()
        );
        assert!(again.is_empty() && !file.exists());
    }

    #[tokio::test]
    async fn the_token_goes_to_the_file_that_was_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_file(&dir.path().join("a.db")).await.unwrap();
        let file = dir.path().join("token");
        let welcome = Welcome {
            address: "127.0.0.1:7443".parse().unwrap(),
            name: "localhost",
            ca: Path::new("/data/ca.pem"),
            token_file: Some(&file),
        };
        let mut out = Vec::new();
        make_first_operator(&store, welcome, [7; 32], Timestamp::UNIX_EPOCH, &mut out).await.unwrap();
        assert!(out.is_empty());
        let token: OperatorToken = std::fs::read_to_string(&file).unwrap().parse().unwrap();
        assert!(store.operator_token(&token.hash()).await.unwrap().is_some());
    }
}
