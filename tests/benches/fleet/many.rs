//! Many small deployments at once, each in an environment of its own.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use stopover_tests::bench::{ms, peak, processor};
use stopover_tests::{Simulated, SimulatedOptions, Stack, control};

use crate::figures::{row, server};
use crate::work::{deploy, ended, pipeline, timed};

#[expect(clippy::cast_precision_loss, reason = "shown as rounded numbers")]
pub(crate) async fn measure(count: usize) {
    let stack = Stack::start().await;
    let control = control::connect(&stack).await;
    let environments: Vec<_> = (0..count).map(|n| format!("env-{n:04}")).collect();
    let mut agents = Simulated::join(&stack, &control, &environments, &SimulatedOptions::default()).await;
    agents.connect().await;
    let one = |environment: &String| {
        let (mut control, environment) = (control.clone(), environment.clone());
        async move { pipeline(&mut control, &environment, &environment, "").await }
    };
    stream::iter(&environments).map(one).buffer_unordered(16).collect::<Vec<()>>().await;
    let (begun, processor_before) = (Instant::now(), processor(server(&stack)));
    let one = |(n, environment): (usize, &String)| {
        let (mut control, environment) = (control.clone(), environment.clone());
        async move { deploy(&mut control, &environment, "a", n).await }
    };
    stream::iter(environments.iter().enumerate()).map(one).buffer_unordered(64).collect::<Vec<_>>().await;
    row(
        &format!("{count} deployments were asked for within"),
        &format!("{:.1} s", begun.elapsed().as_secs_f64()),
        "",
    );
    let list = timed(&stack, &["list"]).await;
    // Not all of them fit into one list: an environment that is held is one whose deployment goes on.
    while !all_ended(&mut control.clone(), count).await {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let took = begun.elapsed();
    let used = processor(server(&stack)).saturating_sub(processor_before);
    let time = format!("{:.1} s ({:.0} a second)", took.as_secs_f64(), count as f64 / took.as_secs_f64());
    row(&format!("{count} deployments at once, to the end of the last"), &time, "");
    row("server's processor time for them", &format!("{:.1} s", used.as_secs_f64()), "");
    row("server's most memory", &format!("{} MB", peak(server(&stack))), "");
    row("stopover list, in the middle", &format!("{:.0} ms", ms(list)), "100 ms");
}

async fn all_ended(control: &mut control::Control, count: usize) -> bool {
    let newest = u32::try_from(count).unwrap_or(u32::MAX).min(200);
    if ended(control, newest).await < newest as usize {
        return false;
    }
    let request = stopover_proto::v1::ListEnvironmentsRequest {};
    let listed = control.list_environments(request).await.expect("a list").into_inner();
    listed.environments.iter().all(|environment| environment.held_by.is_empty())
}
