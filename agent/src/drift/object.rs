//! How an object is called: a fingerprint's "index users.i" in the words of PostgreSQL's users.

/// An object's name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObjectName<'a> {
    /// "materialized view".
    pub(super) kind: &'a str,
    /// With its schema, and with its table where PostgreSQL knows it by that: "public.users.nick".
    pub(super) name: String,
    /// What it belongs to, with its schema.
    pub(super) table: Option<String>,
}

impl<'a> ObjectName<'a> {
    pub(super) fn of(object: &'a str) -> Self {
        const OF_TWO_WORDS: [&str; 3] = ["materialized view", "foreign table", "event trigger"];
        let two = OF_TWO_WORDS
            .iter()
            .find_map(|kind| Some((*kind, object.strip_prefix(*kind)?.strip_prefix(' ')?)));
        let (kind, name) = two.or_else(|| object.split_once(' ')).unwrap_or(("object", object));
        match kind {
            "schema" | "extension" | "event trigger" => Self { kind, name: name.to_owned(), table: None },
            "column" | "index" | "constraint" | "trigger" | "rule" | "policy" => Self::part(kind, name),
            _ => Self { kind, name: with_schema(name), table: None },
        }
    }

    fn part(kind: &'a str, name: &str) -> Self {
        let Some(dot) = dots(name).last().copied() else {
            return Self { kind, name: name.to_owned(), table: None };
        };
        let table = with_schema(&name[..dot]);
        let own = &name[dot + 1..];
        let name = match dots(&table).last() {
            // An index has its name in the schema.
            Some(dot) if kind == "index" => format!("{}.{own}", &table[..*dot]),
            _ => format!("{table}.{own}"),
        };
        Self { kind, name, table: Some(table) }
    }

    /// Of a table, or of what has columns or constraints like one.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.kind, "table" | "foreign table" | "view" | "materialized view" | "type")
    }
}

/// A fingerprint leaves `public` out.
fn with_schema(name: &str) -> String {
    if dots(name).is_empty() { format!("public.{name}") } else { name.to_owned() }
}

/// The places of the dots between names, of which a quoted one may hold some; a function's arguments come behind.
fn dots(name: &str) -> Vec<usize> {
    let mut quoted = false;
    let mut found = Vec::new();
    for (at, c) in name.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => found.push(at),
            '(' if !quoted => break,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_schema_and_their_table() {
        let of = |object| {
            let found = ObjectName::of(object);
            format!("{} {} {}", found.kind, found.name, found.table.unwrap_or_default())
        };
        for (object, expected) in [
            ("table users", "table public.users "),
            ("table app.users", "table app.users "),
            ("column users.nick", "column public.users.nick public.users"),
            ("index users.i", "index public.i public.users"),
            ("index app.\"We.ird\".\"x.y\"", "index app.\"x.y\" app.\"We.ird\""),
            ("constraint app.users.c", "constraint app.users.c app.users"),
            ("materialized view m", "materialized view public.m "),
            ("event trigger e", "event trigger e "),
            ("trigger users.t", "trigger public.users.t public.users"),
            ("schema app", "schema app "),
            ("function f(a integer, b app.mood)", "function public.f(a integer, b app.mood) "),
            ("function app.f(b app.mood)", "function app.f(b app.mood) "),
        ] {
            assert_eq!(of(object), expected);
        }
    }
}
