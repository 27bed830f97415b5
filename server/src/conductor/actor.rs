//! One deployment's task: the only writer of its log on this server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use stopover_model::cause;
use stopover_model::decide::{Command, decide};
use stopover_model::deployment::{Deployment, IllegalEvent, StepState};
use stopover_model::event::{Event, Record, StepKey};
use stopover_model::follow_up::{FollowUpChange, follow_up_changes};
use stopover_model::id::{DeploymentId, EnvironmentName, OperatorName, Seq};
use stopover_model::notice::{self, Telling};
use stopover_model::plan::Measurement;
use stopover_model::quarantine::QuarantineChange;
use tokio::sync::mpsc;

use super::dispatch::{self, Call, Calling, Due};
use super::hooks::{self, HookCalls};
use super::keep::Keeping;
use super::load::{LoadError, load};
use super::message::{CallId, HookUpdate, Message, Update};
use super::world::Around;
use super::{ConductError, Request, Shared, projection, request};
use crate::hub::WatchItem;
use crate::store::{AppendError, Hold, Learned, StoreError};

/// How long to wait before the log is read again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The world is looked at so often even if nothing seems to happen: the wall clock may jump while a timer sleeps.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
/// Messages taken at a time; the lines among them are appended together.
const BATCH: usize = 256;

/// Runs a deployment until it has ended and nothing is under way.
pub(super) async fn run(
    shared: Arc<Shared>,
    id: DeploymentId,
    own: mpsc::WeakSender<Message>,
    mut inbox: mpsc::Receiver<Message>,
) {
    let mut world_changes = shared.registry.changes();
    let mut actor = match first_load(&shared, &id, &mut inbox).await {
        Ok(deployment) => Actor::new(Arc::clone(&shared), own, deployment),
        Err(error) => return give_up(&shared, &id, &mut inbox, &error).await,
    };
    let concerned = actor.deployment.pipeline.environments();
    loop {
        world_changes.mark_unchanged();
        let seen = shared.registry.changes_in(&concerned);
        actor.around.changed(seen);
        let sleep = match actor.settle().await {
            Ok(()) if actor.is_through() && retire(&shared, &id, &mut inbox) => return,
            Ok(()) => {
                actor.upsets = 0;
                actor.time_to_wake()
            }
            Err(Upset::Load(error)) if !matches!(error, LoadError::Store(_)) => {
                return give_up(&shared, &id, &mut inbox, &error).await;
            }
            Err(upset) => actor.recover(&upset),
        };
        let mut batch = Vec::new();
        tokio::select! {
            received = inbox.recv_many(&mut batch, BATCH) => if received == 0 { return },
            () = shared.registry.changed_in(&concerned, seen, &mut world_changes) => {}
            () = tokio::time::sleep(sleep) => {}
        }
        actor.take(batch).await;
    }
}

struct Actor {
    shared: Arc<Shared>,
    own: mpsc::WeakSender<Message>,
    deployment: Arc<Deployment>,
    kept: Keeping,
    /// What is in memory may not be what is stored: the log is read before anything else is done.
    stale: bool,
    /// In the state, and not in the log yet: nobody has heard of them, and nobody acts on them.
    unsaved: Vec<Record>,
    /// What statements took, of steps that are among those.
    measured: Vec<Measurement>,
    /// What those make of the quarantine.
    quarantine: Vec<QuarantineChange>,
    /// And of what is to be looked at later.
    follow_ups: Vec<FollowUpChange>,
    /// What people are to be told of those.
    tellings: Vec<Telling>,
    /// Steps to call as soon as the log says that they run, and whether nobody can have asked for them before.
    due: Vec<Due>,
    around: Around,
    /// The steps that are being listened to.
    calls: BTreeMap<StepKey, Call>,
    last_call: CallId,
    hooks: HookCalls,
    /// How many calls of a step were lost one after the other, without a sign of life in between.
    lost: BTreeMap<StepKey, u32>,
    wake: Option<Timestamp>,
    /// How often in a row nothing could be done.
    upsets: u32,
}

/// Why the state in memory is no longer to be trusted.
#[derive(Debug, thiserror::Error)]
enum Upset {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("decided on an event that has no place; this is a fault of the server")]
    Illegal(#[from] IllegalEvent),
}

impl Actor {
    fn new(shared: Arc<Shared>, own: mpsc::WeakSender<Message>, deployment: Deployment) -> Self {
        Self {
            shared,
            own,
            kept: Keeping::new(),
            deployment: Arc::new(deployment),
            stale: false,
            unsaved: Vec::new(),
            measured: Vec::new(),
            quarantine: Vec::new(),
            follow_ups: Vec::new(),
            tellings: Vec::new(),
            due: Vec::new(),
            around: Around::default(),
            calls: BTreeMap::new(),
            last_call: CallId(0),
            hooks: HookCalls::default(),
            lost: BTreeMap::new(),
            wake: None,
            upsets: 0,
        }
    }

