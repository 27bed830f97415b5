//! What one caller gets of a piece of work: the lines that it does not have, the progress in between, the outcome last.

use std::sync::Arc;
use std::time::Duration;

use stopover_model::id::RunId;
use stopover_proto::v1;
use stopover_proto::v1::step_update::Kind;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::work::{Following, Work};

/// Nobody sees more than ten a second.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// While work stands behind what is followed, news go out together no more often than this: small migrations follow one
/// another within milliseconds, and each message costs both ends more than what it says.
const TOGETHER: Duration = Duration::from_millis(10);
/// A caller that reads slowly is waited for; the work is not.
const AHEAD: usize = 32;

pub(super) type Updates = ReceiverStream<Result<v1::StepUpdate, Status>>;

/// Work to follow, and the run and line of it that the caller has already.
pub(super) type Followed = (Arc<Work>, Option<(RunId, u64)>);

/// Follows pieces of work, one after the other, each from behind the line that the caller has, or from its beginning when
/// that line is of another run.
pub(super) fn follow(works: Vec<Followed>) -> Updates {
    let (updates, receiver) = mpsc::channel(AHEAD);
    let works: Vec<_> = works.into_iter().map(|(work, resume)| (work.follow(), resume)).collect();
    tokio::spawn(async move {
        let mut last_sent = Instant::now();
        let mut works = (0..).zip(works).peekable();
        while let Some((place, (work, resume))) = works.next() {
            let seen = resume.filter(|(run, _)| *run == work.run).map_or(0, |(_, line)| line);
            let (updates, goes_together) = (updates.clone(), works.peek().is_some());
            let mut follower = Follower { work, place, updates, seen, goes_together, last_sent };
            // An error says that the caller is gone; the work goes on.
            if follower.run().await.is_err() {
                return;
            }
            last_sent = follower.last_sent;
        }
    });
    ReceiverStream::new(receiver)
}

struct Follower {
    work: Following,
    place: u32,
    updates: mpsc::Sender<Result<v1::StepUpdate, Status>>,
    seen: u64,
    /// Work stands behind this.
    goes_together: bool,
    last_sent: Instant,
}

struct Gone;

impl Follower {
    async fn run(&mut self) -> Result<(), Gone> {
        let mut lines = self.work.reporter.watch_lines();
        let mut progress = self.work.reporter.watch_progress();
        let mut outcome = self.work.watch_outcome();
        progress.mark_changed();
        let mut next_progress = Instant::now();
        loop {
            // The outcome is looked at first: when it is there, no line comes after those that are sent now.
            let ended = outcome.borrow_and_update().clone();
            lines.mark_unchanged();
            for (line_number, line) in self.work.reporter.lines_after(self.seen) {
                self.seen = line_number;
                self.send(Kind::Line(v1::NumberedLine { line_number, line: Some(line.into()) })).await?;
            }
            if let Some(outcome) = ended {
                return self.send(Kind::Outcome(outcome.into())).await;
            }
            let due = progress.has_changed().unwrap_or(false);
            if due && Instant::now() >= next_progress {
                let latest = progress.borrow_and_update().clone();
                if let Some(latest) = latest {
                    next_progress = Instant::now() + PROGRESS_EVERY;
                    self.send(Kind::Progress(latest.into())).await?;
                }
                continue;
            }
            tokio::select! {
                _ = lines.changed() => {}
                _ = outcome.changed() => {}
                _ = progress.changed(), if !due => progress.mark_changed(),
                () = tokio::time::sleep_until(next_progress), if due => {}
                () = self.updates.closed() => return Err(Gone),
            }
            if self.goes_together {
                tokio::select! {
                    () = tokio::time::sleep_until(self.last_sent + TOGETHER) => {}
                    () = self.updates.closed() => return Err(Gone),
                }
            }
        }
    }

    async fn send(&mut self, kind: Kind) -> Result<(), Gone> {
        self.last_sent = Instant::now();
        let update = v1::StepUpdate { run: self.work.run.to_string(), place: self.place, kind: Some(kind) };
        self.updates.send(Ok(update)).await.map_err(|_| Gone)
    }
}
