//! What a stage's soak watches beside the migrations' own monitors: queries, HTTP targets, Prometheus; and what a monitor
//! has shown so far.
//!
//! Questions are asked by the agent, which also knows the tokens for them; here they are only described and judged.

mod evidence;
mod probe;
mod prometheus;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use evidence::{Evidence, Run, RunResult};
pub use probe::{HttpProbe, InvalidProbe, Probe, PrometheusProbe, Question};

/// `[[stage.monitor]]`: asked again and again through the soak of its stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageMonitor {
    #[serde(with = "crate::duration")]
    pub every: Duration,
    /// `for`: how long it has to fail without a break before that counts.
    #[serde(default, skip_serializing_if = "Duration::is_zero", with = "crate::duration")]
    pub patience: Duration,
    /// `unanswered = "fail"`: what can't be asked fails. Otherwise it holds the soak until it can be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silence_fails: bool,
    pub probe: Probe,
}

/// What the rules of a soak know of any monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm<'a> {
    pub name: &'a str,
    pub every: Duration,
    pub patience: Duration,
}

impl StageMonitor {
    #[must_use]
    pub fn rhythm(&self) -> Rhythm<'_> {
        Rhythm { name: &self.probe.name, every: self.every, patience: self.patience }
    }
}

impl crate::migration::Monitor {
    #[must_use]
    pub fn rhythm(&self) -> Rhythm<'_> {
        Rhythm { name: &self.check.name, every: self.every, patience: self.patience }
    }
}

impl Rhythm<'_> {
    /// So much later than it is due a run may begin without anything being missed: servers restart, and a run waits for
    /// another one on its database.
    #[must_use]
    pub fn slack(&self) -> Duration {
        (self.every / 2).clamp(Duration::from_secs(5), Duration::from_mins(5))
    }
}