    /// Does what is due until nothing is. All that follows from what has just happened goes into the log at once, and is
    /// acted on afterwards.
    async fn settle(&mut self) -> Result<(), Upset> {
        self.refresh().await?;
        loop {
            let in_flight = self.calls.keys().chain(self.due.iter().map(|(key, ..)| key)).cloned().collect();
            let errors = self.hooks.errors();
            let world = self.around.look(&self.shared, &self.deployment, in_flight, errors).await?;
            let commands = decide(&self.deployment, world, (self.shared.clock)());
            self.wake = None;
            let mut changed = false;
            let mut starting = false;
            for command in commands {
                let starts = matches!(command, Command::Start { .. });
                if changed && !(starting && starts) {
                    break;
                }
                starting = starts;
                changed |= self.carry_out(command).await?;
            }
            if !changed {
                break;
            }
        }
        self.save().await?;
        for steps in dispatch::together(&self.deployment, std::mem::take(&mut self.due)) {
            self.call(steps);
        }
        self.hooks.keep_up(&self.shared, &self.deployment, &self.own);
        for (step, call) in &mut self.calls {
            call.keep_to_window(&self.shared, &self.deployment, step);
        }
        self.kept.keep_up(&self.shared.store, &self.deployment).await;
        Ok(())
    }

    /// Whether the state has changed, so that the commands after this one no longer count.
    async fn carry_out(&mut self, command: Command) -> Result<bool, Upset> {
        match command {
            Command::Append(event) => {
                self.enter(vec![event]).await?;
                Ok(true)
            }
            Command::Start { step, attempt, agent } => {
                let epoch = self.shared.store.next_epoch().await?;
                let event = Event::StepStarted { step: step.clone(), attempt, epoch, agent };
                self.enter(vec![event]).await?;
                self.due.push((step, attempt, true));
                Ok(true)
            }
            Command::Attach { step, attempt, .. } => {
                self.due.push((step, attempt, false));
                Ok(true)
            }
            Command::CancelStep { step, .. } => {
                if let Some(call) = self.calls.get_mut(&step) {
                    call.cancel(&self.shared, &self.deployment, &step);
                }
                Ok(false)
            }
            Command::Withdraw { step, .. } => {
                if let Some(call) = self.calls.get_mut(&step) {
                    call.withdraw(&self.shared, &self.deployment, &step);
                }
                Ok(false)
            }
            Command::CallHook { stage, hook, attempt } => {
                self.hooks.due(stage, hook, attempt);
                Ok(false)
            }
            Command::WakeAt(at) => {
                self.wake = Some(self.wake.map_or(at, |earlier| earlier.min(at)));
                Ok(false)
            }
        }
    }

    /// One call for all of them.
    fn call(&mut self, steps: Vec<Due>) {
        let mut calling = Vec::with_capacity(steps.len());
        for (step, attempt, first) in steps {
            self.last_call = CallId(self.last_call.0 + 1);
            let (actor, id) = (self.own.clone(), self.last_call);
            let lost = self.lost.get(&step).copied().unwrap_or(0);
            calling.push(Calling { actor, step, attempt, id, first, lost });
        }
        self.calls.extend(dispatch::call(&self.shared, &self.deployment, calling));
    }

