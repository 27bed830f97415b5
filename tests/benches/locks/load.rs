//! An application: clients that read and write single rows of the table at a steady rate.
//!
//! A request's latency counts from when it was due, as `pgbench --rate` counts it: whoever is kept waiting has its next
//! requests pile up, as an application's users do. How long a statement itself took is kept beside it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

const CLIENTS: u64 = 8;
/// Between two requests of a client.
const EVERY: Duration = Duration::from_millis(10);

/// What requests took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies {
    /// From when each was due.
    pub(crate) requests: Vec<Duration>,
    /// Of the slowest statement, from when it was sent.
    pub(crate) longest: Duration,
}

pub(crate) struct Load {
    taken: Arc<Mutex<Latencies>>,
    stop: CancellationToken,
    clients: JoinSet<()>,
}

impl Load {
    pub(crate) async fn start(config: &tokio_postgres::Config, rows: u64) -> Self {
        let (taken, stop) = (Arc::default(), CancellationToken::new());
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let (client, connection) = config.connect(NoTls).await.expect("a connection");
            tokio::spawn(connection);
            clients.spawn(work(client, number, rows, Arc::clone(&taken), stop.clone()));
        }
        Self { taken, stop, clients }
    }

    /// From here on anew.
    pub(crate) fn forget(&self) {
        self.take();
    }

    pub(crate) fn take(&self) -> Latencies {
        std::mem::take(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.clients.join_all().await;
    }
}

async fn work(client: Client, number: u64, rows: u64, taken: Arc<Mutex<Latencies>>, stop: CancellationToken) {
    let read = "SELECT email, name, plan, locale, last_login_at FROM users WHERE id = $1";
    let write = "UPDATE users SET last_login_at = now(), updated_at = now() WHERE id = $1";
    let read = client.prepare(read).await.expect("a statement");
    let write = client.prepare(write).await.expect("a statement");
    let mut due =
        Instant::now() + EVERY / u32::try_from(CLIENTS).unwrap_or(1) * u32::try_from(number).unwrap_or(0);
    let mut random = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    while !stop.is_cancelled() {
        sleep_until(due).await;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let id = i64::try_from((random >> 33) % rows + 1).unwrap_or(1);
        let statement = if (random >> 20).is_multiple_of(4) { &write } else { &read };
        let sent = Instant::now();
        client.query(statement, &[&id]).await.expect("an answer");
        let now = Instant::now();
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.requests.push(now - due);
        taken.longest = taken.longest.max(now - sent);
        drop(taken);
        due += EVERY;
    }
}
