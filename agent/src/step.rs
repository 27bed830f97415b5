//! What a step gets to work with: whose it is, its database, where to report, and when to stop.
//!
//! A step never knows who listens. Its [`Reporter`] keeps the lines for as long as the run is kept, so that a caller who
//! comes back reads on from where it was; progress is overwritten by what is newer.

mod pass;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stopover_model::backfill::Throttle;
use stopover_model::event::StepKey;
use stopover_model::id::{AgentName, Attempt, DeploymentId, EnvironmentName, Epoch, RunId};
use stopover_model::report::{LogLine, Progress};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::postgres::Database;
pub use pass::Pass;

/// Whose work it is and with what it is done.
#[derive(Clone)]
pub struct StepContext {
    pub agent: AgentName,
    pub environment: EnvironmentName,
    pub deployment: DeploymentId,
    pub step: StepKey,
    pub attempt: Attempt,
    pub epoch: Epoch,
    /// This run of the work, in this process.
    pub run: RunId,
    pub database: Arc<Database>,
    pub reporter: Reporter,
    pub cancel: CancellationToken,
    /// What a person says of the speed while it runs.
    pub throttle: watch::Receiver<Throttle>,
    /// Lets the work behind this begin before this has an outcome.
    pub pass: Pass,
    /// From then on no batch of a backfill begins, until that is said otherwise. None: there is no end.
    pub batches_until: watch::Receiver<Option<Instant>>,
}

/// Takes a running step's lines and progress, and gives them to any number of readers. Clones share one run.
#[derive(Debug, Clone, Default)]
pub struct Reporter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lines: Mutex<Vec<LogLine>>,
    /// How many lines there are.
    count: watch::Sender<u64>,
    progress: watch::Sender<Option<Progress>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { lines: Mutex::default(), count: watch::Sender::new(0), progress: watch::Sender::new(None) }
    }
}

impl Reporter {
    /// A run's lines are kept in memory and stored by the server: a script in a loop must not fill either.
    pub const MOST_LINES: usize = 10_000;

    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a durable line; from [`Self::MOST_LINES`] on they are dropped, which one last line says.
    pub fn line(&self, line: LogLine) {
        let mut lines = self.lines();
        match lines.len() {
            n if n < Self::MOST_LINES => lines.push(line),
            Self::MOST_LINES => {
                let text = format!("more than {} lines: the rest is not kept", Self::MOST_LINES);
                lines.push(LogLine::Message { text });
            }
            _ => return,
        }
        let count = lines.len() as u64;
        drop(lines);
        // Two writers may get here in either order; the count must not go back.
        self.shared.count.send_if_modified(|known| {
            let grew = count > *known;
            *known = count.max(*known);
            grew
        });
    }

    pub fn message(&self, text: impl Into<String>) {
        self.line(LogLine::Message { text: text.into() });
    }

    /// Replaces the progress that is shown.
    pub fn progress(&self, progress: Progress) {
        self.shared.progress.send_replace(Some(progress));
    }

    /// The lines behind line `number`, each with its own number; numbers begin at 1, so 0 asks for all.
    #[must_use]
    pub fn lines_after(&self, number: u64) -> Vec<(u64, LogLine)> {
        let lines = self.lines();
        let skipped = usize::try_from(number).unwrap_or(usize::MAX).min(lines.len());
        (number + 1..).zip(lines[skipped..].iter().cloned()).collect()
    }

    /// Tells of new lines: the value is how many there are.
    #[must_use]
    pub fn watch_lines(&self) -> watch::Receiver<u64> {
        self.shared.count.subscribe()
    }

    #[must_use]
    pub fn watch_progress(&self) -> watch::Receiver<Option<Progress>> {
        self.shared.progress.subscribe()
    }

    fn lines(&self) -> MutexGuard<'_, Vec<LogLine>> {
        self.shared.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &LogLine) -> &str {
        match line {
            LogLine::Message { text } => text,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_reader_goes_on_from_the_line_that_it_has() {
        let reporter = Reporter::new();
        reporter.message("one");
        let mut count = reporter.watch_lines();
        let writer = reporter.clone();
        let writing = tokio::spawn(async move { writer.message("two") });
        count.wait_for(|n| *n == 2).await.unwrap();
        writing.await.unwrap();
        let rest = reporter.lines_after(1);
        assert_eq!(rest.iter().map(|(n, line)| (*n, text(line))).collect::<Vec<_>>(), [(2, "two")]);
        assert_eq!(reporter.lines_after(0).len(), 2);
        assert_eq!(reporter.lines_after(9), []);
    }

    #[test]
    fn a_script_that_never_stops_talking_is_cut_off_with_a_word() {
        let reporter = Reporter::new();
        for n in 0..Reporter::MOST_LINES + 5 {
            reporter.message(n.to_string());
        }
        let lines = reporter.lines_after(0);
        assert_eq!(lines.len(), Reporter::MOST_LINES + 1);
        assert!(text(&lines.last().unwrap().1).contains("the rest is not kept"));
    }
}