    /// Puts events into the state. They reach the log with [`Self::save`], all at once, and the watchers' eyes after that.
    async fn enter(&mut self, events: Vec<Event>) -> Result<(), Upset> {
        for event in events {
            let environment = held_by(&self.deployment, &event);
            if environment.is_some() {
                // It may be refused: nothing else is to be lost with it.
                self.save().await?;
            }
            let (deployment, at) = (self.deployment.id.clone(), (self.shared.clock)());
            let record = Record { deployment, seq: self.deployment.seq.next(), at, event };
            let tellings = notice::tellings(&self.deployment, &record);
            match Arc::make_mut(&mut self.deployment).apply(&record) {
                Ok(()) => {
                    self.tellings.extend(tellings);
                    if let Event::StepFinished { step, .. } = &record.event {
                        self.measured.extend(self.deployment.telling(step));
                        self.quarantine.extend(self.deployment.quarantine_change(step));
                    }
                    self.follow_ups.extend(follow_up_changes(&self.deployment, &record.event, record.at));
                    self.unsaved.push(record);
                }
                // A line that a call brought again is in the log already.
                Err(IllegalEvent::DuplicateLine { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some((environment, taken)) = &environment {
                let hold = if *taken { Hold::Take(environment) } else { Hold::Release(environment) };
                self.save_with(hold).await?;
                if !taken {
                    // Whoever waits for the environment looks again.
                    self.shared.registry.touch_in(environment);
                }
            }
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<(), Upset> {
        self.save_with(Hold::Keep).await
    }

    /// Puts what is new into the log, then before the watchers' eyes.
    async fn save_with(&mut self, hold: Hold<'_>) -> Result<(), Upset> {
        let records = std::mem::take(&mut self.unsaved);
        let measured = std::mem::take(&mut self.measured);
        let quarantine = std::mem::take(&mut self.quarantine);
        let follow_ups = std::mem::take(&mut self.follow_ups);
        let tellings = std::mem::take(&mut self.tellings);
        if records.is_empty() {
            return Ok(());
        }
        let _door = match hold {
            Hold::Take(environment) => Some(self.shared.acts.enter(environment).await?),
            Hold::Keep | Hold::Release(_) => None,
        };
        let projection = projection::of(&self.deployment);
        let learned = Learned {
            measured: &measured,
            quarantine: &quarantine,
            follow_ups: &follow_ups,
            tellings: &tellings,
        };
        self.shared.store.append_learned(&records, &projection, hold, learned).await?;
        for record in records {
            tracing::debug!(deployment = %self.deployment.id, seq = %record.seq, event = ?record.event, "appended");
            self.shared.hub.publish(&self.deployment.id, WatchItem::Record(Arc::new(record)));
        }
        Ok(())
    }

    /// Takes what has come in. It reaches the log together with what follows from it.
    async fn take(&mut self, batch: Vec<Message>) {
        let mut events = Vec::new();
        for message in batch {
            match message {
                Message::Update { step, call, update } => self.update(&mut events, step, call, update),
                Message::Hook { of, update: HookUpdate::Failed(error), .. } => self.hooks.failed(&of, error),
                Message::Hook { of, update: HookUpdate::Answered(outcome), reply } => {
                    self.enter_all(&mut events).await;
                    let answer = match self.refresh().await {
                        Ok(()) => self.put(hooks::event_of(of, outcome)).await,
                        Err(error) => Err(self.unreadable(error)),
                    };
                    // Nobody may wait for it: what was said before counts.
                    let _ = reply.map(|reply| reply.send(answer));
                }
                Message::Glance { also, reply } => {
                    self.enter_all(&mut events).await;
                    // Only what is in the log is shown; otherwise whoever asks reads that.
                    if self.refresh().await.is_ok() && self.saved().await {
                        let _ = reply.send(self.deployment.glance(&also));
                    }
                }
                Message::Request { by, request, reply } => {
                    self.enter_all(&mut events).await;
                    let answer = self.request(by, request).await;
                    let _ = reply.send(answer);
                }
            }
        }
        self.enter_all(&mut events).await;
    }

    fn update(&mut self, events: &mut Vec<Event>, step: StepKey, call: CallId, update: Update) {
        let Some(attempt) = self.calls.get(&step).filter(|c| c.id == call).map(|c| c.attempt) else {
            return;
        };
        let current = matches!(self.deployment.step(&step).map(|s| &s.state),
            Some(StepState::Running { attempt: running, .. }) if *running == attempt);
        if !current {
            self.calls.remove(&step);
            return;
        }
        if !matches!(update, Update::Lost) {
            self.lost.remove(&step);
        }
        match update {
            Update::Line { run, line_number, line } => {
                events.push(Event::StepLogged { step, attempt, run, line_number, line });
            }
            Update::Progress(progress) => {
                self.shared.hub.publish(&self.deployment.id, WatchItem::Progress(step, Box::new(progress)));
            }
            Update::Outcome(outcome) => {
                self.calls.remove(&step);
                events.push(Event::StepFinished { step, attempt, outcome: *outcome });
            }
            Update::Lost => {
                self.calls.remove(&step);
                let lost = self.lost.entry(step).or_default();
                *lost = lost.saturating_add(1);
            }
        }
    }

    /// What can't be stored is forgotten: it comes again with the next call.
    async fn enter_all(&mut self, events: &mut Vec<Event>) {
        if !events.is_empty()
            && let Err(upset) = self.enter(std::mem::take(events)).await
        {
            self.recover(&upset);
        }
    }

    /// Puts what is new into the log; whether it is there.
    async fn saved(&mut self) -> bool {
        match self.save().await {
            Ok(()) => true,
            Err(upset) => {
                self.recover(&upset);
                false
            }
        }
    }

    async fn request(&mut self, by: OperatorName, request: Request) -> Result<Seq, ConductError> {
        if let Err(error) = self.refresh().await {
            return Err(self.unreadable(error));
        }
        let event = request::event_of(&self.deployment, by, request)?;
        self.put(event).await
    }

    /// Puts an event that somebody else has made into the log.
    async fn put(&mut self, event: Event) -> Result<Seq, ConductError> {
        let environment = held_by(&self.deployment, &event).map(|(e, _)| e.to_string()).unwrap_or_default();
        let throttled = matches!(event, Event::Throttled { .. });
        let entered = match self.save().await {
            Ok(()) => self.enter(vec![event]).await,
            failed => failed,
        };
        let saved = match entered {
            Ok(()) => self.save().await,
            failed => failed,
        };
        match saved {
            Ok(()) => {
                if throttled {
                    for (step, call) in &self.calls {
                        dispatch::throttle(&self.shared, &self.deployment, step, call.attempt);
                    }
                }
                Ok(self.deployment.seq)
            }
            // Nothing was changed.
            Err(Upset::Illegal(error)) => Err(error.into()),
            Err(upset) => {
                self.recover(&upset);
                Err(match upset {
                    Upset::Append(AppendError::Held { by }) => ConductError::Held { environment, by },
                    Upset::Append(AppendError::Store(error)) | Upset::Store(error) => error.into(),
                    Upset::Load(error) => self.unreadable(error),
                    Upset::Append(_) | Upset::Illegal(_) => ConductError::Conflict,
                })
            }
        }
    }

    fn unreadable(&self, error: LoadError) -> ConductError {
        match error {
            LoadError::Store(error) => error.into(),
            LoadError::Missing => ConductError::NoDeployment(self.deployment.id.to_string()),
            LoadError::Unreadable(_) | LoadError::Senseless(_) => {
                ConductError::Unreadable(self.deployment.id.clone())
            }
        }
    }

    /// From here on only what is stored is true. Answers how long to wait before it is looked at.
    fn recover(&mut self, upset: &Upset) -> Duration {
        self.stale = true;
        // Lines that were not stored come again with the next call.
        self.calls.clear();
        self.unsaved.clear();
        self.measured.clear();
        self.quarantine.clear();
        self.follow_ups.clear();
        self.tellings.clear();
        self.due.clear();
        self.hooks.forget();
        self.around.forget();
        if let Upset::Append(AppendError::Held { by }) = upset {
            tracing::info!(deployment = %self.deployment.id, %by, "another deployment has taken the environment");
            return Duration::ZERO;
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.upsets)).min(LONGEST_PAUSE);
        self.upsets = self.upsets.saturating_add(1);
        let error = cause::chain(upset);
        tracing::error!(deployment = %self.deployment.id, error, ?pause, "reading the deployment's log again");
        pause
    }

    /// Reads the log where what is in memory may not be what is stored.
    async fn refresh(&mut self) -> Result<(), LoadError> {
        if self.stale {
            self.deployment = Arc::new(load(&self.shared.store, &self.deployment.id).await?);
            self.stale = false;
        }
        Ok(())
    }

    fn is_through(&self) -> bool {
        self.deployment.outcome.is_some() && self.calls.is_empty()
    }

    fn time_to_wake(&self) -> Duration {
        let now = (self.shared.clock)();
        let until = |at: Timestamp| Duration::try_from(now.until(at).unwrap_or_default()).unwrap_or_default();
        // A millisecond more, so that the time is over when it is looked at again.
        self.wake
            .map_or(LONGEST_SLEEP, |at| until(at).saturating_add(Duration::from_millis(1)).min(LONGEST_SLEEP))
    }
}

/// The environment that an event takes (true) or lets go (false).
fn held_by(deployment: &Deployment, event: &Event) -> Option<(EnvironmentName, bool)> {
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

/// Reads the log as soon as the store lets it be read; whoever asks for something meanwhile hears of it.
async fn first_load(
    shared: &Shared,
    id: &DeploymentId,
    inbox: &mut mpsc::Receiver<Message>,
) -> Result<Deployment, LoadError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match load(&shared.store, id).await {
            Err(LoadError::Store(error)) => error,
            loaded => return loaded,
        };
        tracing::error!(deployment = %id, error = cause::chain(&error), ?pause, "the deployment's log can't be read; trying again");
        let over = tokio::time::Instant::now() + pause;
        while let Ok(Some(message)) = tokio::time::timeout_at(over, inbox.recv()).await {
            refuse(message, || ConductError::StoreAway);
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
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

/// Leaves the deployment alone, and says so to whoever asks. The next request looks again.
async fn give_up(shared: &Shared, id: &DeploymentId, inbox: &mut mpsc::Receiver<Message>, error: &LoadError) {
    tracing::error!(deployment = %id, error = cause::chain(error), "the deployment does not go on");
    // In this order: once the inbox is closed, the map may hold the next actor.
    shared.actors().remove(id);
    inbox.close();
    while let Some(message) = inbox.recv().await {
        refuse(message, || match error {
            LoadError::Missing => ConductError::NoDeployment(id.to_string()),
            _ => ConductError::Unreadable(id.clone()),
        });
    }
}

fn refuse(message: Message, why: impl Fn() -> ConductError) {
    if let Message::Request { reply, .. } = message {
        let _ = reply.send(Err(why()));
    }
}
