//! The guide's verification, asked of the production database itself and not of Stopover.

use stopover_cluster::{Cluster, ClusterError};
use stopover_model::plan::grouped;
use tokio_postgres::Client;

use super::stack::DATABASE;
use crate::failure::Failure;
use crate::render::View;
use crate::render::line::{Line, Tone};
use crate::render::list::table;

const COLUMN: &str = "onboarding_completed";
const INDEX: &str = "idx_users_onboarding_completed";

/// What is in the database.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Type, default, nullable.
    column: Option<[String; 3]>,
    total: i64,
    completed: i64,
    incomplete: i64,
    null: i64,
    /// Its definition, where it is valid.
    index: Option<String>,
}

/// What the guide expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Migrated,
    RolledBack,
}

pub(super) async fn look(cluster: &Cluster) -> Result<Found, Failure> {
    let failed =
        |error: &ClusterError| Failure::failed("could not look into the production database").because(error);
    let client = cluster.client(DATABASE).await.map_err(|e| failed(&e))?;
    queries(&client).await.map_err(|e| Failure::failed("could not ask the production database").because(&e))
}

async fn queries(client: &Client) -> Result<Found, tokio_postgres::Error> {
    let column = client
        .query_opt(
            "SELECT data_type, coalesce(column_default, '-'), is_nullable FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = 'users' AND column_name = $1",
            &[&COLUMN],
        )
        .await?;
    let index = client
        .query_opt(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index
             WHERE indexrelid = to_regclass($1::text) AND indisvalid AND indisready",
            &[&INDEX],
        )
        .await?;
    let mut found = Found { index: index.map(|row| row.get(0)), ..Found::default() };
    if let Some(row) = column {
        found.column = Some([row.get(0), row.get(1), row.get(2)]);
        let counts = client
            .query_one(
                "SELECT count(*), count(*) FILTER (WHERE onboarding_completed),
                        count(*) FILTER (WHERE NOT onboarding_completed),
                        count(*) FILTER (WHERE onboarding_completed IS NULL)
                 FROM users",
                &[],
            )
            .await?;
        (found.total, found.completed) = (counts.get(0), counts.get(1));
        (found.incomplete, found.null) = (counts.get(2), counts.get(3));
    }
    Ok(found)
}

impl Found {
    pub(super) fn is(&self, expected: Expected) -> bool {
        match expected {
            Expected::Migrated => self.is_migrated(),
            Expected::RolledBack => self.column.is_none() && self.index.is_none(),
        }
    }

    /// Everybody who was there is complete, and the index is valid.
    fn is_migrated(&self) -> bool {
        let column =
            self.column.as_ref().is_some_and(|[kind, default, _]| kind == "boolean" && default == "false");
        column && self.total > 0 && self.completed == self.total && self.index.is_some()
    }

    /// Each fact, marked by whether it is as expected.
    pub(super) fn lines(&self, expected: Expected, view: View) -> Vec<Line> {
        let wanted = expected == Expected::Migrated;
        let mark = |good: bool| if good { Line::of(Tone::Good, "✓ ") } else { Line::of(Tone::Bad, "✗ ") };
        let column = match &self.column {
            Some([kind, default, nullable]) => {
                format!("users.{COLUMN}: {kind}, default {default}, nullable {nullable}")
            }
            None => format!("users.{COLUMN} is not there"),
        };
        let mut lines = vec![mark(self.column.is_some() == wanted).plain(column)];
        if self.column.is_some() {
            let number = |n: i64| grouped(u64::try_from(n).unwrap_or_default());
            let counts = [self.total, self.completed, self.incomplete, self.null].map(number);
            lines.push(mark(self.total == self.completed).plain("every existing user is complete:"));
            let table = table(["TOTAL", "COMPLETED", "INCOMPLETE", "NULL"], [counts], view);
            lines.extend(table.lines().map(|l| Line::new().plain(l).indented(4)));
        }
        let index = self.index.clone().unwrap_or_else(|| format!("no valid index {INDEX}"));
        lines.extend(mark(self.index.is_some() == wanted).plain(index).wrapped(view.width, 2));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::line::text;
    use crate::render::sample::view;

    #[test]
    fn the_result_is_judged_as_the_guide_does() {
        let mut found = Found {
            column: Some(["boolean".into(), "false".into(), "YES".into()]),
            total: 300_000,
            completed: 300_000,
            incomplete: 0,
            null: 0,
            index: Some(format!("CREATE INDEX {INDEX} ON public.users USING btree ({COLUMN})")),
        };
        assert!(found.is(Expected::Migrated) && !found.is(Expected::RolledBack));
        insta::assert_snapshot!(text(&found.lines(Expected::Migrated, view())), @r#"
        ✓ users.onboarding_completed: boolean, default false, nullable YES
        ✓ every existing user is complete:
            TOTAL    COMPLETED  INCOMPLETE  NULL
            300,000  300,000    0           0
        ✓ CREATE INDEX idx_users_onboarding_completed ON public.users USING btree
          (onboarding_completed)
        "#);
        found.completed -= 1;
        found.null += 1;
        assert!(!found.is(Expected::Migrated));
        let gone = Found::default();
        assert!(gone.is(Expected::RolledBack) && !gone.is(Expected::Migrated));
        insta::assert_snapshot!(text(&gone.lines(Expected::RolledBack, view())), @r#"
        ✓ users.onboarding_completed is not there
        ✓ no valid index idx_users_onboarding_completed
        "#);
    }
}
