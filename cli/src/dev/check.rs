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
    /// The guide's expected result: everybody who was there is complete, and the index is valid.
    pub(super) fn is_migrated(&self) -> bool {
        let column =
            self.column.as_ref().is_some_and(|[kind, default, _]| kind == "boolean" && default == "false");
        column && self.total > 0 && self.completed == self.total && self.index.is_some()
    }

    /// The guide's expected result of a rollback.
    pub(super) fn is_rolled_back(&self) -> bool {
        self.column.is_none() && self.index.is_none()
    }

    pub(super) fn lines(&self, view: View) -> Vec<Line> {
        let number = |n: i64| grouped(u64::try_from(n).unwrap_or_default());
        let counts = [self.total, self.completed, self.incomplete, self.null].map(number);
        let good = |good: bool| if good { Line::of(Tone::Good, "✓ ") } else { Line::of(Tone::Bad, "✗ ") };
        let column = match &self.column {
            Some([kind, default, nullable]) => {
                format!("users.{COLUMN}: {kind}, default {default}, nullable {nullable}")
            }
            None => format!("users.{COLUMN}: not there"),
        };
        let mut lines = vec![good(self.column.is_some()).plain(column)];
        if self.column.is_some() {
            lines.push(good(self.total == self.completed).plain("every existing user is complete:"));
            let table = table(["TOTAL", "COMPLETED", "INCOMPLETE", "NULL"], [counts], view);
            lines.extend(table.lines().map(|l| Line::new().plain(l).indented(4)));
        }
        let index = self.index.as_deref().unwrap_or("no valid index");
        lines.extend(good(self.index.is_some()).plain(index).wrapped(view.width, 2));
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
        assert!(found.is_migrated() && !found.is_rolled_back());
        insta::assert_snapshot!(text(&found.lines(view())), @r#"
        ✓ users.onboarding_completed: boolean, default false, nullable YES
        ✓ every existing user is complete:
            TOTAL    COMPLETED  INCOMPLETE  NULL
            300,000  300,000    0           0
        ✓ CREATE INDEX idx_users_onboarding_completed ON public.users USING btree
          (onboarding_completed)
        "#);
        found.completed -= 1;
        found.null += 1;
        assert!(!found.is_migrated());
        assert!(Found::default().is_rolled_back() && !Found::default().is_migrated());
    }
}
