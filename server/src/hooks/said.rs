//! What receivers say: `{"status": "passed"}`, or `{"status": "failed", "reason": "2 tests failed"}`.

use serde::Deserialize;
use stopover_model::gate::HookOutcome;

/// Of a reason; the rest is left out.
const LONGEST_REASON: usize = 1_000;

#[derive(Debug, Deserialize)]
pub(crate) struct Said {
    status: Status,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Passed,
    Failed,
}

impl Said {
    /// What else is in it is its sender's own business.
    pub(crate) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    pub(crate) fn outcome(self) -> HookOutcome {
        let reason = self.reason.map(|reason| words(&reason)).filter(|reason| !reason.is_empty());
        match self.status {
            Status::Passed => HookOutcome::Passed { reason },
            Status::Failed => {
                HookOutcome::Failed { reason: reason.unwrap_or_else(|| "no reason was given".into()) }
            }
        }
    }
}

fn words(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(LONGEST_REASON).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_taken_as_it_is_meant_and_nothing_else_passes() {
        let outcome = |body: &str| Said::read(body.as_bytes()).map(Said::outcome).map_err(drop);
        assert_eq!(outcome("{\"status\": \"passed\"}"), Ok(HookOutcome::Passed { reason: None }));
        let failed = |reason: &str| Ok(HookOutcome::Failed { reason: reason.into() });
        assert_eq!(outcome("{\"status\": \"failed\"}"), failed("no reason was given"));
        assert_eq!(outcome("{\"status\": \"failed\", \"reason\": \"a\\u001b[2Jb\\n\"}"), failed("a [2Jb"));
        for other in ["", "ok", "{}", "{\"status\": \"PASSED\"}", "{\"status\": true}", "[]"] {
            assert!(outcome(other).is_err(), "{other}");
        }
        let long = format!("{{\"status\": \"failed\", \"reason\": \"{}\"}}", "x".repeat(5_000));
        assert_eq!(outcome(&long), failed(&"x".repeat(1_000)));
    }
}
