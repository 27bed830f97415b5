//! An agent whose every answer the test gives by hand, at the other end of a real tunnel.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use stopover_model::event::{StepKey, StepKind};
use stopover_model::migration::Variant;
use stopover_model::pipeline::BackupLevel;
use stopover_model::report::{
    BackupReport, Inspection, LogLine, MigrateReport, Outcome, RehearsalReport, RollbackReport, StepReport,
    VerifyReport,
};
use stopover_model::rollback::RollbackPlan;
use stopover_proto::tunnel::{Accepted, AgentChannel, KeepAlive, MAX_MESSAGE, OpenTunnel, Outbound, accept};
use stopover_proto::v1;
use stopover_proto::v1::agent_server::{Agent, AgentServer};
use stopover_proto::v1::step_update::Kind;
use stopover_proto::v1::tunnel_server::{Tunnel, TunnelServer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

type Updates = BoxStream<'static, Result<v1::StepUpdate, Status>>;
type BackupUpdates = BoxStream<'static, Result<v1::BackupUpdate, Status>>;

const RUN: &str = "00000000-0000-4000-8000-000000000001";

/// A call that waits for what the test says.
pub(super) struct Asked {
    pub(super) command: v1::Command,
    /// The migrations that came in the same call, behind this one.
    pub(super) then: Vec<v1::MigrateRequest>,
    /// It must not begin.
    pub(super) only_look: bool,
    /// Who says that it was taken back by hand.
    pub(super) by_hand: String,
    updates: mpsc::Sender<Result<v1::StepUpdate, Status>>,
    verdict: oneshot::Sender<Result<(), Status>>,
}

/// A wish to record that waits for what the test says.
pub(super) struct Recording {
    pub(super) request: v1::RecordRequest,
    pub(super) verdict: oneshot::Sender<Result<v1::RecordResponse, Status>>,
}

/// A call that was taken.
pub(super) struct Working {
    kind: StepKind,
    /// Of the migration that is spoken of.
    pub(super) place: u32,
    updates: mpsc::Sender<Result<v1::StepUpdate, Status>>,
}

impl Asked {
    pub(super) fn kind(&self) -> StepKind {
        StepKey::try_from(self.command.step.clone().unwrap()).unwrap().kind
    }

    pub(super) fn refuse(self, status: Status) {
        let _ = self.verdict.send(Err(status));
    }

    pub(super) fn take(self) -> Working {
        let kind = self.kind();
        self.verdict.send(Ok(())).unwrap();
        Working { kind, place: 0, updates: self.updates }
    }

    pub(super) async fn succeed(self) {
        self.take().succeed().await;
    }
}

impl Working {
    pub(super) async fn line(&self, line_number: u64) {
        let line = LogLine::Message { text: format!("line {line_number}") };
        self.send(Kind::Line(v1::NumberedLine { line_number, line: Some(line.into()) })).await;
    }

    pub(super) async fn end(self, outcome: Outcome) {
        self.say(outcome).await;
    }

    pub(super) async fn say(&self, outcome: Outcome) {
        self.send(Kind::Outcome(outcome.into())).await;
    }

    pub(super) async fn say_success(&self) {
        self.say(Outcome::Succeeded { report: report(self.kind) }).await;
    }

    pub(super) async fn succeed(self) {
        let report = report(self.kind);
        self.end(Outcome::Succeeded { report }).await;
    }

    async fn send(&self, kind: Kind) {
        // Nobody may be listening any more.
        let _ = self
            .updates
            .send(Ok(v1::StepUpdate { run: RUN.into(), place: self.place, kind: Some(kind) }))
            .await;
    }
}

#[derive(Clone)]
struct Fake {
    asked: mpsc::UnboundedSender<Asked>,
    recordings: mpsc::UnboundedSender<Recording>,
    cancels: Arc<AtomicU32>,
    /// From which cancel on there is something to cancel.
    hears_from: u32,
    plan: Arc<Mutex<RollbackPlan>>,
}

/// A tunnel with its agent. Dropped, both are gone.
pub(super) struct FakeAgent {
    pub(super) channel: AgentChannel,
    pub(super) asked: mpsc::UnboundedReceiver<Asked>,
    pub(super) recordings: mpsc::UnboundedReceiver<Recording>,
    pub(super) cancels: Arc<AtomicU32>,
    /// What a rollback would do, as the test has it.
    pub(super) plan: Arc<Mutex<RollbackPlan>>,
    stop: CancellationToken,
}

impl FakeAgent {
    pub(super) async fn open(hears_from: u32) -> Self {
        let (taken, mut channels) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let door = TunnelServer::new(Door(taken)).max_decoding_message_size(MAX_MESSAGE);
        let serving = Server::builder()
            .add_service(door)
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
        tokio::spawn(serving);
        let outer = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        let (asked, received) = mpsc::unbounded_channel();
        let (recordings, wishes) = mpsc::unbounded_channel();
        let cancels = Arc::new(AtomicU32::new(0));
        let plan = Arc::new(Mutex::new(RollbackPlan::default()));
        let fake =
            Fake { asked, recordings, cancels: Arc::clone(&cancels), hears_from, plan: Arc::clone(&plan) };
        let tunnel = OpenTunnel::open(outer).await.unwrap();
        let until = stop.clone();
        tokio::spawn(async move {
            let routes = Routes::new(AgentServer::new(fake));
            tunnel.serve(routes, KeepAlive::default(), until, Duration::ZERO).await
        });
        Self {
            channel: channels.recv().await.unwrap(),
            asked: received,
            recordings: wishes,
            cancels,
            plan,
            stop,
        }
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Door(mpsc::UnboundedSender<AgentChannel>);

#[tonic::async_trait]
impl Tunnel for Door {
    type OpenStream = Outbound;

    async fn open(&self, request: Request<Streaming<v1::Chunk>>) -> Result<Response<Outbound>, Status> {
        let Accepted { outbound, channel, .. } = accept(request.into_inner(), KeepAlive::default()).await?;
        self.0.send(channel).map_err(|_| Status::aborted("the test is over"))?;
        Ok(Response::new(outbound))
    }
}

impl Fake {
    async fn ask(&self, command: Option<v1::Command>) -> Result<Response<Updates>, Status> {
        self.ask_all(command, Vec::new(), false).await
    }

    async fn ask_all(
        &self,
        command: Option<v1::Command>,
        then: Vec<v1::MigrateRequest>,
        only_look: bool,
    ) -> Result<Response<Updates>, Status> {
        self.say(|updates, verdict| {
            let (command, by_hand) = (command.unwrap(), String::new());
            Asked { command, then, only_look, by_hand, updates, verdict }
        })
        .await
    }

    async fn ask_by_hand(
        &self,
        command: Option<v1::Command>,
        by_hand: String,
    ) -> Result<Response<Updates>, Status> {
        self.say(|updates, verdict| {
            let (command, then) = (command.unwrap(), Vec::new());
            Asked { command, then, only_look: false, by_hand, updates, verdict }
        })
        .await
    }

    async fn say(
        &self,
        asked: impl FnOnce(
            mpsc::Sender<Result<v1::StepUpdate, Status>>,
            oneshot::Sender<Result<(), Status>>,
        ) -> Asked,
    ) -> Result<Response<Updates>, Status> {
        let (updates, stream) = mpsc::channel(64);
        let (verdict, heard) = oneshot::channel();
        let asked = asked(updates, verdict);
        self.asked.send(asked).map_err(|_| Status::unavailable("the test is over"))?;
        heard.await.map_err(|_| Status::unavailable("the call was dropped"))??;
        Ok(Response::new(ReceiverStream::new(stream).boxed()))
    }
}

#[tonic::async_trait]
impl Agent for Fake {
    type InspectStream = Updates;
    type BackupStream = Updates;
    type RehearseStream = Updates;
    type MigrateStream = Updates;
    type VerifyStream = Updates;
    type MeasureStream = Updates;
    type RollbackStream = Updates;
    type VerifyBackupStream = BackupUpdates;
    type RestoreBackupStream = BackupUpdates;

    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn inspect(&self, request: Request<v1::InspectRequest>) -> Result<Response<Updates>, Status> {
        self.ask(request.into_inner().command).await
    }

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Result<Response<Updates>, Status> {
        self.ask(request.into_inner().command).await
    }

    async fn rehearse(&self, request: Request<v1::RehearseRequest>) -> Result<Response<Updates>, Status> {
        self.ask(request.into_inner().command).await
    }

    async fn migrate(&self, request: Request<v1::MigrateRequest>) -> Result<Response<Updates>, Status> {
        let request = request.into_inner();
        self.ask_all(request.command, request.then, request.only_look).await
    }

    async fn verify(&self, request: Request<v1::VerifyRequest>) -> Result<Response<Updates>, Status> {
        self.ask(request.into_inner().command).await
    }

    async fn measure(&self, request: Request<v1::MeasureRequest>) -> Result<Response<Updates>, Status> {
        self.ask(request.into_inner().command).await
    }

    async fn rollback(&self, request: Request<v1::RollbackRequest>) -> Result<Response<Updates>, Status> {
        let request = request.into_inner();
        self.ask_by_hand(request.command, request.by_hand).await
    }

    async fn read_history(
        &self,
        _: Request<v1::ReadHistoryRequest>,
    ) -> Result<Response<v1::ReadHistoryResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn read_drift(
        &self,
        _: Request<v1::ReadDriftRequest>,
    ) -> Result<Response<v1::ReadDriftResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn plan_rollback(
        &self,
        _: Request<v1::PlanRollbackRequest>,
    ) -> Result<Response<v1::PlanRollbackResponse>, Status> {
        let plan = self.plan.lock().unwrap().clone();
        let result = Some(v1::plan_rollback_response::Result::Plan(plan.into()));
        Ok(Response::new(v1::PlanRollbackResponse { result }))
    }

    async fn list_backups(
        &self,
        _: Request<v1::ListBackupsRequest>,
    ) -> Result<Response<v1::ListBackupsResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn verify_backup(
        &self,
        _: Request<v1::VerifyBackupRequest>,
    ) -> Result<Response<BackupUpdates>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn restore_backup(
        &self,
        _: Request<v1::RestoreBackupRequest>,
    ) -> Result<Response<BackupUpdates>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn accept_drift(
        &self,
        _: Request<v1::AcceptDriftRequest>,
    ) -> Result<Response<v1::AcceptDriftResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn read_saved(
        &self,
        _: Request<v1::ReadSavedRequest>,
    ) -> Result<Response<v1::ReadSavedResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn restore_saved(
        &self,
        _: Request<v1::RestoreSavedRequest>,
    ) -> Result<Response<v1::RestoreSavedResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn follow_up(
        &self,
        _: Request<v1::FollowUpRequest>,
    ) -> Result<Response<v1::FollowUpResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn purge_saved(
        &self,
        _: Request<v1::PurgeSavedRequest>,
    ) -> Result<Response<v1::PurgeSavedResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn record(
        &self,
        request: Request<v1::RecordRequest>,
    ) -> Result<Response<v1::RecordResponse>, Status> {
        let (verdict, heard) = oneshot::channel();
        let recording = Recording { request: request.into_inner(), verdict };
        self.recordings.send(recording).map_err(|_| Status::unavailable("the test is over"))?;
        heard.await.map_err(|_| Status::unavailable("the call was dropped"))?.map(Response::new)
    }

    async fn throttle(
        &self,
        _: Request<v1::ThrottleRequest>,
    ) -> Result<Response<v1::ThrottleResponse>, Status> {
        Ok(Response::new(v1::ThrottleResponse { was_running: false }))
    }

    async fn cancel(&self, _: Request<v1::CancelRequest>) -> Result<Response<v1::CancelResponse>, Status> {
        let count = self.cancels.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(Response::new(v1::CancelResponse { was_running: count >= self.hears_from }))
    }
}

pub(super) fn report(kind: StepKind) -> StepReport {
    let took = Duration::from_millis(1);
    match kind {
        StepKind::Inspect => StepReport::Inspected(Inspection {
            server_version: "15.18".into(),
            server_version_num: 150_018,
            system_identifier: "7".into(),
            database: "users".into(),
            database_bytes: 1,
            ..Inspection::default()
        }),
        StepKind::Backup | StepKind::RollbackBackup => StepReport::BackedUp(BackupReport {
            path: "/b".into(),
            bytes: 1,
            sha256: stopover_model::digest::Digest::from_bytes([1; 32]),
            level: BackupLevel::Recorded,
            database_bytes: 1,
            took,
            restore_command: "pg_restore /b".into(),
            id: None,
            encrypted: false,
            proof: None,
            only_tables: Vec::new(),
            whole_because: None,
            restore_point: None,
            command_output: None,
        }),
        StepKind::Rehearse => {
            StepReport::Rehearsed(RehearsalReport { copy_of: "/b".into(), took, migrations: vec![] })
        }
        StepKind::Migrate => StepReport::Migrated(MigrateReport {
            variant: Variant::Standard,
            already_applied: false,
            statements: 1,
            rows: 1,
            took,
            lock_retries: 0,
            fingerprint_before: None,
            fingerprint_after: None,
        }),
        StepKind::Verify | StepKind::Monitor => StepReport::Verified(VerifyReport { checks: vec![] }),
        StepKind::Measure => unreachable!("these inspections count nothing"),
        StepKind::Rollback => StepReport::RolledBack(RollbackReport {
            nothing_to_do: false,
            statements: 1,
            took,
            schema_restored: Some(true),
            differences: vec![],
            takes: Vec::new(),
            done: Vec::new(),
        }),
    }
}
