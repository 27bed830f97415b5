//! What a script says in a rehearsal, passed on in the rehearsal's own name.

use std::convert::Infallible;

use stopover_model::report::{LogLine, Progress, ProgressUnit};
use stopover_model::sql::notice_progress;

use crate::step::Reporter;

/// Passes on what the inner reporter hears.
pub(super) struct Relay<'a> {
    pub(super) inner: &'a Reporter,
    pub(super) outer: &'a Reporter,
    /// `001_x/up.sql`, with " again" where it runs for the second time.
    pub(super) script: String,
    pub(super) statements: u32,
}

impl Relay<'_> {
    /// Passes on lines and progress until it is dropped. Gives how far it got through `seen`.
    pub(super) async fn run(&self, seen: &mut u64) -> Infallible {
        let (mut lines, mut progress) = (self.inner.watch_lines(), self.inner.watch_progress());
        loop {
            self.flush(seen);
            tokio::select! {
                _ = lines.changed() => {}
                changed = progress.changed() => {
                    let now = progress.borrow_and_update().clone();
                    if let (Ok(()), Some(now)) = (changed, now) {
                        let doing = format!("{}: {}", self.script, now.doing);
                        self.outer.progress(Progress { doing, ..now });
                    }
                }
            }
        }
    }

    /// The lines behind those that were passed on.
    pub(super) fn flush(&self, seen: &mut u64) {
        for (number, line) in self.inner.lines_after(*seen) {
            *seen = number;
            self.pass(line);
        }
    }

    fn pass(&self, line: LogLine) {
        let script = &self.script;
        match line {
            LogLine::Message { text } => self.outer.message(format!("{script}: {text}")),
            // It is progress, which is shown as such.
            LogLine::Notice { text, .. } if notice_progress(&text).is_some() => {}
            LogLine::Notice { severity, code, text } => {
                let text = format!("{script}: {text}");
                self.outer.line(LogLine::Notice { severity, code, text });
            }
            LogLine::StatementStarted { index } => self.outer.progress(Progress {
                doing: format!("{script}: statement {} of {}", index + 1, self.statements),
                done: index.into(),
                total: self.statements.into(),
                unit: ProgressUnit::Checks,
                backfill: None,
            }),
            // The report has them, with more than this.
            LogLine::StatementFinished { .. } => {}
            LogLine::LockWait { index, blockers, .. } => {
                let who: Vec<_> = blockers.iter().map(ToString::to_string).collect();
                let text = format!("{script}: statement {} waits for {}", index + 1, who.join(", "));
                self.outer.message(text);
            }
        }
    }
}
