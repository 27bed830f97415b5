//! One deployment over thousands of databases, many at a time.

use std::time::{Duration, Instant};

use stopover_tests::bench::{ms, peak, processor};
use stopover_tests::{Simulated, SimulatedOptions, Stack, control};

use crate::figures::{row, server};
use crate::work::{deploy, ended, pipeline, timed};

const AGENTS: usize = 50;
const PARALLEL: usize = 200;

#[expect(clippy::cast_precision_loss, reason = "shown as rounded numbers")]
pub(crate) async fn measure(databases: usize) {
    let mut stack = Stack::start().await;
    let mut control = control::connect(&stack).await;
    let each = databases.div_ceil(AGENTS);
    let options = SimulatedOptions { databases: each, ..SimulatedOptions::default() };
    let environments = vec!["fleet".to_owned(); AGENTS];
    let mut agents = Simulated::join(&stack, &control, &environments, &options).await;
    agents.connect().await;
    let keys = format!("waves = [\"canary:1\", \"10%\", \"100%\"]\nmax_parallel = {PARALLEL}");
    pipeline(&mut control, "fleet", "fleet", &keys).await;
    let (begun, processor_before) = (Instant::now(), processor(server(&stack)));
    let id = deploy(&mut control, "fleet", "a", 1).await;
    let mut in_the_middle = None;
    while ended(&mut control, 1).await == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if in_the_middle.is_none() && begun.elapsed() > Duration::from_secs(8) {
            let status = timed(&stack, &["status", &id]).await;
            in_the_middle = Some((status, timed(&stack, &["list"]).await));
        }
    }
    let took = begun.elapsed();
    let used = processor(server(&stack)).saturating_sub(processor_before);
    let all = each * AGENTS;
    let time = format!("{:.1} s ({:.0} a second)", took.as_secs_f64(), all as f64 / took.as_secs_f64());
    row(&format!("{all} databases, {PARALLEL} in parallel, each step 20 ms"), &time, "");
    row("server's processor time for it", &format!("{:.1} s", used.as_secs_f64()), "");
    row("server's most memory", &format!("{} MB", peak(server(&stack))), "200 MB");
    if let Some((status, list)) = in_the_middle {
        row("stopover status, in the middle", &format!("{:.0} ms", ms(status)), "100 ms");
        row("stopover list, in the middle", &format!("{:.0} ms", ms(list)), "100 ms");
    }
    for (name, args) in
        [("status", &["status", &id][..]), ("explain", &["explain", &id]), ("list", &["list"])]
    {
        let took = timed(&stack, args).await;
        row(&format!("stopover {name}, at the end"), &format!("{:.0} ms", ms(took)), "100 ms");
    }
    drop(agents);
    stack.server.as_mut().expect("the server").terminate().await;
    stack.start_server().await;
    let status = timed(&stack, &["status", &id]).await;
    row("stopover status, after a restart of the server", &format!("{:.0} ms", ms(status)), "100 ms");
}
