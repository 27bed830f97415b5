//! What is worth trying on a sample, because nothing else says how long it takes.

use std::collections::BTreeSet;

use super::measured::{Known, LEAST_TIME, MeasuredKind, Measurement};
use crate::digest::Digest;
use crate::id::MigrationId;
use crate::impact::{SampleWish, WorkKind};

impl Known<'_> {
    /// None where all of these migrations have been measured.
    #[must_use]
    pub fn sample_wish(&self, migrations: &[(MigrationId, Digest)]) -> Option<SampleWish> {
        let all = || self.own.iter().chain(self.history);
        // Measured well enough that nothing of it need be tried.
        let elsewhere =
            |m: &Measurement| m.kind == MeasuredKind::Rehearsed && m.environment.as_str() != self.environment;
        let firm = all().filter(|m| m.took >= LEAST_TIME && !elsewhere(m));
        let known: BTreeSet<Digest> = firm.map(|m| m.digest).collect();
        let unmeasured = migrations.iter().filter(|(_, digest)| !known.contains(digest));
        let migrations: Vec<_> = unmeasured.map(|(id, _)| id.clone()).collect();
        let mut measured: Vec<WorkKind> = Vec::new();
        for m in all() {
            let here = m.environment.as_str() == self.environment && m.paced().is_some();
            // A backfill's speed says nothing of an UPDATE of all rows; the other way round it does.
            let kind = m.kind.work().filter(|_| here && m.kind != MeasuredKind::Backfill);
            measured.extend(kind.filter(|kind| !measured.contains(kind)));
        }
        measured.sort_unstable();
        (!migrations.is_empty()).then_some(SampleWish { migrations, measured })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::deployment::tests::at;
    use crate::plan::Variant;

    #[test]
    fn what_was_measured_is_not_tried() {
        let digest = |text: &str| crate::digest::Digester::new(text).finish();
        let measured = |environment: &str, of: &str, kind| Measurement {
            environment: environment.parse().unwrap(),
            database: "users".parse().unwrap(),
            digest: digest(of),
            variant: Variant::Standard,
            statement: 0,
            kind,
            rows: 20_000,
            bytes: 1_000_000,
            touched: 20_000,
            took: Duration::from_secs(1),
            at: at(0),
        };
        let history = [
            measured("production", "old", MeasuredKind::Rewrite),
            measured("production", "older", MeasuredKind::Backfill),
            measured("staging", "old", MeasuredKind::Scan),
            measured("staging", "known", MeasuredKind::ChangeRows),
        ];
        let known = Known { environment: "production", history: &history, ..Known::default() };
        let migrations = [("001_known", "known"), ("002_new", "new")];
        let migrations = migrations.map(|(id, of)| (id.parse().unwrap(), digest(of)));
        let wish = known.sample_wish(&migrations).unwrap();
        assert_eq!(wish.migrations, [migrations[1].0.clone()]);
        assert_eq!(wish.measured, [WorkKind::Rewrite]);
        assert_eq!(known.sample_wish(&migrations[..1]), None);
    }
}
