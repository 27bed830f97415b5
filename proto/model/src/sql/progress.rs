//! Reads how far a script says that it is.
//!
//! A guess made for a progress bar: nothing may depend on it. Dates, times, versions and decimals are left alone.

/// Reads "N of M", "N/M" or "N%" in a message, as (done, total); a percentage alone has the total 100. The first
/// pair in the message counts. `None` where there is none, or where more is done than there is to do.
///
/// ```
/// # use stopover_model::sql::notice_progress;
/// assert_eq!(notice_progress("Updated 120000 of 300000 users (40.0%)"), Some((120_000, 300_000)));
/// assert_eq!(notice_progress("progress: 10,000/300,000 rows"), Some((10_000, 300_000)));
/// assert_eq!(notice_progress("40% done"), Some((40, 100)));
/// assert_eq!(notice_progress("started on 2024/01/16"), None);
/// ```
#[must_use]
pub fn notice_progress(text: &str) -> Option<(u64, u64)> {
    let pieces: Vec<Piece> = pieces(text).map(Piece::read).collect();
    let pair = (0..pieces.len())
        .find_map(|at| pair_at(&pieces, at).filter(|(done, total)| done <= total && *total > 0));
    pair.or_else(|| {
        pieces.iter().find_map(|piece| match piece {
            Piece::Percent(percent) => Some((*percent, 100)),
            _ => None,
        })
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Number(u64),
    Pair(u64, u64),
    Percent(u64),
    Slash,
    Of,
    Word,
    Other,
}

impl Piece {
    fn read(text: &str) -> Self {
        if text == "/" {
            return Self::Slash;
        }
        if text.eq_ignore_ascii_case("of") {
            return Self::Of;
        }
        if let Some(number) = integer(text) {
            return Self::Number(number);
        }
        if let Some(number) = text.strip_suffix('%') {
            return percent(number).map_or(Self::Other, Self::Percent);
        }
        if let Some((done, total)) = text.split_once('/') {
            // 01/16 is a day.
            if done.starts_with('0') && done.len() > 1 {
                return Self::Other;
            }
            return match (integer(done), integer(total)) {
                (Some(done), Some(total)) => Self::Pair(done, total),
                _ => Self::Other,
            };
        }
        if text.chars().all(char::is_alphabetic) { Self::Word } else { Self::Other }
    }
}

fn pair_at(pieces: &[Piece], at: usize) -> Option<(u64, u64)> {
    match pieces[at] {
        Piece::Pair(done, total) => Some((done, total)),
        Piece::Slash if at > 0 && !matches!(pieces.get(at + 2), Some(Piece::Slash)) => {
            match (pieces[at - 1], pieces.get(at + 1)) {
                (Piece::Number(done), Some(Piece::Number(total)))
                    if at < 2 || pieces[at - 2] != Piece::Slash =>
                {
                    Some((done, *total))
                }
                _ => None,
            }
        }
        Piece::Of => {
            let done = pieces[..at].iter().rev().take(4).find(|piece| **piece != Piece::Word)?;
            let total = pieces[at + 1..].iter().take(2).find(|piece| **piece != Piece::Word)?;
            match (done, total) {
                (Piece::Number(done), Piece::Number(total)) => Some((*done, *total)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Cuts at white space and brackets, and at a colon that stands in no time of day.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let digit_at = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut from = 0;
    let cut = move || {
        if from > text.len() {
            return None;
        }
        let end = text[from..]
            .char_indices()
            .map(|(n, c)| (from + n, c))
            .find(|&(at, c)| match c {
                ':' => !(at > 0 && digit_at(at - 1) && digit_at(at + 1)),
                _ => c.is_whitespace() || "()[]{}<>\"'=;|".contains(c),
            })
            .map_or((text.len(), 1), |(at, c)| (at, c.len_utf8()));
        let piece = &text[from..end.0];
        from = end.0 + end.1;
        Some(piece.trim_end_matches(['.', ',', '!']))
    };
    std::iter::from_fn(cut).filter(|piece| !piece.is_empty())
}

/// Digits, with `,` or `_` between groups of three.
fn integer(text: &str) -> Option<u64> {
    let mut groups = text.split([',', '_']);
    let first = groups.next()?;
    let is_digits = |group: &str| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit());
    let mut rest = groups.peekable();
    if !is_digits(first)
        || (rest.peek().is_some() && first.len() > 3)
        || !rest.all(|g| g.len() == 3 && is_digits(g))
    {
        return None;
    }
    text.replace([',', '_'], "").parse().ok()
}

/// The whole part of a percentage up to 100.
fn percent(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let whole = integer(whole).filter(|whole| *whole <= 100)?;
    (!fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit())).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_usual_ways_to_say_it() {
        let said = [
            ("Updated 120000 of 300000 users (40.0%)", (120_000, 300_000)),
            ("progress: 10,000/300,000 rows", (10_000, 300_000)),
            ("NOTICE:10/20", (10, 20)),
            ("1_000 rows updated out of 1_000_000.", (1_000, 1_000_000)),
            ("[3/10] step", (3, 10)),
            ("12 / 300 batches", (12, 300)),
            ("10 rows, 5 of 20 batches", (5, 20)),
            ("2024/01/16 12:30:05 done 5 of the 9", (5, 9)),
            ("batch 7: 0 of 10", (0, 10)),
            ("40%", (40, 100)),
            ("about 99.9% (slow)", (99, 100)),
        ];
        for (text, expected) in said {
            assert_eq!(notice_progress(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn is_not_fooled_by_dates_times_and_versions() {
        for text in [
            "",
            "of",
            "/",
            "5 of",
            "of 5",
            "2024/01/16",
            "since 01/16",
            "2024 / 01 / 16",
            "at 12:30:05",
            "version 15.3 of 16.1",
            "15.3/16.1",
            "10 of 5",
            "0 of 0",
            "1-2 of x",
            "1,2/3",
            "120%",
            "10k of 300k",
            "é/ü of ß 5",
            "99999999999999999999 of 999999999999999999999",
            "http://host/1/2",
            "a 3rd of 10",
            "5 %",
        ] {
            assert_eq!(notice_progress(text), None, "{text}");
        }
    }
}
