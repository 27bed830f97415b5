//! Draws frames at the bottom of the terminal, with lines scrolling above them.

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::output::Output;
use crate::render::View;
use crate::render::line::Line;

/// The live part of the terminal.
pub struct Screen {
    output: Output,
    terminal: Term,
    bars: MultiProgress,
    /// One bar draws all lines at once, so that no half frame is ever seen.
    frame: ProgressBar,
}

impl Screen {
    #[must_use]
    pub fn new(output: Output) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let frame = bars.add(ProgressBar::no_length().with_style(style));
        Self { output, terminal: Term::stdout(), bars, frame }
    }

    /// What fits now; people resize terminals.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> (View, usize) {
        let (rows, columns) = self.terminal.size();
        // The last column is left free: some terminals wrap when it is written.
        let width = usize::from(columns).saturating_sub(1).max(20);
        (View { now, width }, usize::from(rows).saturating_sub(2).max(4))
    }

    pub fn draw(&self, lines: &[Line]) {
        let text: Vec<_> = lines.iter().map(|l| self.output.paint(l)).collect();
        self.frame.set_message(text.join("\n"));
        self.frame.tick();
    }

    /// Above the frame, where it stays.
    pub fn above(&self, line: &Line) {
        // A terminal that is gone is noticed when the output is printed.
        let _ = self.bars.println(self.output.paint(line));
    }

    /// Takes the frame away, for what comes in its place.
    pub fn clear(self) {
        self.frame.finish_and_clear();
        // What can't be cleared stays, that's all.
        let _ = self.bars.clear();
    }
}

/// The last frame stays where it is, for somebody who goes away. Where the terminal has echoed `^C` below it, drawing or
/// clearing would miss by a line.
impl Drop for Screen {
    fn drop(&mut self) {
        if !self.frame.is_finished() {
            self.bars.set_draw_target(ProgressDrawTarget::hidden());
            self.frame.abandon();
            let _ = self.terminal.write_line("");
        }
    }
}
