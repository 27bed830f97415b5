//! Deployments carried on by a real store, through a real tunnel, to an agent that says what the test wants.

mod acts;
mod agent;
mod calls;
mod fleet;
mod in_turn;
mod keep;
mod lint;
mod requests;
mod restores;
mod rollback;

use std::pin::Pin;

use futures::StreamExt as _;
use stopover_model::deployment::{Deployment, StepState};
use stopover_model::event::{DeploymentKind, DeploymentOutcome, Event, Record, StepKind};
use stopover_model::report::{Effect, ErrorClass};
use stopover_model::wave::Labels;
use stopover_proto::token::OperatorToken;
use tempfile::TempDir;
use tonic::Status;
use uuid::Uuid;

use super::*;
use crate::registry::{AgentLink, Connected};
use crate::testing::{caller, migration, now, pipeline, soon, store};
use agent::{Asked, FakeAgent};

/// A conductor with one environment, `staging`, whose database `users` an agent serves.
struct Bench {
    _dir: TempDir,
    store: Store,
    registry: Registry,
    conductor: Conductor,
    agent: FakeAgent,
    _connected: Connected,
}

impl Bench {
    async fn start() -> Self {
        Self::start_hearing_cancels_from(1).await
    }

    async fn start_hearing_cancels_from(hears_from: u32) -> Self {
        let (dir, store) = store().await;
        let (staging, name) = ("staging".parse().unwrap(), "a".parse().unwrap());
        store.create_environment(&staging, now()).await.unwrap();
        let token = OperatorToken::new([2; 32]).hash();
        let later = now() + jiff::SignedDuration::from_hours(1);
        store.create_join_token(&token, &staging, later).await.unwrap();
        store.redeem_join_token(&token, &name, now()).await.unwrap();
        let databases = vec!["users".parse().unwrap()];
        store
            .set_agent_databases(
                &name,
                &databases.iter().cloned().map(|d| (d, Labels::default())).collect(),
                "1",
                now(),
            )
            .await
            .unwrap();
        let agent = FakeAgent::open(hears_from).await;
        let channel = agent.channel.clone();
        let registry = Registry::default();
        let (version, databases) = ("1".into(), databases.into());
        let link = AgentLink { agent: name, environment: staging, databases, version, queues: true, channel };
        let connected = registry.connect(link);
        let conductor = Conductor::start(store.clone(), registry.clone(), caller(), now).await.unwrap();
        Self { _dir: dir, store, registry, conductor, agent, _connected: connected }
    }

    /// As after a restart of the server: nothing is left but the store, and the agent's work.
    async fn restart(&mut self) {
        self.conductor.shutdown().await;
        self.conductor =
            Conductor::start(self.store.clone(), self.registry.clone(), caller(), now).await.unwrap();
    }

    async fn deploy(&self, id: &str) -> DeploymentId {
        self.create(id, Uuid::new_v4()).await.unwrap()
    }

    async fn create(&self, id: &str, request_id: Uuid) -> Result<DeploymentId, ConductError> {
        self.create_of(&[id], request_id).await
    }

    async fn create_of(&self, ids: &[&str], request_id: Uuid) -> Result<DeploymentId, ConductError> {
        let new = Create {
            pipeline: pipeline("p"),
            migrations: ids.iter().map(|id| migration(id)).collect(),
            by: person(),
            kind: DeploymentKind::Migration,
            request_id,
            expected_digest: None,
            again: None,
            restore_saved: false,
        };
        Ok(self.conductor.create(new).await?.0)
    }

    async fn create_again(&self, id: &str, why: &str) -> Result<DeploymentId, ConductError> {
        let new = Create {
            pipeline: pipeline("p"),
            migrations: vec![migration(id)],
            by: person(),
            kind: DeploymentKind::Migration,
            request_id: Uuid::new_v4(),
            expected_digest: None,
            again: Some(why.to_owned()),
            restore_saved: false,
        };
        Ok(self.conductor.create(new).await?.0)
    }

