//! Sends one statement as it stands in the file, listens to its notices, watches it, and stops it when asked.

use std::io::Cursor;
use std::time::Duration;

use futures::{SinkExt, StreamExt, pin_mut};
use stopover_model::sql::{CopySource, StatementKind};
use tokio::time::Instant;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::Engine;
use super::job::ScriptStep;
use super::waits::Waits;
use crate::postgres::{QueryError, Session};

/// How long a statement may go on after it was told to stop.
const CANCEL_DEADLINE: Duration = Duration::from_secs(15);
/// A request that arrives between two statements of a block is lost, so it is repeated.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(500);
const COPY_PIECE: usize = 64 * 1024;

/// What became of a statement.
#[derive(Debug)]
pub(super) enum Sent {
    Done {
        rows: u64,
    },
    /// It was stopped because its transaction has waited for locks longer than it may.
    Waited(QueryError),
    /// It was stopped because the step was cancelled.
    Cancelled,
    Error(QueryError),
}

/// Why a statement was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Cancelled,
    Waited,
}

/// Runs the statement in whatever transaction the session is in, and counts what it waits for locks.
pub(super) async fn send(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    waits: &mut Waits,
) -> Sent {
    let reporter = &engine.context.reporter;
    engine.tally.started(reporter, step.index);
    if let Some(witness) = engine.job.witness {
        witness.begins(step.index).await;
    }
    session.listen(Some(reporter));
    let began = Instant::now();
    let sent = watched(engine, session, &step.kind, waits, run(session, step)).await;
    session.listen(None);
    if let Sent::Done { rows } = sent {
        let took = began.elapsed();
        engine.tally.finished(&engine.context.reporter, step.index, rows, took);
        if let Some(witness) = engine.job.witness {
            witness.ended(step.index, rows, took).await;
        }
    }
    sent
}

/// The same with a statement of the product's own, of which nothing is told.
pub(super) async fn send_own(
    engine: &mut Engine<'_>,
    session: &Session,
    sql: &str,
    kind: &StatementKind,
    waits: &mut Waits,
) -> Sent {
    let sent = async { simple(session.client(), sql).await.map_err(|error| session.error(error)) };
    watched(engine, session, kind, waits, sent).await
}

async fn watched(
    engine: &mut Engine<'_>,
    session: &Session,
    kind: &StatementKind,
    waits: &mut Waits,
    running: impl Future<Output = Result<u64, QueryError>>,
) -> Sent {
    let context = engine.context;
    waits.begins(Instant::now());
    let (told, result) = {
        pin_mut!(running);
        // The statement is always sent, and before anything that the caller sends behind it.
        let ended = tokio::select! {
            biased;
            ended = &mut running => Ok(ended),
            () = context.cancel.cancelled() => Err(Told::Cancelled),
            () = engine.observer.watch(context, session.identity().pid, kind, waits) => Err(Told::Waited),
        };
        match ended {
            Ok(ended) => (None, ended),
            Err(why) => (Some(why), stop(engine, session, running).await),
        }
    };
    waits.ends(Instant::now());
    match (told, result) {
        (_, Ok(rows)) => {
            engine.observer.forget_blockers();
            Sent::Done { rows }
        }
        (Some(why), Err(error)) if error.sqlstate() == Some("57014") => match why {
            Told::Cancelled => Sent::Cancelled,
            Told::Waited => Sent::Waited(error),
        },
        (_, Err(error)) => Sent::Error(error),
    }
}

/// Asks the server to stop the statement, and waits for its end: only that says what became of it.
async fn stop(
    engine: &mut Engine<'_>,
    session: &Session,
    running: impl Future<Output = Result<u64, QueryError>>,
) -> Result<u64, QueryError> {
    pin_mut!(running);
    let began = Instant::now();
    while began.elapsed() < CANCEL_DEADLINE {
        // The request is waited for even when the statement has ended: a late one would stop the next statement.
        engine.observer.cancel(engine.context, session).await;
        if let Ok(ended) = tokio::time::timeout(BETWEEN_REQUESTS, &mut running).await {
            return ended;
        }
    }
    Err(QueryError::Lost("the statement did not stop when it was told to".to_owned()))
}

async fn run(session: &Session, step: &ScriptStep<'_>) -> Result<u64, QueryError> {
    let client = session.client();
    let sent = match &step.kind {
        StatementKind::Copy { source: CopySource::Stdin, .. } => copy_in(client, step).await,
        StatementKind::Copy { source: CopySource::Out, .. } => {
            return Err(QueryError::Answer("COPY ... TO STDOUT has nobody to read it; remove it".to_owned()));
        }
        _ => simple(client, step.statement.text).await,
    };
    let rows = sent.map_err(|error| session.error(error))?;
    // SELECT counts what it read.
    Ok(if step.kind == StatementKind::Select { 0 } else { rows })
}

async fn simple(client: &Client, sql: &str) -> Result<u64, tokio_postgres::Error> {
    let answers = client.simple_query_raw(sql).await?;
    pin_mut!(answers);
    let mut rows = 0;
    while let Some(answer) = answers.next().await {
        if let SimpleQueryMessage::CommandComplete(count) = answer? {
            rows = count;
        }
    }
    Ok(rows)
}

async fn copy_in(client: &Client, step: &ScriptStep<'_>) -> Result<u64, tokio_postgres::Error> {
    let sink = client.copy_in::<_, Cursor<Vec<u8>>>(step.statement.text).await?;
    pin_mut!(sink);
    for piece in step.statement.copy_data.unwrap_or_default().as_bytes().chunks(COPY_PIECE) {
        sink.send(Cursor::new(piece.to_vec())).await?;
    }
    sink.finish().await
}
