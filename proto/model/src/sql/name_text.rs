//! Names as people write them, read as SQL reads them.

use std::str::FromStr;

use thiserror::Error;

use super::cursor::Cursor;
use super::name::Name;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is not a name; write name, schema.name, or \"Quoted Name\" as in SQL")]
pub struct InvalidName(String);

/// Reads a name as SQL would, such as `users`, `app.users` or `"My Schema"."Users"`.
impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut cursor = Cursor::new(text);
        match cursor.name() {
            Some(name) if cursor.is_at_end() => Ok(name),
            _ => Err(InvalidName(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn folds_what_is_unquoted_and_keeps_the_rest() {
        assert_eq!(name("Users"), Name::unqualified("users"));
        assert_eq!(name(" \"We\"\"ird; t\" "), Name::unqualified("We\"ird; t"));
        assert_eq!(name("App . \"Users\""), Name { schema: Some("app".into()), name: "Users".into() });
        assert_eq!(name("db.app.users"), Name { schema: Some("app".into()), name: "users".into() });
        assert_eq!(name(r#"U&"d\0061t\+000061""#), Name::unqualified("data"));
        assert_eq!(name("ÉTÉ"), Name::unqualified("ÉtÉ"));
    }

    #[test]
    fn shows_itself_as_sql() {
        assert_eq!(name("\"App\".users_1").to_string(), "\"App\".users_1");
        assert_eq!(name("\"We\"\"ird\"").to_string(), "\"We\"\"ird\"");
    }

    #[test]
    fn refuses_what_is_no_name() {
        for text in ["", "a b", "users; drop table x", "'users'", "a.", "\"\"", "\"open", "1a"] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }
}
