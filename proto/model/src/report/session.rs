//! Other people's sessions: who blocks, who is at work.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration::human;

/// A session of the database's, as far as others may know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// 0: a prepared transaction, which no session holds any more.
    pub pid: i32,
    pub user: String,
    pub application: String,
    /// `active`, `idle in transaction`, …; of a prepared transaction its name.
    pub state: String,
    #[serde(with = "crate::duration")]
    pub transaction_age: Duration,
    /// Since its last query began; zero where nobody knows.
    #[serde(default, with = "crate::duration")]
    pub query_age: Duration,
    /// The query's first characters on one line, where the stage allows it: its text may hold values of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

impl Session {
    /// Who it is: `pid 4711 (psql as alice)`.
    #[must_use]
    pub fn who(&self) -> String {
        if self.is_prepared() {
            return format!("the prepared transaction {} of {}", self.state, self.user);
        }
        format!("pid {} ({})", self.pid, self.application_and_user())
    }

    /// Nobody's session holds it; COMMIT PREPARED or ROLLBACK PREPARED ends it.
    #[must_use]
    pub fn is_prepared(&self) -> bool {
        self.pid == 0
    }

    fn application_and_user(&self) -> String {
        let application =
            if self.application.is_empty() { "an application without a name" } else { &self.application };
        if self.user.is_empty() { application.to_owned() } else { format!("{application} as {}", self.user) }
    }
}

/// `pid 4711 (psql as alice, idle in transaction for 3m 05s)`, and the query where it may be shown.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_prepared() {
            return write!(f, "{}, for {}", self.who(), human(self.transaction_age));
        }
        write!(f, "pid {} ({}", self.pid, self.application_and_user())?;
        // Those who may not see more than the name see no state.
        if !self.state.is_empty() {
            write!(f, ", {} for {}", self.state, human(self.transaction_age))?;
            if !self.query_age.is_zero() && self.query_age + Duration::from_secs(1) < self.transaction_age {
                let age = human(self.query_age);
                match self.state.as_str() {
                    "active" => write!(f, ", its query for {age}")?,
                    _ => write!(f, ", its last query {age} ago")?,
                }
            }
        }
        f.write_str(")")?;
        self.query.as_ref().map_or(Ok(()), |query| write!(f, ": {query}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            pid: 7,
            user: "bob".into(),
            application: "report".into(),
            state: "active".into(),
            transaction_age: Duration::from_secs(185),
            query_age: Duration::from_secs(185),
            query: None,
        }
    }

    #[test]
    fn a_session_is_shown_by_what_is_known_of_it() {
        let queried = Session { query: Some("SELECT 1".into()), ..session() };
        let later = Session { query_age: Duration::from_secs(2), ..session() };
        let idle =
            Session { state: "idle in transaction".into(), application: String::new(), ..later.clone() };
        let hidden = Session { state: String::new(), transaction_age: Duration::ZERO, ..session() };
        let prepared = Session { pid: 0, state: "'x-1'".into(), ..session() };
        for (session, expected) in [
            (session(), "pid 7 (report as bob, active for 3m 05s)"),
            (queried, "pid 7 (report as bob, active for 3m 05s): SELECT 1"),
            (later, "pid 7 (report as bob, active for 3m 05s, its query for 2.0 s)"),
            (
                idle,
                "pid 7 (an application without a name as bob, idle in transaction for 3m 05s, its last query 2.0 s ago)",
            ),
            (hidden, "pid 7 (report as bob)"),
            (prepared, "the prepared transaction 'x-1' of bob, for 3m 05s"),
        ] {
            assert_eq!(session.to_string(), expected);
        }
    }

    #[test]
    fn a_session_from_an_older_log_is_read() {
        let old =
            r#"{"pid": 7, "user": "bob", "application": "", "state": "active", "transaction_age": "1s"}"#;
        let read: Session = serde_json::from_str(old).unwrap();
        assert_eq!((read.query_age, read.query), (Duration::ZERO, None));
    }
}
