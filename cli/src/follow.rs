//! A deployment's log as it grows, through broken connections: from the last seq, without a gap or a double.
//!
//! Folds the records with the model's own `apply`, so that what is shown is what the server has.

use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt as _, future::BoxFuture};
use rand::RngExt as _;
use stopover_model::deployment::{Deployment, IllegalEvent, StageStatus};
use stopover_model::event::{Record, StageOutcome, StepKey};
use stopover_model::id::{EnvironmentName, Seq};
use stopover_model::report::Progress;
use stopover_proto::convert::field;
use stopover_proto::v1;
use stopover_proto::v1::watch_update::Kind;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::client::Control;
use crate::failure::{self, Failure, SIGN_IN_ENDED};

/// What a watcher learns.
#[derive(Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, most of them records")]
pub enum Update {
    /// Already in the state.
    Record(Record),
    Progress(StepKey, Progress),
    /// All that had happened before is told.
    CaughtUp,
    /// The connection is lost, for this reason; said once for each outage.
    Lost(String),
    /// It is there again.
    Back,
}

/// Where the log comes from.
pub trait Source: Send {
    fn open(&mut self, after: Seq) -> BoxFuture<'_, Result<Updates, Status>>;
}

pub type Updates = BoxStream<'static, Result<v1::WatchUpdate, Status>>;

/// How patient one is with a server that is away.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub first_pause: Duration,
    pub longest_pause: Duration,
    pub give_up: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
            give_up: Duration::from_mins(10),
        }
    }
}

/// The watch of one deployment on the server.
pub struct Watch {
    control: Control,
    deployment: String,
}

impl Watch {
    #[must_use]
    pub fn new(control: Control, deployment: impl Into<String>) -> Self {
        Self { control, deployment: deployment.into() }
    }
}

impl Source for Watch {
    fn open(&mut self, after: Seq) -> BoxFuture<'_, Result<Updates, Status>> {
        Box::pin(async move {
            let request = v1::WatchRequest { deployment: self.deployment.clone(), after_seq: after.0 };
            Ok(self.control.watch(request).await?.into_inner().boxed())
        })
    }
}

/// Follows a deployment to its end.
pub struct Follower<S> {
    source: S,
    patience: Patience,
    /// The end counts from this seq on: an earlier one was before what is waited for.
    least: Seq,
    /// The end of this environment's stage is an end too.
    stage: Option<EnvironmentName>,
    state: Option<Deployment>,
    updates: Option<Updates>,
    caught_up: bool,
    outage: Option<Outage>,
    /// Comes after [`Update::Back`].
    held: Option<Update>,
}

struct Outage {
    since: Instant,
    tries: u32,
}

impl<S: Source> Follower<S> {
    pub fn new(source: S, patience: Patience) -> Self {
        Self {
            source,
            patience,
            least: Seq::ZERO,
            stage: None,
            state: None,
            updates: None,
            caught_up: false,
            outage: None,
            held: None,
        }
    }

    /// Ends only after this record: for something that was asked for after an earlier end.
    #[must_use]
    pub fn not_before(mut self, seq: Seq) -> Self {
        self.least = seq;
        self
    }

    /// Ends with the stage of this environment already, however it ended.
    #[must_use]
    pub fn until_stage(mut self, environment: Option<EnvironmentName>) -> Self {
        self.stage = environment;
        self
    }

    /// The state with everything that was told; None before the first record.
    pub fn state(&self) -> Option<&Deployment> {
        self.state.as_ref()
    }

