//! Keeps one tunnel open, whatever happens to the network and to the server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stopover_model::cause;
use stopover_proto::tunnel::{KeepAlive, OpenTunnel};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Status};

use super::outage::Outage;
use crate::connection::{ServerUrl, tls_problem};
use crate::identity::{Identity, jittered};
use crate::work::Registry;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A tunnel that held this long was a good one: the next failure begins with a short pause.
const GOOD_AFTER: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);
/// For calls that end while the tunnel closes.
const GRACE: Duration = Duration::from_millis(500);
/// A new certificate waits this long for running steps before the tunnel is opened anew with it.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) struct Tunnels {
    pub(super) server: ServerUrl,
    pub(super) identities: watch::Receiver<Identity>,
    pub(super) routes: Routes,
    pub(super) work: Arc<Registry>,
    pub(super) close: CancellationToken,
}

impl Tunnels {
    /// Runs until it is closed.
    pub(super) async fn keep_open(mut self) {
        let server = self.server.to_string();
        let (mut outage, mut pause) = (Outage::default(), FIRST_PAUSE);
        while !self.close.is_cancelled() {
            let identity = self.identities.borrow_and_update().clone();
            let opened = tokio::select! {
                () = self.close.cancelled() => return,
                opened = open(&self.server, &identity) => opened,
            };
            match opened {
                Ok(tunnel) => {
                    outage.ends(&server);
                    let since = Instant::now();
                    match self.serve(tunnel).await {
                        Some(why) => outage.goes_on(&server, why),
                        // Closed from here: for good, or for a new certificate.
                        None => continue,
                    }
                    if since.elapsed() >= GOOD_AFTER {
                        pause = FIRST_PAUSE;
                    }
                }
                Err(why) => outage.goes_on(&server, why),
            }
            tokio::select! {
                () = self.close.cancelled() => {}
                _ = self.identities.changed() => {}
                () = tokio::time::sleep(jittered(pause)) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Serves until the tunnel ends; says why when it was not closed from here.
    async fn serve(&mut self, tunnel: OpenTunnel) -> Option<String> {
        let close = self.close.child_token();
        let serving = tunnel.serve(self.routes.clone(), KeepAlive::default(), close.clone(), GRACE);
        let renewed = {
            let (mut identities, work, close) =
                (self.identities.clone(), Arc::clone(&self.work), close.clone());
            async move {
                if identities.changed().await.is_ok() {
                    rest(&work).await;
                    close.cancel();
                }
                std::future::pending::<Infallible>().await
            }
        };
        let ended = tokio::select! {
            ended = serving => ended,
            never = renewed => match never {},
        };
        (!close.is_cancelled()).then(|| ended.to_string())
    }
}

/// Waits for a moment without work. Work would go on without the tunnel, but its watchers would see a gap.
async fn rest(work: &Registry) {
    let deadline = Instant::now() + LONGEST_WAIT;
    while work.running() > 0 && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn open(server: &ServerUrl, identity: &Identity) -> Result<OpenTunnel, String> {
    let opening = async {
        let channel = identity.connect(server).await.map_err(|error| cause::once(&error))?;
        OpenTunnel::open(channel).await.map_err(|status| refusal(&status))
    };
    match tokio::time::timeout(PATIENCE, opening).await {
        Ok(opened) => opened,
        Err(_) => Err(format!("the server did not open the tunnel within {} s", PATIENCE.as_secs())),
    }
}

fn refusal(status: &Status) -> String {
    if let Some(problem) = tls_problem(status) {
        return problem.to_string();
    }
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => {
            let way_out = "let it join again with a new token if it should work here";
            format!("the server does not let this agent in: {}; {way_out}", status.message())
        }
        code => format!("the server could not open the tunnel ({code:?}): {}", status.message()),
    }
}
