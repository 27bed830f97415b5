//! A query's answer, as text, without holding more of it than a judgement needs.

use futures::{StreamExt as _, pin_mut};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::postgres::{QueryError, Session};

const KEPT: usize = 100;

pub(super) struct Answer {
    /// The first rows: (column, value).
    pub(super) rows: Vec<Vec<(String, Option<String>)>>,
    pub(super) total: u64,
}

impl Answer {
    /// Asks through the simple protocol, which answers in text.
    pub(super) async fn of(session: &Session, sql: &str) -> Result<Self, QueryError> {
        let stream = session.client().simple_query_raw(sql).await.map_err(|error| session.error(error))?;
        pin_mut!(stream);
        let mut answer = Self { rows: Vec::new(), total: 0 };
        while let Some(message) = stream.next().await {
            if let SimpleQueryMessage::Row(row) = message.map_err(|error| session.error(error))? {
                answer.total += 1;
                if answer.rows.len() < KEPT {
                    answer.rows.push(values(&row)?);
                }
            }
        }
        Ok(answer)
    }

    /// The only value of the only row.
    pub(super) fn value(&self) -> Option<&str> {
        match &self.rows[..] {
            [row] => row.first()?.1.as_deref(),
            _ => None,
        }
    }
}

fn values(row: &SimpleQueryRow) -> Result<Vec<(String, Option<String>)>, QueryError> {
    let value = |(i, column): (usize, &tokio_postgres::SimpleColumn)| {
        let value =
            row.try_get(i).map_err(|_| QueryError::Answer("a value that is no UTF-8 text".to_owned()))?;
        Ok((column.name().to_owned(), value.map(str::to_owned)))
    };
    row.columns().iter().enumerate().map(value).collect()
}
