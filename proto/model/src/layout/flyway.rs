//! Flyway: `V1.2__x.sql`, `U1.2__x.sql` to take it back, `R__x.sql` after all of them, and `.conf` for one script.
//!
//! Flyway runs a repeatable script again when its content is not what ran last. So does the plan: such a migration is
//! marked, and its row in the ledger says which content that was.

use std::collections::BTreeMap;

use super::draft::{Draft, Part};
use super::error::LayoutError;
use super::files::{Files, is_sql, lines};
use super::version::Version;
use crate::migration::{Layout, TransactionMode};

enum FileName<'a> {
    Versioned(Version),
    Undo(Version),
    /// Its description.
    Repeatable(&'a str),
}

pub(super) fn read<'a>(files: &Files<'a>) -> Result<Vec<Draft<'a>>, LayoutError> {
    let mut versioned: BTreeMap<Version, Draft<'a>> = BTreeMap::new();
    let mut undo: BTreeMap<Version, Part<'a>> = BTreeMap::new();
    let mut repeatable: BTreeMap<String, Draft<'a>> = BTreeMap::new();
    for (path, content) in files.iter() {
        let Some(name) = FileName::parse(path) else {
            pass_over(files, path)?;
            continue;
        };
        let part = Part::whole(path, content, settings(files, path)?);
        let stem = stem(path);
        let former = match name {
            FileName::Versioned(version) => versioned
                .insert(version, Draft { name: stem.to_owned(), up: part, down: None })
                .map(|draft| draft.up.file),
            FileName::Undo(version) => undo.insert(version, part).map(|part| part.file),
            FileName::Repeatable(description) => {
                let draft = Draft { name: stem.to_owned(), up: part, down: None };
                repeatable.insert(description.replace('_', " "), draft).map(|draft| draft.up.file)
            }
        };
        if let Some(former) = former {
            return Err(files.duplicate(former, path));
        }
    }
    for (version, part) in undo {
        match versioned.get_mut(&version) {
            Some(draft) => draft.down = Some(part),
            None => return Err(files.alone(part.file, &part.file.replacen('U', "V", 1))),
        }
    }
    Ok(versioned.into_values().chain(repeatable.into_values()).collect())
}

/// Whether the name is one of Flyway's, which no other tool would give.
pub(super) fn is_flyways(path: &str) -> bool {
    FileName::parse(path).is_some()
}

impl<'a> FileName<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        path.strip_suffix(".sql")?;
        let (prefix, description) = stem(path).split_once("__")?;
        let version = |text| Version::parse(text, &['.', '_']);
        match prefix.split_at_checked(1)? {
            ("V", text) => Some(Self::Versioned(version(text)?)),
            ("U", text) => Some(Self::Undo(version(text)?)),
            ("R", "") => Some(Self::Repeatable(description)),
            _ => None,
        }
    }
}

/// The name without its directories and its ending.
fn stem(path: &str) -> &str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.strip_suffix(".sql").unwrap_or(name)
}

fn pass_over(files: &Files<'_>, path: &str) -> Result<(), LayoutError> {
    const CALLBACKS: [&str; 6] = ["before", "after", "create", "undo", "drop", "beforeEach"];
    let name = stem(path);
    if let Some(script) = path.strip_suffix(".conf").filter(|script| is_sql(script)) {
        return if files.get(script).is_some() { Ok(()) } else { Err(files.alone(path, script)) };
    }
    let callback = CALLBACKS
        .iter()
        .any(|c| name.strip_prefix(c).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase())));
    if is_sql(path) && callback {
        let why = "this is a callback of Flyway, which nothing runs here; move it out of the directory, or its SQL into \
                   the migrations";
        return Err(files.marker(path, 0, why));
    }
    if name.starts_with('B') && is_sql(path) {
        let why = "a baseline migration stands for others, which are read here one by one; move it out of the directory";
        return Err(files.marker(path, 0, why));
    }
    files.pass_over(path, Layout::Flyway)
}

/// What the script's own .conf says. Flyway replaces `${x}` in a script unless that forbids it.
fn settings(files: &Files<'_>, script: &str) -> Result<TransactionMode, LayoutError> {
    let (mut transaction, mut replaces) = (TransactionMode::Auto, true);
    let conf = format!("{script}.conf");
    if files.get(&conf).is_some() {
        for line in lines(files.text(&conf)?) {
            let text = line.text.trim();
            if text.is_empty() || text.starts_with(['#', '!']) {
                continue;
            }
            let (key, value) = text.split_once(['=', ':']).map_or((text, ""), |(k, v)| (k.trim(), v.trim()));
            let is_true = match value.to_ascii_lowercase().as_str() {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            };
            match (key, is_true) {
                ("executeInTransaction", Some(true)) => transaction = TransactionMode::Auto,
                ("executeInTransaction", Some(false)) => transaction = TransactionMode::Never,
                ("placeholderReplacement", Some(on)) => replaces = on,
                ("shouldExecute", Some(true)) => {}
                ("encoding", None) if value.eq_ignore_ascii_case("utf-8") => {}
                _ => {
                    let why = format!(
                        "`{}` is not understood; known are executeInTransaction and placeholderReplacement, each true \
                         or false",
                        text.escape_debug()
                    );
                    return Err(files.marker(&conf, line.number, why));
                }
            }
        }
    }
    if replaces {
        refuse_placeholders(files, script)?;
    }
    Ok(transaction)
}

fn refuse_placeholders(files: &Files<'_>, script: &str) -> Result<(), LayoutError> {
    for line in lines(files.text(script)?) {
        if let Some((_, rest)) = line.text.split_once("${")
            && let Some((name, _)) = rest.split_once('}')
        {
            let why = format!(
                "Flyway replaces ${{{}}} before it runs the script, and nothing does so here; write the value, or say \
                 placeholderReplacement=false in {script}.conf",
                name.escape_debug()
            );
            return Err(files.marker(script, line.number, why));
        }
    }
    Ok(())
}
