//! How soon watchers see what an agent says; it is durable before they do.

use std::time::{Duration, SystemTime};

use stopover_proto::v1::watch_update::Kind;
use stopover_proto::v1::{self, WatchRequest};
use stopover_tests::bench::{ms, percentile};
use stopover_tests::{Simulated, SimulatedOptions, Stack, control};

use crate::figures::row;
use crate::work::{deploy, pipeline};

const WATCHERS: usize = 10;
const A_SECOND: u32 = 1_000;
const SECONDS: u64 = 8;

pub(crate) async fn measure() {
    let stack = Stack::start().await;
    let mut control = control::connect(&stack).await;
    let options = SimulatedOptions { talk: (A_SECOND, SECONDS), ..SimulatedOptions::default() };
    let mut agents = Simulated::join(&stack, &control, &["staging".to_owned()], &options).await;
    agents.connect().await;
    pipeline(&mut control, "p", "staging", "").await;
    let id = deploy(&mut control, "p", "a", 1).await;
    let mut watching = Vec::new();
    for _ in 0..WATCHERS {
        // Each over a connection of its own.
        let (mut control, id) = (control::connect(&stack).await, id.clone());
        watching.push(tokio::spawn(async move { latencies(&mut control, id).await }));
    }
    let mut all = Vec::new();
    for watcher in watching {
        all.extend(watcher.await.expect("a watcher"));
    }
    all.sort_unstable();
    let shown =
        |percent| percentile(&all, percent).map_or("-".to_owned(), |time| format!("{:.1} ms", ms(time)));
    let what = format!("from agent to {WATCHERS} watchers, {A_SECOND} events a second");
    row(&format!("{what}: p50"), &shown(50), "");
    row(&format!("{what}: p99"), &shown(99), "10 ms");
    row("events that were seen", &all.len().to_string(), "");
}

/// Of the lines that carry the time at which they were said.
async fn latencies(control: &mut control::Control, deployment: String) -> Vec<Duration> {
    let request = WatchRequest { deployment, after_seq: 0 };
    let mut updates = control.watch(request).await.expect("a watch").into_inner();
    let mut all = Vec::new();
    while let Some(update) = updates.message().await.expect("an update") {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let Some(Kind::Record(record)) = update.kind else { continue };
        if let Some(said) = said(&record) {
            all.push(now.saturating_sub(said));
        }
    }
    all
}

fn said(record: &v1::Record) -> Option<Duration> {
    let Some(v1::event::Kind::StepLogged(logged)) = &record.event.as_ref()?.kind else { return None };
    let Some(v1::log_line::Kind::Message(text)) = &logged.line.as_ref()?.kind else { return None };
    text.parse().ok().map(Duration::from_nanos)
}
