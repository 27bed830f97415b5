//! What stands behind an error, for one line of a log or of a terminal.

use std::error::Error;

/// The error itself, and each cause behind it.
pub fn each<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// An error with its causes, on one line.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    each(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// An error with its causes on one line, each thing said once: errors of libraries often repeat their source's words.
#[must_use]
pub fn once(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    add_once(&mut text, error);
    text
}

/// Adds to a text what it does not say yet of an error and its causes.
pub fn add_once(text: &mut String, error: &(dyn Error + 'static)) {
    for error in each(error) {
        let words = error.to_string();
        if !text.contains(&words) {
            let colon = if text.is_empty() { "" } else { ": " };
            text.push_str(colon);
            text.push_str(&words);
        }
    }
}

/// The innermost cause, or the error itself where nothing stands behind it.
#[must_use]
pub fn last<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    each(error).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Said {
        words: &'static str,
        #[source]
        behind: Option<Box<Said>>,
    }

    fn said(words: &[&'static str]) -> Said {
        let (&outermost, behind) = words.split_first().unwrap();
        Said { words: outermost, behind: (!behind.is_empty()).then(|| Box::new(said(behind))) }
    }

    #[test]
    fn an_error_stands_before_its_causes() {
        let error = said(&["could not call", "could not connect", "connection refused"]);
        assert_eq!(chain(&error), "could not call: could not connect: connection refused");
        assert_eq!(last(&error).to_string(), "connection refused");
        assert_eq!(chain(&said(&["alone"])), "alone");
        assert_eq!(last(&said(&["alone"])).to_string(), "alone");
    }

    #[test]
    fn what_is_said_already_is_not_repeated() {
        let error = said(&["could not connect: refused", "", "refused", "os error 111"]);
        assert_eq!(once(&error), "could not connect: refused: os error 111");
        assert_eq!(chain(&said(&["refused", "refused"])), "refused: refused");
        let mut text = "the file is not readable: os error 111".to_owned();
        add_once(&mut text, &error);
        assert_eq!(text, "the file is not readable: os error 111: could not connect: refused");
    }
}
