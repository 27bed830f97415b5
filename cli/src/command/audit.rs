//! `stopover audit`: who asked what of the server, and whether the log of it is whole.

mod check;
mod kept;
mod source;

use std::time::Duration;

use stopover_model::audit::{AuditChain, AuditOutcome, AuditRecord};

use super::Context;
use crate::args::{AuditCommand, VerifyAuditArgs};
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::{Line, Tone};
use crate::render::number::{count, stamp};
use check::Checked;
use source::{Delivery, Log};

pub(crate) async fn run(context: &Context, command: AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::List { since, by } => list(context, since, by.as_deref()).await,
        AuditCommand::Export => {
            let log = source::of_server(&mut context.control().await?).await?;
            context.output.text_lines(&log.lines()?)?;
            Ok(Exit::Done)
        }
        AuditCommand::Verify(args) => verify(context, &args).await,
    }
}

async fn list(context: &Context, since: Option<Duration>, by: Option<&str>) -> Result<Exit, Failure> {
    let log = source::of_server(&mut context.control().await?).await?;
    let output = context.output;
    let from = since.and_then(|since| output.view().now.checked_sub(since).ok());
    let mut chain = AuditChain::default();
    let mut shown = Vec::new();
    for link in &log.links {
        let record = chain.follow(&link.record, &link.hash).map_err(|broken| broken_log(&broken))?;
        let asked_by = record.entry.by.to_string();
        if from.is_none_or(|from| record.at >= from)
            && by.is_none_or(|by| asked_by == by || asked_by == format!("agent {by}"))
        {
            shown.push(record);
        }
    }
    if output.json {
        shown.iter().try_for_each(|record| output.json(record))?;
    } else {
        output.text(&render::list::table(
            ["SEQ", "WHEN", "BY", "THROUGH", "FROM", "WHAT", "OUTCOME"],
            shown.iter().map(cells),
            output.log_view(),
        ))?;
    }
    Ok(Exit::Done)
}

async fn verify(context: &Context, args: &VerifyAuditArgs) -> Result<Exit, Failure> {
    let log = match (&args.file, &args.database) {
        (Some(file), _) => Log::of_file(file)?,
        (None, Some(database)) => source::of_database(database).await?,
        (None, None) => source::of_server(&mut context.control().await?).await?,
    };
    let Checked { head, signed } = check::check(&log, args)?;
    let output = context.output;
    if output.json {
        let mut whole = serde_json::json!({ "records": head.seq, "hash": head.hash, "signed": signed });
        if let (Some(delivery), Some(fields)) = (&log.delivery, whole.as_object_mut()) {
            fields.insert("webhook".to_owned(), serde_json::json!(delivery));
        }
        output.json(&whole)?;
        return Ok(Exit::Done);
    }
    let whole =
        format!("{}, {}: none was changed, removed or cut off", count(head.seq, "record"), head.hash.short());
    output.lines(&[Line::of(Tone::Good, "✓ ").plain(whole)])?;
    if !signed {
        let words = "the head's signature was not checked: give the server's audit.pub with --key";
        output.note(&Line::new().plain(words));
    }
    if let Some(delivery) = &log.delivery {
        output.lines(&[arrived(delivery)])?;
    }
    Ok(Exit::Done)
}

/// How far the heads have got that the server sends to its webhook.
fn arrived(delivery: &Delivery) -> Line {
    let Delivery { url, waiting, since, error, tries } = delivery;
    let heads = match since {
        Some(since) => format!("{} since {}", count(*waiting, "signed head"), stamp(*since)),
        None => count(*waiting, "signed head"),
    };
    match error {
        _ if *waiting == 0 => {
            Line::of(Tone::Good, "✓ ").plain(format!("every signed head has arrived at {url}"))
        }
        Some(error) => Line::of(Tone::Bad, "! ")
            .plain(format!(
                "{heads} could not be brought to {url} in {}: {error}",
                count(u64::from(*tries), "attempt")
            ))
            .dim("; the server goes on trying"),
        None => Line::of(Tone::Dim, "· ").plain(format!("{heads} on the way to {url}")),
    }
}

fn broken_log(broken: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::failed("the audit log is broken")
        .because(broken)
        .with_hint("what comes before it is as it was recorded; compare with a backup of the store, and with audit.heads")
}

fn cells(record: &AuditRecord) -> [String; 7] {
    let entry = &record.entry;
    let what = [entry.what.as_str(), &entry.about].join(" ");
    let outcome = match &entry.outcome {
        AuditOutcome::Asked => "asked".to_owned(),
        AuditOutcome::Done { asked } => format!("done, as asked in {asked}"),
        AuditOutcome::Failed { asked, why, .. } => format!("not done, as asked in {asked}: {why}"),
        AuditOutcome::Refused { why, .. } => format!("refused: {why}"),
        AuditOutcome::Omitted { refusals } => format!("{} more", count(*refusals, "refusal")),
    };
    let from = entry.from.clone();
    let through = entry.through.as_ref().map(ToString::to_string).unwrap_or_default();
    [
        record.seq.to_string(),
        stamp(record.at),
        entry.by.to_string(),
        through,
        from,
        what.trim().to_owned(),
        outcome,
    ]
}
