//! Waiting for an event with a deadline; no sleep stands for "surely done by now".

use std::future::Future;
use std::time::{Duration, Instant};

/// How long anything may take before the test has failed: long, because test machines are slow and shared.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// Looks again and again until `look` finds something.
///
/// # Panics
/// When the deadline passes; says what was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
