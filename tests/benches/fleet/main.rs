//! What thousands of agents and of databases cost the server: memory and processor for each agent, connects a second, one
//! deployment over ten thousand databases, a thousand deployments at once, and how soon watchers see an event.
//!
//! Run it with `tests/bench fleet`, which builds everything in release mode first. The agents are simulated: real joins, real
//! tunnels, no database. `STOPOVER_BENCH_PARTS=idle,wide,many,events` picks parts of it; `STOPOVER_BENCH_AGENTS`,
//! `STOPOVER_BENCH_DATABASES` and `STOPOVER_BENCH_DEPLOYMENTS` say how many. Ten thousand agents need as many open files in
//! each of two processes (`ulimit -n 20000`), and 3 GB of memory for the simulated ones.

mod events;
mod figures;
mod idle;
mod many;
mod wide;
mod work;

use stopover_tests::bench::{number, say};

#[tokio::main]
async fn main() {
    let parts: String = number("STOPOVER_BENCH_PARTS", "idle,wide,many,events".to_owned());
    for part in parts.split(',') {
        match part {
            "idle" => idle::measure(number("STOPOVER_BENCH_AGENTS", 10_000)).await,
            "wide" => wide::measure(number("STOPOVER_BENCH_DATABASES", 10_000)).await,
            "many" => many::measure(number("STOPOVER_BENCH_DEPLOYMENTS", 1_000)).await,
            "events" => events::measure().await,
            other => say(&format!("there is no part {other}")),
        }
    }
}
