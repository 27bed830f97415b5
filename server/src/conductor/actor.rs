//! One deployment's task: the only writer of its log on this server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use stopover_model::decide::{Command, decide};
use stopover_model::deployment::{Deployment, IllegalEvent, StepState};
use stopover_model::event::{Event, Record, StepKey};
use stopover_model::id::{Attempt, DeploymentId, OperatorName, Seq};
use tokio::sync::mpsc;

use super::dispatch::{self, Call};
use super::message::{Message, Update};
use super::{ConductError, Request, Shared, projection, request};
use crate::hub::WatchItem;
use crate::store::{AppendError, Hold, StoreError};

/// How long to wait when the store fails, before the log is read again.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Messages taken at a time; the lines among them are appended together.
const BATCH: usize = 256;

/// Runs a deployment until it has ended and nothing is under way.
pub(super) async fn run(
    shared: Arc<Shared>,
    id: DeploymentId,
    own: mpsc::WeakSender<Message>,
    mut inbox: mpsc::Receiver<Message>,
) {
    let Some(deployment) = load(&shared, &id).await else {
        shared.actors().remove(&id);
        refuse_all(&mut inbox, &id).await;
        return;
    };
    let mut world_changes = shared.registry.changes();
    let mut actor =
        Actor { shared: Arc::clone(&shared), own, deployment, calls: BTreeMap::new(), wake: None };
    loop {
        world_changes.mark_unchanged();
        if let Err(error) = actor.settle().await {
            actor.recover(&error).await;
            continue;
        }
        if actor.is_through() && retire(&shared, &id, &mut inbox) {
            return;
        }
        let mut batch = Vec::new();
        let wake = actor.time_to_wake();
        tokio::select! {
            received = inbox.recv_many(&mut batch, BATCH) => if received == 0 { return },
            _ = world_changes.changed() => {}
            () = tokio::time::sleep(wake) => {}
        }
        if let Err(error) = actor.take(batch).await {
            actor.recover(&error).await;
        }
    }
}

struct Actor {
    shared: Arc<Shared>,
    own: mpsc::WeakSender<Message>,
    deployment: Deployment,
    /// The steps that are being listened to.
    calls: BTreeMap<StepKey, Call>,
    wake: Option<Timestamp>,
}

/// Why the state in memory is no longer to be trusted.
#[derive(Debug, thiserror::Error)]
enum Upset {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("decided on an event that has no place")]
    Illegal(#[from] IllegalEvent),
}

impl Actor {
    /// Does what is due until nothing is.
    async fn settle(&mut self) -> Result<(), Upset> {
        loop {
            let in_flight = self.calls.keys().cloned().collect();
            let world = self.shared.world(&self.deployment.id, in_flight).await?;
            let commands = decide(&self.deployment, &world, (self.shared.clock)());
            self.wake = None;
            let mut changed = false;
            for command in commands {
                changed |= self.carry_out(command).await?;
                if changed {
                    break;
                }
            }
            if !changed {
                return Ok(());
            }
        }
    }

    /// Whether the state has changed, so that the commands after this one no longer count.
    async fn carry_out(&mut self, command: Command) -> Result<bool, Upset> {
        match command {
            Command::Append(event) => {
                self.append(vec![event]).await?;
                Ok(true)
            }
            Command::Start { step, attempt, agent } => {
                let epoch = self.shared.store.next_epoch().await?;
                let event = Event::StepStarted { step: step.clone(), attempt, epoch, agent };
                self.append(vec![event]).await?;
                self.call(step, attempt);
                Ok(true)
            }
            Command::Attach { step, attempt, .. } => {
                self.call(step, attempt);
                Ok(true)
            }
            Command::CancelStep { step, attempt } => {
                if let Some(call) = self.calls.get_mut(&step) {
                    call.cancel(&self.shared, &self.deployment, &step, attempt);
                }
                Ok(false)
            }
            Command::WakeAt(at) => {
                self.wake = Some(self.wake.map_or(at, |earlier| earlier.min(at)));
                Ok(false)
            }
        }
    }

