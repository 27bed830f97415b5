//! The sample migration, both variants, with a crash in the midst of the batches.

use std::collections::BTreeMap;
use std::path::Path;

use stopover_model::migration::{FILE_NAMES, Migration};
use stopover_model::plan::Variant;
use stopover_model::report::LogLine;

use crate::support::*;

const USERS: &str = "30000";

fn sample() -> Migration {
    let directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples/001_add_onboarding_completed");
    let files: BTreeMap<_, _> = FILE_NAMES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::fs::read(directory.join(name)).ok()?)))
        .collect();
    Migration::parse("001_add_onboarding_completed".parse().unwrap(), files).unwrap()
}

async fn with_users() -> Bench {
    let bench = Bench::new().await;
    stopover_cluster::seed::users(&bench.client, 30_000, 1).await.unwrap();
    bench
        .execute(
            "CREATE TABLE counted (id bigint); \
             CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS \
                 'BEGIN INSERT INTO counted VALUES (NEW.id); RETURN NEW; END'; \
             CREATE TRIGGER count_change AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION count_change()",
        )
        .await;
    bench
}

#[tokio::test]
async fn both_variants_change_each_row_once_and_are_taken_back() {
    for variant in [Variant::Standard, Variant::Batched] {
        let bench = with_users().await;
        let mut work = work(&sample());
        work.variant = variant;
        let running = bench.spawn_work(work);
        if variant == Variant::Batched {
            running.said("Updated 10000 of 30000").await;
            bench.kill_when("query ~ 'DO '").await;
        }
        let reporter = running.reporter.clone();
        let report = applied(running.end().await);
        assert_eq!(report.variant, variant);
        let finished = |(_, line): &(u64, LogLine)| matches!(line, LogLine::StatementFinished { .. });
        assert_eq!(reporter.lines_after(0).iter().filter(|line| finished(line)).count(), 5);
        assert_eq!(bench.value("SELECT count(*) FROM users WHERE onboarding_completed").await, USERS);
        assert_eq!(bench.value("SELECT count(DISTINCT id) FROM counted").await, USERS);
        assert_eq!(
            bench.value("SELECT count(*) FROM counted").await,
            USERS,
            "{variant:?}: a row was changed twice"
        );
        bench.assert_clean().await;

        let report = rolled_back(bench.roll_back(&sample()).await);
        assert_eq!(report.schema_restored, Some(true), "{:?}", report.differences);
        bench.assert_clean().await;
    }
}