    /// The next thing that happens; None after the deployment's end.
    pub async fn next(&mut self) -> Result<Option<Update>, Failure> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        loop {
            if self.is_over() {
                return Ok(None);
            }
            let Some(updates) = &mut self.updates else {
                if let Some(update) = self.open().await? {
                    return Ok(Some(update));
                }
                continue;
            };
            let lost = match updates.next().await {
                Some(Ok(update)) => match self.take(update)? {
                    Taken::Update(update) if self.outage.take().is_some() => {
                        self.held = Some(*update);
                        return Ok(Some(Update::Back));
                    }
                    Taken::Update(update) => return Ok(Some(*update)),
                    Taken::Known => continue,
                    Taken::Gap => "a record is missing".to_owned(),
                },
                Some(Err(status)) if passes(&status) => said(&status),
                // It may have been renewed since the watch began; if not, the next try says so.
                Some(Err(status)) if failure::code_of(&status) == SIGN_IN_ENDED => {
                    self.updates = None;
                    continue;
                }
                Some(Err(status)) => return Err(status.into()),
                None => "the server ended the stream".to_owned(),
            };
            self.updates = None;
            if self.outage.is_none() && !self.is_over() {
                self.outage = Some(Outage { since: Instant::now(), tries: 0 });
                return Ok(Some(Update::Lost(lost)));
            }
        }
    }

    fn is_over(&self) -> bool {
        let ended = |state: &Deployment| {
            state.outcome.is_some()
                || self.stage.as_ref().is_some_and(|name| stage_outcome(state, name).is_some())
        };
        self.caught_up && self.state.as_ref().is_some_and(|s| ended(s) && s.seq >= self.least)
    }

    /// One try to open the stream, after a pause when the one before failed.
    async fn open(&mut self) -> Result<Option<Update>, Failure> {
        if let Some(outage) = &mut self.outage {
            if outage.since.elapsed() > self.patience.give_up {
                return Err(Failure::unreachable("the server has been away for too long")
                    .with_hint("the deployment goes on without us; come back with stopover watch"));
            }
            outage.tries += 1;
            tokio::time::sleep(pause(self.patience, outage.tries)).await;
        }
        let after = self.state.as_ref().map_or(Seq::ZERO, |s| s.seq);
        match self.source.open(after).await {
            Ok(updates) => {
                self.updates = Some(updates);
                Ok(None)
            }
            Err(status) if passes(&status) && self.outage.is_some() => Ok(None),
            Err(status) if passes(&status) && self.state.is_some() => {
                self.outage = Some(Outage { since: Instant::now(), tries: 0 });
                Ok(Some(Update::Lost(said(&status))))
            }
            Err(status) => Err(status.into()),
        }
    }

    fn take(&mut self, update: v1::WatchUpdate) -> Result<Taken, Failure> {
        match update.kind {
            Some(Kind::Record(record)) => self.fold(field::direct::read(record, "record")?),
            Some(Kind::Progress(progress)) => {
                let step = field::message::read(progress.step, "step")?;
                let progress = field::message::read(progress.progress, "progress")?;
                Ok(Taken::Update(Box::new(Update::Progress(step, progress))))
            }
            Some(Kind::CaughtUp(_)) => {
                let first = !std::mem::replace(&mut self.caught_up, true);
                let news = first || self.outage.is_some();
                Ok(if news { Taken::Update(Box::new(Update::CaughtUp)) } else { Taken::Known })
            }
            // Something that a later version tells.
            None => Ok(Taken::Known),
        }
    }

    fn fold(&mut self, record: Record) -> Result<Taken, Failure> {
        let last = self.state.as_ref().map_or(Seq::ZERO, |s| s.seq);
        if record.seq <= last {
            return Ok(Taken::Known);
        }
        if record.seq != last.next() {
            return Ok(Taken::Gap);
        }
        let folded = match &mut self.state {
            Some(state) => state.apply(&record),
            None => Deployment::open(&record).map(|state| self.state = Some(state)),
        };
        folded.map_err(|error| makes_no_sense(&error))?;
        Ok(Taken::Update(Box::new(Update::Record(record))))
    }
}

/// How the environment's stage ended, once it has.
#[must_use]
pub fn stage_outcome(deployment: &Deployment, environment: &EnvironmentName) -> Option<StageOutcome> {
    let stage = deployment.stages.iter().find(|stage| stage.spec.environment == *environment)?;
    match stage.status {
        StageStatus::Ended { outcome, .. } => Some(outcome),
        _ => None,
    }
}

/// A record that can't be folded.
pub(crate) fn makes_no_sense(error: &IllegalEvent) -> Failure {
    Failure::failed("the deployment's log makes no sense to this version")
        .because(error)
        .with_hint("the server may be newer: use the stopover that came with it")
}

enum Taken {
    Update(Box<Update>),
    /// Nothing new.
    Known,
    Gap,
}

/// Full jitter, so that a server that comes back is not met by all its watchers at once.
fn pause(patience: Patience, tries: u32) -> Duration {
    let most = patience.first_pause.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
    most.min(patience.longest_pause).mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// The server or the way to it is away; it may come back. A broken connection may be any of these codes.
fn passes(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::Aborted | Code::DeadlineExceeded => true,
        Code::Unknown | Code::Internal => std::error::Error::source(status).is_some(),
        _ => false,
    }
}

fn said(status: &Status) -> String {
    if status.message().is_empty() { status.code().to_string() } else { status.message().to_owned() }
}

#[cfg(test)]
mod tests;
