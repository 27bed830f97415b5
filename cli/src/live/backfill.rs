//! What a backfill says below its bar: what it has done to the database, and what holds it.

use std::fmt::Write as _;
use std::time::Duration;

use stopover_model::backfill::bytes_text;
use stopover_model::plan::grouped;
use stopover_model::report::BackfillProgress;

use crate::render::line::{Line, Tone};
use crate::render::number::ticking;

pub(super) fn lines(backfill: &BackfillProgress, width: usize) -> Vec<Line> {
    let mut text = format!("{} rows changed", grouped(backfill.touched));
    if backfill.batch_rows > 0 {
        let _ = write!(text, ", batches of {}", grouped(backfill.batch_rows.into()));
    }
    let _ = write!(
        text,
        "; {} of WAL, {} dead rows",
        bytes_text(backfill.wal_bytes),
        grouped(backfill.dead_rows)
    );
    let mut lines = vec![Line::new().dim(text).cut(width)];
    let held = ticking(backfill.held_for.unwrap_or(Duration::ZERO));
    for hold in &backfill.holds {
        lines.push(Line::of(Tone::Warn, format!("held for {held}")).plain(format!(": {hold}")).cut(width));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_does_and_what_holds_it_fit_on_a_terminal() {
        let backfill = BackfillProgress {
            touched: 120_000,
            batch_rows: 9_500,
            wal_bytes: 90 << 20,
            dead_rows: 118_000,
            holds: vec![
                "the standby eu-2 is 100 MiB behind (limit 64 MiB), and that is not all of it".to_owned(),
            ],
            held_for: Some(Duration::from_secs(75)),
            ..BackfillProgress::default()
        };
        let shown: Vec<String> = lines(&backfill, 72).iter().map(|line| line.paint(false)).collect();
        assert_eq!(shown[0], "120,000 rows changed, batches of 9,500; 90 MiB of WAL, 118,000 dead rows");
        assert!(shown[1].starts_with("held for 1m 15s: the standby eu-2 is 100 MiB behind"), "{shown:?}");
        assert!(shown.iter().all(|line| line.chars().count() <= 72));
    }
}
