//! Standard output and standard error: the only place that prints.

use std::io::{self, IsTerminal as _, Write};

use console::Term;
use jiff::Timestamp;
use serde::Serialize;

use crate::args::{Color, Global};
use crate::failure::{Exit, Failure};
use crate::render::View;
use crate::render::line::Line;

/// How output looks, found out once.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub struct Output {
    pub json: bool,
    /// Standard output is a terminal that understands cursor movements.
    pub live: bool,
    colours: bool,
    error_colours: bool,
}

/// Without a terminal nothing is known of the reader's width; trees get this one.
const WIDTH_OF_A_FILE: usize = 100;
/// A log has a line an event, however long.
const WIDTH_OF_A_LOG: usize = 100_000;

impl Output {
    #[must_use]
    pub fn new(global: &Global) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || is_dumb();
        let colours = |terminal: bool| match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !plain,
        };
        Self {
            json: global.json,
            live: io::stdout().is_terminal() && !is_dumb() && !global.json,
            colours: colours(io::stdout().is_terminal()),
            error_colours: colours(io::stderr().is_terminal()),
        }
    }

    /// For trees and tables.
    #[must_use]
    pub fn view(&self) -> View {
        let width = if self.live { terminal_width() } else { WIDTH_OF_A_FILE };
        View { now: Timestamp::now(), width }
    }

    /// For one line an event.
    #[must_use]
    pub fn log_view(&self) -> View {
        View { width: WIDTH_OF_A_LOG, ..self.view() }
    }

    #[must_use]
    pub fn paint(&self, line: &Line) -> String {
        line.paint(self.colours)
    }

    pub fn lines(&self, lines: &[Line]) -> Result<(), Failure> {
        let text: String = lines.iter().map(|l| self.paint(l) + "\n").collect();
        write_out(&mut io::stdout().lock(), &text)
    }

    /// A text that is escaped already, or ours.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        write_out(&mut io::stdout().lock(), &format!("{}\n", text.trim_end_matches('\n')))
    }

    /// Each on a line of its own, for programs.
    pub fn text_lines(&self, lines: &[String]) -> Result<(), Failure> {
        let text: Vec<_> = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        write_out(&mut io::stdout().lock(), &text.concat())
    }

    pub fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value)
            .map_err(|error| Failure::failed("could not write JSON").because(&error))?;
        write_out(&mut io::stdout().lock(), &(text + "\n"))
    }

    /// Words beside the output proper.
    pub fn note(&self, line: &Line) {
        let text = line.paint(self.error_colours) + "\n";
        // Nobody is left to be told that standard error is gone.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// Asks a person; None where there is nobody to ask, or the output is for a program.
    #[must_use]
    pub fn ask(&self, question: &str) -> Option<bool> {
        let answer = self.read_line(question)?;
        Some(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// What a person types; None where there is nobody to ask, or the output is for a program.
    #[must_use]
    pub fn read_line(&self, question: &str) -> Option<String> {
        if !self.live || !io::stdin().is_terminal() {
            return None;
        }
        let text = Line::new().strong(question).paint(self.colours);
        let asked = io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
        let mut answer = String::new();
        asked.and_then(|()| io::stdin().read_line(&mut answer)).ok()?;
        Some(answer.trim().to_owned())
    }

    pub fn failure(&self, failure: &Failure) {
        failure.lines().iter().for_each(|line| self.note(line));
    }
}

fn write_out(out: &mut impl Write, text: &str) -> Result<(), Failure> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        // As in `stopover list | head`.
        io::ErrorKind::BrokenPipe => Failure::silent(Exit::Detached),
        _ => Failure::failed("could not write the output").because(&error),
    })
}

fn terminal_width() -> usize {
    Term::stdout().size_checked().map_or(80, |(_, columns)| usize::from(columns)).max(20)
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}
