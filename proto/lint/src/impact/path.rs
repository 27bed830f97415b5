//! `SET search_path`, which changes what a name means.

use stopover_model::sql::{Name, StatementKind};

use crate::reading::Read;

/// The schemas of a `SET search_path`; none of `set_config('search_path', '', ...)`, as `pg_dump` writes it.
pub(super) fn set_by(statement: &Read<'_>) -> Option<Vec<String>> {
    let text = statement.at.text;
    match &statement.kind {
        StatementKind::Set { setting, .. } if setting == "search_path" => {
            let behind = text.to_ascii_lowercase().find("search_path")? + "search_path".len();
            let rest = text.get(behind..)?.trim_start();
            let value = rest.strip_prefix('=').or_else(|| rest.get(2..)).unwrap_or_default();
            Some(value.split(',').filter_map(schema).collect())
        }
        StatementKind::Select if text.contains("set_config('search_path', ''") => Some(Vec::new()),
        _ => None,
    }
}

fn schema(written: &str) -> Option<String> {
    let bare = written.trim().trim_matches('\'');
    bare.parse::<Name>().ok().map(|name| name.name).filter(|name| !name.is_empty() && name != "default")
}