    fn call(&mut self, step: StepKey, attempt: Attempt) {
        let call = dispatch::call(&self.shared, &self.deployment, self.own.clone(), step.clone(), attempt);
        self.calls.insert(step, call);
    }

    /// Puts events into the log, then into the state and before the watchers' eyes.
    async fn append(&mut self, events: Vec<Event>) -> Result<(), Upset> {
        let at = (self.shared.clock)();
        let environment = events.iter().find_map(|event| held_by(&self.deployment, event));
        let mut records = Vec::with_capacity(events.len());
        for event in events {
            let deployment = self.deployment.id.clone();
            let record = Record { deployment, seq: self.deployment.seq.next(), at, event };
            match self.deployment.apply(&record) {
                Ok(()) => records.push(record),
                // A line that a call brought again is in the log already.
                Err(IllegalEvent::DuplicateLine { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        let hold = match &environment {
            Some((environment, true)) => Hold::Take(environment),
            Some((environment, false)) => Hold::Release(environment),
            None => Hold::Keep,
        };
        self.shared.store.append(&records, &projection::of(&self.deployment), hold).await?;
        for record in records {
            tracing::debug!(deployment = %self.deployment.id, seq = %record.seq, event = ?record.event, "appended");
            self.shared.hub.publish(&self.deployment.id, WatchItem::Record(Arc::new(record)));
        }
        if let Some((_, false)) = environment {
            // Whoever waits for the environment looks again.
            self.shared.registry.touch();
        }
        Ok(())
    }

    /// Takes what has come in; lines of steps are appended together.
    async fn take(&mut self, batch: Vec<Message>) -> Result<(), Upset> {
        let mut events = Vec::new();
        for message in batch {
            match message {
                Message::Update { step, attempt, update } => self.update(&mut events, step, attempt, update),
                Message::Request { by, request, reply } => {
                    self.append_all(&mut events).await?;
                    let answer = self.request(by, request).await;
                    let _ = reply.send(answer);
                }
            }
        }
        self.append_all(&mut events).await
    }

    fn update(&mut self, events: &mut Vec<Event>, step: StepKey, attempt: Attempt, update: Update) {
        // What an earlier call still says after a newer attempt began is nobody's business any more.
        let current = matches!(self.deployment.step(&step).map(|s| &s.state),
            Some(StepState::Running { attempt: running, .. }) if *running == attempt);
        if !current || !self.calls.contains_key(&step) {
            return;
        }
        match update {
            Update::Line { run, line_number, line } => {
                events.push(Event::StepLogged { step, attempt, run, line_number, line });
            }
            Update::Progress(progress) => {
                self.shared.hub.publish(&self.deployment.id, WatchItem::Progress(step, progress));
            }
            Update::Outcome(outcome) => {
                self.calls.remove(&step);
                events.push(Event::StepFinished { step, attempt, outcome });
            }
            Update::Lost => {
                self.calls.remove(&step);
            }
        }
    }

    async fn append_all(&mut self, events: &mut Vec<Event>) -> Result<(), Upset> {
        if events.is_empty() {
            return Ok(());
        }
        self.append(std::mem::take(events)).await
    }

    async fn request(&mut self, by: OperatorName, request: Request) -> Result<Seq, ConductError> {
        let event = request::event_of(&self.deployment, by, request)?;
        let environment = held_by(&self.deployment, &event).map(|(e, _)| e.to_string()).unwrap_or_default();
        match self.append(vec![event]).await {
            Ok(()) => Ok(self.deployment.seq),
            Err(Upset::Illegal(error)) => Err(error.into()),
            Err(upset) => {
                self.recover(&upset).await;
                Err(match upset {
                    Upset::Append(AppendError::Held { by }) => ConductError::Held { environment, by },
                    Upset::Append(AppendError::Store(error)) | Upset::Store(error) => error.into(),
                    Upset::Append(_) | Upset::Illegal(_) => ConductError::Conflict,
                })
            }
        }
    }

    /// Reads the log again: what is stored is what is true.
    async fn recover(&mut self, upset: &Upset) {
        if let Upset::Append(AppendError::Held { by }) = upset {
            tracing::info!(deployment = %self.deployment.id, %by, "another deployment has taken the environment");
        } else {
            let error = chain(upset);
            tracing::error!(deployment = %self.deployment.id, error, "reading the deployment's log again");
            tokio::time::sleep(STORE_PAUSE).await;
        }
        if let Some(deployment) = load(&self.shared, &self.deployment.id).await {
            self.deployment = deployment;
        }
        // Lines that were not stored come again with the next call.
        self.calls.clear();
    }

    fn is_through(&self) -> bool {
        self.deployment.outcome.is_some() && self.calls.is_empty()
    }

    fn time_to_wake(&self) -> Duration {
        const NEVER: Duration = Duration::from_hours(24);
        let now = (self.shared.clock)();
        let until = |at: Timestamp| Duration::try_from(now.until(at).unwrap_or_default()).unwrap_or_default();
        // A millisecond more, so that the time is over when it is looked at again.
        self.wake.map_or(NEVER, |at| (until(at) + Duration::from_millis(1)).min(NEVER))
    }
}

/// The environment that an event takes (true) or lets go (false).
fn held_by(deployment: &Deployment, event: &Event) -> Option<(stopover_model::id::EnvironmentName, bool)> {
    let environment = |stage| deployment.stage(stage).map(|s| s.spec.environment.clone());
    match event {
        Event::StageStarted { stage, .. } | Event::RollbackStarted { stage, .. } => {
            environment(*stage).map(|e| (e, true))
        }
        Event::StageFinished { stage, .. } => environment(*stage).map(|e| (e, false)),
        Event::Finished { .. } => {
            let open = deployment.stages.iter().find(|s| s.is_open());
            open.map(|s| (s.spec.environment.clone(), false))
        }
        _ => None,
    }
}

/// Reads a deployment's log; None where there is none, or where it makes no sense.
async fn load(shared: &Shared, id: &DeploymentId) -> Option<Deployment> {
    const PAGE: u32 = 5_000;
    let mut deployment: Option<Deployment> = None;
    loop {
        let after = deployment.as_ref().map_or(Seq::ZERO, |d| d.seq);
        let page = match shared.store.records(id, after, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(deployment = %id, error = chain(&error), "the deployment's log can't be read; trying again");
                tokio::time::sleep(STORE_PAUSE).await;
                continue;
            }
        };
        let Some(first) = page.first() else { return deployment };
        let folded = match deployment.take() {
            None => Deployment::open(first).and_then(|d| fold(d, &page[1..])),
            Some(d) => fold(d, &page),
        };
        match folded {
            Ok(d) => deployment = Some(d),
            Err(error) => {
                tracing::error!(deployment = %id, error = chain(&error),
                    "the deployment's log makes no sense; it is left alone. Restore the store from its backup");
                return None;
            }
        }
    }
}

fn fold(mut deployment: Deployment, records: &[Record]) -> Result<Deployment, IllegalEvent> {
    for record in records {
        deployment.apply(record)?;
    }
    Ok(deployment)
}

/// Takes the actor out of the map, unless something has come in for it.
fn retire(shared: &Arc<Shared>, id: &DeploymentId, inbox: &mut mpsc::Receiver<Message>) -> bool {
    let mut actors = shared.actors();
    if !inbox.is_empty() {
        return false;
    }
    actors.remove(id);
    drop(actors);
    // Whoever still holds a sender either finds the inbox closed and asks for the next actor, or was just in time: then the
    // next one gets the message from here.
    inbox.close();
    let mut late = Vec::new();
    while let Ok(message) = inbox.try_recv() {
        late.push(message);
    }
    if !late.is_empty() {
        let (next, tasks) = (shared.actor(id), &shared.tasks);
        tasks.spawn(async move {
            for message in late {
                let _ = next.send(message).await;
            }
        });
    }
    true
}

async fn refuse_all(inbox: &mut mpsc::Receiver<Message>, id: &DeploymentId) {
    inbox.close();
    while let Some(message) = inbox.recv().await {
        if let Message::Request { reply, .. } = message {
            let _ = reply.send(Err(ConductError::NoDeployment(id.to_string())));
        }
    }
}

/// An error with its sources, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
