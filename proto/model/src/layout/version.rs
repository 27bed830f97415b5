//! The versions in file names: one number, or several.

/// Compared number by number, so that 1.9 comes before 1.10, and 1.0 is 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(Vec<u128>);

impl Version {
    /// `12`, or several numbers with one of `separators` between each two.
    pub(crate) fn parse(text: &str, separators: &[char]) -> Option<Self> {
        let mut numbers = text.split(separators).map(number).collect::<Option<Vec<_>>>()?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some(Self(numbers))
    }

    /// The version that a name begins with, up to what follows it: `001` of `001_x`, `2024-05-01` of `2024-05-01_x`.
    pub(crate) fn leading(name: &str) -> Option<Self> {
        let mut length = 0;
        for (at, part) in name.split_inclusive(['-', '.', '_', ' ']).scan(0, |at, part| {
            let start = *at;
            *at += part.len();
            Some((start, part))
        }) {
            let digits = part.trim_end_matches(['-', '.', '_', ' ']);
            if number(digits).is_none() {
                break;
            }
            length = at + digits.len();
            if part.len() == digits.len() || part.ends_with(['_', ' ']) {
                break;
            }
        }
        Self::parse(&name[..length], &['-', '.'])
    }
}

/// Digits only: `+1` is no version.
fn number(text: &str) -> Option<u128> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        let flyway = |text| Version::parse(text, &['.', '_']);
        assert!(
            flyway("1.9") < flyway("1.10") && flyway("1_10") < flyway("2") && flyway("1") < flyway("1.0.1")
        );
        assert_eq!(
            (flyway("01.0"), flyway("1.x"), flyway(""), flyway("1..2")),
            (flyway("1"), None, None, None)
        );
    }

    #[test]
    fn a_name_begins_with_its_version() {
        let same =
            |name, version| assert_eq!(Version::leading(name), Version::parse(version, &['-']), "{name}");
        same("001_x", "1");
        same("2024-05-01_2_things", "2024-5-1");
        same("001-2fa", "1");
        same("7", "7");
        assert_eq!(Version::leading("x_1"), None);
        assert_eq!(Version::leading("1x_y"), None);
    }
}