    /// What would happen in the only database.
    async fn plan(
        &mut self,
        id: &str,
    ) -> Result<stopover_model::plan::TargetPlan, stopover_model::report::StepError> {
        let (conductor, migrations) = (self.conductor.clone(), [migration(id)].into());
        let planning = tokio::spawn(async move { conductor.plan(&pipeline("p"), &migrations).await });
        self.asked_for(StepKind::Inspect).await.succeed().await;
        let mut plan = planning.await.unwrap().unwrap();
        plan.stages.remove(0).targets.remove(0).plan
    }

    /// The next call to the agent.
    async fn asked(&mut self) -> Asked {
        soon("a call to the agent", self.agent.asked.recv()).await.unwrap()
    }

    /// The next call to the agent, which is of this kind, after those before it have succeeded.
    async fn asked_for(&mut self, kind: StepKind) -> Asked {
        loop {
            let asked = self.asked().await;
            if asked.kind() == kind {
                return asked;
            }
            asked.succeed().await;
        }
    }

    async fn ask(&self, id: &DeploymentId, request: Request) -> Result<Seq, ConductError> {
        soon("an answer", self.conductor.request(id, person(), request)).await
    }

    async fn follow(&self, id: &DeploymentId) -> Follower {
        let items = self.conductor.watch(id, Seq::ZERO).await.unwrap();
        Follower { items: Box::pin(items), state: None, records: Vec::new() }
    }

    /// The same of a deployment that has ended before.
    async fn finish_from_now(&mut self, id: &DeploymentId) -> Follower {
        let mut follower = self.follow(id).await;
        let ended = |d: &Deployment| d.outcome.is_some() && d.stages[0].rollback.is_some();
        loop {
            tokio::select! {
                asked = self.agent.asked.recv() => asked.unwrap().succeed().await,
                () = follower.until("its end", ended) => return follower,
            }
        }
    }

    /// All goes well from here on.
    async fn finish(&mut self, id: &DeploymentId) -> Follower {
        let mut follower = self.follow(id).await;
        loop {
            tokio::select! {
                asked = self.agent.asked.recv() => asked.unwrap().succeed().await,
                () = follower.until("its end", |d| d.outcome.is_some()) => return follower,
            }
        }
    }
}

fn person() -> OperatorName {
    "anna".parse().unwrap()
}

/// Folds what a watch brings.
struct Follower {
    items: Pin<Box<dyn Stream<Item = Result<WatchItem, StoreError>> + Send>>,
    state: Option<Deployment>,
    records: Vec<Record>,
}

impl Follower {
    async fn until(&mut self, what: &str, reached: impl Fn(&Deployment) -> bool) {
        while !self.state.as_ref().is_some_and(&reached) {
            let item = soon(what, self.items.next())
                .await
                .unwrap_or_else(|| panic!("the watch ended before {what}"));
            let WatchItem::Record(record) = item.unwrap() else { continue };
            match &mut self.state {
                Some(state) => state.apply(&record).unwrap(),
                None => self.state = Some(Deployment::open(&record).unwrap()),
            }
            self.records.push(Record::clone(&record));
        }
    }

    fn state(&self) -> &Deployment {
        self.state.as_ref().unwrap()
    }

    fn step(&self, kind: StepKind) -> &StepState {
        step(self.state(), kind)
    }

    /// The numbers of the lines in the log.
    fn lines(&self) -> Vec<u64> {
        let number = |record: &Record| match &record.event {
            Event::StepLogged { line_number, .. } => Some(*line_number),
            _ => None,
        };
        self.records.iter().filter_map(number).collect()
    }
}

/// The step of that kind in the only database.
fn step(deployment: &Deployment, kind: StepKind) -> &StepState {
    let keys = deployment.stages[0].targets[0].keys(StageIndex(0));
    let key = keys.into_iter().find(|k| k.kind == kind).unwrap();
    &deployment.step(&key).unwrap().state
}

fn has_ended(kind: StepKind) -> impl Fn(&Deployment) -> bool {
    move |d| d.stages[0].is_open() && !matches!(step(d, kind), StepState::Pending | StepState::Running { .. })
}
