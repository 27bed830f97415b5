//! The one way in which a command fails: a message, its causes once, a hint, and an exit code.

use std::error::Error;
use std::process::ExitCode;

use stopover_model::cause;
use tonic::{Code, Status};

use crate::render::line::{Line, Tone};

/// What the server calls the end of a sign-in's time.
pub const SIGN_IN_ENDED: &str = "sign_in_ended";

/// How the process ends; documented in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    /// The deployment failed, was rolled back or cancelled, or the server refused the request.
    Failed = 1,
    /// Wrong usage or bad input.
    Usage = 2,
    /// The server could not be reached.
    Unreachable = 3,
    /// Ctrl-C; whatever goes on elsewhere goes on.
    Detached = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do its work.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// Wrong usage or bad input.
    ///
    /// A line that begins with `hint: `, as in the errors of configuration files, becomes the hint.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        let message = message.into();
        let hint = message.lines().skip(1).find_map(|line| line.strip_prefix("hint: ")).map(str::to_owned);
        let lines = message.lines().enumerate().filter(|(n, line)| *n == 0 || !line.starts_with("hint: "));
        let message = lines.map(|(_, line)| line).collect::<Vec<_>>().join("\n");
        Self { exit: Exit::Usage, message, hint }
    }

    /// It was tried, and did not work.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, ..Self::usage(message) }
    }

    /// The server is not there.
    #[must_use]
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unreachable, ..Self::usage(message) }
    }

    /// Ended without a word: nobody reads our output any more.
    #[must_use]
    pub fn silent(exit: Exit) -> Self {
        Self { exit, ..Self::usage("") }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what lies behind it, each cause once: many errors repeat their source's words.
    #[must_use]
    pub fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        cause::add_once(&mut self.message, error);
        self
    }

    /// What a call to the server was answered, when the answer is an error.
    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        let message =
            if status.message().is_empty() { status.code().description() } else { status.message() };
        match status.code() {
            Code::InvalidArgument | Code::NotFound | Code::OutOfRange => Self::usage(message),
            Code::Unauthenticated if code_of(status).starts_with("sign_in") => {
                Self::usage(message).with_hint("stopover login")
            }
            Code::Unavailable if code_of(status) == "issuer_away" => Self::unreachable(message)
                .with_hint("try again; or log in with a token: stopover login --token"),
            Code::Unauthenticated => Self::usage(message).with_hint(
                "check the token: --token-file, $STOPOVER_TOKEN or token_file in the configuration",
            ),
            Code::Unavailable | Code::DeadlineExceeded => {
                let failure = Self::unreachable(format!("the server does not answer: {message}"));
                failure.with_hint("try again; see that the server runs, and that its address is right")
            }
            Code::Unimplemented => Self::failed(message)
                .with_hint("the server is another version: use the stopover that came with it"),
            _ => Self::failed(message),
        }
    }

    /// The lines for standard error.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        if self.message.is_empty() {
            return Vec::new();
        }
        let mut texts = self.message.lines();
        let head = Line::of(Tone::Bad, "error: ").plain(texts.next().unwrap_or_default());
        let mut lines = vec![head];
        lines.extend(texts.map(|text| Line::new().plain(text)));
        lines.extend(self.hint.as_ref().map(|hint| Line::of(Tone::Busy, "hint: ").plain(hint)));
        lines
    }
}

/// The server's stable name for what went wrong.
#[must_use]
pub fn code_of(status: &Status) -> &str {
    status.metadata().get("stopover-code").and_then(|name| name.to_str().ok()).unwrap_or_default()
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::from_status(&status)
    }
}

/// An answer that no server of this version gives.
impl From<stopover_proto::convert::InvalidWire> for Failure {
    fn from(error: stopover_proto::convert::InvalidWire) -> Self {
        Self::failed("the server's answer makes no sense")
            .because(&error)
            .with_hint("the server may be another version: use the stopover that came with it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::line::text;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn causes_are_told_once() {
        let error = Layer(
            "transport error",
            Some(Box::new(Layer("refused", Some(Box::new(Layer("refused", None)))))),
        );
        let failure =
            Failure::unreachable("could not reach https://h").because(&error).with_hint("is it there?");
        assert_eq!(
            text(&failure.lines()),
            "error: could not reach https://h: transport error: refused\nhint: is it there?\n"
        );
        assert_eq!(failure.exit, Exit::Unreachable);
    }

    #[test]
    fn the_servers_codes_become_exit_codes() {
        for (status, exit) in [
            (Status::invalid_argument("x"), Exit::Usage),
            (Status::not_found("x"), Exit::Usage),
            (Status::unauthenticated("x"), Exit::Usage),
            (Status::failed_precondition("x"), Exit::Failed),
            (Status::already_exists("x"), Exit::Failed),
            (Status::internal("x"), Exit::Failed),
            (Status::unavailable("x"), Exit::Unreachable),
        ] {
            assert_eq!(Failure::from_status(&status).exit, exit, "{status:?}");
        }
    }

    #[test]
    fn a_server_may_send_a_hint_and_can_not_move_the_cursor() {
        let status = Status::failed_precondition("no\u{1b}[2J such stage\nhint: stopover status x");
        let lines = text(&Failure::from_status(&status).lines());
        assert_eq!(lines, "error: no\\u{1b}[2J such stage\nhint: stopover status x\n");
        let config = Failure::usage(
            "p.toml:1:1: unknown field `saok`\nhint: did you mean `soak`?\n1 | saok = 1\n  | ^",
        );
        assert_eq!(
            text(&config.lines()),
            "error: p.toml:1:1: unknown field `saok`\n1 | saok = 1\n  | ^\nhint: did you mean `soak`?\n"
        );
    }
}
