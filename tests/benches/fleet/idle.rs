//! Agents that are connected and have nothing to do.

use std::time::Duration;

use stopover_tests::bench::{processor, resident};
use stopover_tests::{Simulated, SimulatedOptions, Stack, control};

use crate::figures::{row, server};

/// Each tunnel asks for a sign of life every ten seconds.
const WATCHED: Duration = Duration::from_secs(30);

#[expect(clippy::cast_precision_loss, reason = "shown as rounded numbers")]
pub(crate) async fn measure(count: usize) {
    let stack = Stack::start().await;
    let at_rest = resident(server(&stack));
    row("server, at rest", &format!("{:.1} MB", at_rest as f64 / 1e6), "25 MB");
    let control = control::connect(&stack).await;
    let environments = vec!["edge".to_owned(); count];
    let mut agents = Simulated::join(&stack, &control, &environments, &SimulatedOptions::default()).await;
    let joined = resident(server(&stack));
    let took = agents.connect().await;
    let rate = count as f64 / took.as_secs_f64().max(1e-9);
    row(&format!("{count} agents connect"), &format!("{rate:.0} a second"), "500");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = processor(server(&stack));
    tokio::time::sleep(WATCHED).await;
    let used = processor(server(&stack)).saturating_sub(before).as_secs_f64() / WATCHED.as_secs_f64();
    let each = resident(server(&stack)).saturating_sub(joined) as f64 / count as f64;
    row("server, for each connected agent", &format!("{:.1} kB", each / 1e3), "60 kB");
    row("heartbeats of all of them each 10 s", &format!("{:.1} % of a core", used * 100.0), "15 %");
    let all = resident(server(&stack)) as f64 / 1e6;
    row("server, with all of them", &format!("{all:.0} MB"), "");
}
