//! Why the work on a session did not go on.

use stopover_model::report::{Effect, ErrorClass, Outcome, StepError};

use crate::ledger::exclusion::Excluded;
use crate::postgres::QueryError;

#[derive(Debug)]
pub(super) enum Stop {
    /// The connection is gone, or the ledger isn't as it was read: connect anew and look.
    LookAgain {
        why: String,
        /// Something was under way whose end nobody has seen.
        in_doubt: bool,
    },
    Ended(Box<Outcome>),
}

impl Stop {
    pub(super) fn failed(error: StepError) -> Self {
        Self::Ended(Box::new(Outcome::Failed { error, report: None }))
    }

    pub(super) fn unknown(error: StepError) -> Self {
        Self::Ended(Box::new(Outcome::Unknown { error }))
    }

    /// A query of the engine's own failed; `doing` says what it was for.
    pub(super) fn query(error: QueryError, doing: &str) -> Self {
        match error {
            QueryError::Lost(why) => Self::LookAgain { why, in_doubt: false },
            error => Self::failed(error.into_step_error(doing)),
        }
    }

    pub(super) fn cancelled(effect: Effect) -> Self {
        let error = StepError::new(ErrorClass::Cancelled, "the step was cancelled").with_effect(effect);
        Self::failed(error)
    }

    /// A newer attempt has taken the database over.
    pub(super) fn fenced(by: &str, effect: Effect) -> Self {
        let message = format!("{by} has taken the database over; this attempt stops");
        Self::failed(StepError::new(ErrorClass::Fenced, message).with_effect(effect))
    }

    /// A failure of which nothing is left in the database.
    pub(super) fn left_nothing(&self) -> bool {
        let Self::Ended(outcome) = self else { return false };
        match outcome.as_ref() {
            Outcome::Failed { error, .. } => {
                error.effect == Effect::None && error.class != ErrorClass::Fenced
            }
            Outcome::NotBegun { .. } => true,
            Outcome::Succeeded { .. } | Outcome::Unknown { .. } => false,
        }
    }

    /// Somebody asked for it.
    pub(super) fn is_cancelled(&self) -> bool {
        let Self::Ended(outcome) = self else { return false };
        outcome.error().is_some_and(|error| error.class == ErrorClass::Cancelled)
    }

    /// The same end, with what the work left behind.
    pub(super) fn with_effect(mut self, effect: Effect) -> Self {
        if let Self::Ended(outcome) = &mut self
            && let Outcome::Failed { error, .. } = outcome.as_mut()
            && error.effect == Effect::None
        {
            error.effect = effect;
        }
        self
    }
}

impl From<Excluded> for Stop {
    fn from(excluded: Excluded) -> Self {
        match excluded {
            Excluded::Query(error) => Self::query(error, "take Stopover's lock"),
            excluded => Self::failed(excluded.into_step_error()),
        }
    }
}
