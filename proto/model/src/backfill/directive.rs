//! The comment above a statement: `-- stopover: backfill key=id batch_time=50ms`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration;

/// What the author of a backfill asks for. What is not said here the pipeline's stage says, or else the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directive {
    /// The columns that the batches walk along, in order; empty: the primary key.
    pub key: Vec<String>,
    /// How long a batch should take: the time for which it holds its row locks.
    #[serde(default, with = "duration::optional")]
    pub batch_time: Option<Duration>,
    /// Rows a second, at most.
    pub max_rate: Option<u32>,
    /// Between two batches.
    #[serde(default, with = "duration::optional")]
    pub pause: Option<Duration>,
    pub order: Order,
    /// Ranges of the key that are worked on at the same time, each in a session of its own.
    pub workers: Option<u8>,
}

/// Along the key, or against it: newest rows first, say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    #[default]
    Ascending,
    Descending,
}

/// A directive that is not understood. It is never passed over: the statement would run as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DirectiveError(String);

impl Directive {
    pub const MOST_WORKERS: u8 = 8;
    const OPTIONS: [&'static str; 6] = ["key", "batch_time", "max_rate", "pause", "order", "workers"];

    /// Reads what follows `stopover:` in a comment.
    pub fn parse(text: &str) -> Result<Self, DirectiveError> {
        let mut words = words(text).into_iter();
        match words.next() {
            Some("backfill") => {}
            Some(other) => return Err(unknown_directive(other)),
            None => return fail("`stopover:` says nothing; write `-- stopover: backfill`, or remove it"),
        }
        let mut directive = Self::default();
        let mut seen = Vec::new();
        for word in words {
            let Some((name, value)) = word.split_once('=').filter(|(_, value)| !value.is_empty()) else {
                return fail(format!(
                    "`{}` is no option of a backfill; options are written name=value without spaces: {}",
                    word.escape_debug(),
                    Self::OPTIONS.join(", ")
                ));
            };
            if seen.contains(&name) {
                return fail(format!("the option {name} of the backfill is given twice; keep one"));
            }
            seen.push(name);
            directive.set(name, value)?;
        }
        Ok(directive)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), DirectiveError> {
        let time = || match duration::parse(value) {
            Ok(time) if time > Duration::ZERO => Ok(time),
            Ok(_) => fail(format!("{name}={value}: a time of nothing is none; leave the option out")),
            Err(message) => fail(format!("{name}: {message}")),
        };
        match name {
            "key" => self.key = key(value)?,
            "batch_time" => self.batch_time = Some(time()?),
            "pause" => self.pause = Some(time()?),
            "max_rate" => {
                let rate = value.replace('_', "").parse().ok().filter(|rate| *rate > 0);
                self.max_rate = Some(rate.map_or_else(
                    || fail(format!("max_rate={value}: write rows a second, such as max_rate=5_000")),
                    Ok,
                )?);
            }
            "order" => {
                self.order = match value {
                    "asc" => Order::Ascending,
                    "desc" => Order::Descending,
                    _ => return fail(format!("order={value}: write order=asc or order=desc")),
                };
            }
            "workers" => {
                let workers = value.parse().ok().filter(|n| (1..=Self::MOST_WORKERS).contains(n));
                self.workers = Some(workers.map_or_else(
                    || fail(format!("workers={value}: write a number from 1 to {}", Self::MOST_WORKERS)),
                    Ok,
                )?);
            }
            _ => {
                let nearest = nearest(name, &Self::OPTIONS);
                let known = Self::OPTIONS.join(", ");
                let hint = nearest.map_or_else(
                    || format!("there are {known}"),
                    |nearest| format!("did you mean {nearest}? There are {known}"),
                );
                return fail(format!("{} is no option of a backfill; {hint}", name.escape_debug()));
            }
        }
        Ok(())
    }
}

fn fail<T>(message: impl Into<String>) -> Result<T, DirectiveError> {
    Err(DirectiveError(message.into()))
}

fn unknown_directive(word: &str) -> DirectiveError {
    let shown: String = word.chars().take(40).flat_map(char::escape_debug).collect();
    let hint = match nearest(word, &["backfill"]) {
        Some(_) => "did you mean `backfill`?",
        None => "there is `backfill`; remove the comment when it is not meant for Stopover",
    };
    DirectiveError(format!("the directive `stopover: {shown}` is not known; {hint}"))
}

fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let scored = known.iter().map(|name| (strsim::damerau_levenshtein(word, name), *name));
    scored.min().filter(|(distance, _)| *distance <= 3).map(|(_, name)| name)
}

/// The words of the comment; a quoted name may hold spaces.
fn words(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let split = text.split(move |c: char| {
        quoted ^= c == '"';
        !quoted && c.is_whitespace()
    });
    split.filter(|word| !word.is_empty()).collect()
}

/// `id`, or `tenant,"Id"`, as SQL reads names.
fn key(value: &str) -> Result<Vec<String>, DirectiveError> {
    let mut quoted = false;
    let parts = value.split(move |c: char| {
        quoted ^= c == '"';
        !quoted && c == ','
    });
    let mut columns = Vec::new();
    for part in parts {
        match part.parse::<crate::sql::Name>() {
            Ok(name) if name.schema.is_none() && !columns.contains(&name.name) => columns.push(name.name),
            _ => {
                return fail(format!(
                    "key={}: write the columns of the key with commas and no spaces, such as key=tenant_id,id",
                    value.escape_debug()
                ));
            }
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Directive::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn every_option_is_read() {
        assert_eq!(Directive::parse("backfill"), Ok(Directive::default()));
        let all =
            "backfill key=tenant,\"The Id\" batch_time=50ms max_rate=5_000 pause=1s order=desc workers=2";
        assert_eq!(
            Directive::parse(all),
            Ok(Directive {
                key: vec!["tenant".to_owned(), "The Id".to_owned()],
                batch_time: Some(Duration::from_millis(50)),
                max_rate: Some(5_000),
                pause: Some(Duration::from_secs(1)),
                order: Order::Descending,
                workers: Some(2),
            })
        );
    }

    #[test]
    fn what_is_not_understood_names_itself_and_the_way_out() {
        for (text, expected) in [
            ("backfil", "did you mean `backfill`?"),
            ("", "says nothing"),
            ("throttle", "the directive `stopover: throttle` is not known"),
            ("backfill batchtime=5ms", "did you mean batch_time?"),
            ("backfill key", "written name=value"),
            ("backfill key=", "written name=value"),
            ("backfill key=a,,b", "write the columns of the key"),
            ("backfill key=s.a", "write the columns of the key"),
            ("backfill key=a,A", "write the columns of the key"),
            ("backfill batch_time=50", "write a number and a unit"),
            ("backfill pause=0s", "leave the option out"),
            ("backfill max_rate=0", "rows a second"),
            ("backfill max_rate=fast", "rows a second"),
            ("backfill order=up", "order=asc or order=desc"),
            ("backfill workers=0", "from 1 to 8"),
            ("backfill workers=2 workers=3", "given twice"),
        ] {
            assert!(error(text).contains(expected), "{text}: {}", error(text));
        }
    }
}
