//! What the linter found in the scripts of a plan.

use serde::Serialize;
use stopover_lint::{Place, Rewrite, Unread};
use stopover_model::id::{EnvironmentName, MigrationId};
use stopover_model::lint::{LintFinding, ScriptRole};
use stopover_model::report::SqlPlace;
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1::plan_response;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LintAnswer {
    pub findings: Vec<FindingAnswer>,
    pub ignored: u32,
    pub unread: Vec<Unread>,
}

/// One finding; its keys are those of `stopover lint --json`, with the stages that mind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingAnswer {
    pub migration: MigrationId,
    pub script: ScriptRole,
    #[serde(flatten, serialize_with = "place")]
    pub place: SqlPlace,
    pub end: Place,
    pub rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub warn: Vec<EnvironmentName>,
    pub refuse: Vec<EnvironmentName>,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
}

fn place<S: serde::Serializer>(place: &SqlPlace, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Keys<'a> {
        file: &'a str,
        line: u32,
        column: u32,
    }
    Keys { file: &place.file, line: place.line, column: place.column }.serialize(serializer)
}

impl TryFrom<plan_response::Lint> for LintAnswer {
    type Error = InvalidWire;

    fn try_from(wire: plan_response::Lint) -> Result<Self, InvalidWire> {
        let unread = |one: plan_response::Unread| Unread { file: one.file, line: one.line, why: one.why };
        Ok(Self {
            findings: field::messages::read(wire.findings, "findings")?,
            ignored: wire.ignored,
            unread: wire.unread.into_iter().map(unread).collect(),
        })
    }
}

impl TryFrom<plan_response::Finding> for FindingAnswer {
    type Error = InvalidWire;

    fn try_from(wire: plan_response::Finding) -> Result<Self, InvalidWire> {
        let LintFinding { migration, script, rule, place, message, warn, refuse } =
            field::message::read(wire.finding, "finding")?;
        let rewrite = wire.rewrite.map(|rewrite| Rewrite { title: rewrite.title, sql: rewrite.sql });
        Ok(Self {
            migration,
            script,
            place,
            end: Place { line: wire.end_line, column: wire.end_column },
            rule,
            url: field::optional_text::read(wire.url, "url")?,
            warn,
            refuse,
            message,
            help: field::optional_text::read(wire.help, "help")?,
            note: field::optional_text::read(wire.note, "note")?,
            rewrite,
        })
    }
}
