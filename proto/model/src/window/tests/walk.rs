//! The same answers by another way: every minute is looked at by itself.

use std::collections::BTreeSet;

use jiff::tz::AmbiguousOffset;
use jiff::{SignedDuration, ToSpan as _};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

const ZONES: [&str; 14] = [
    "UTC",
    "Europe/Paris",
    "Europe/Dublin",
    "Europe/London",
    "America/New_York",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/St_Johns",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Asia/Jerusalem",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
];

/// How long is walked over.
const MINUTES: usize = 3 * 24 * 60;

/// A window of whole minutes, as numbers.
#[derive(Debug, Clone)]
struct Numbers {
    minutes: Vec<i8>,
    hours: Vec<i8>,
    /// From 0, Sunday.
    days: Vec<i8>,
    length: usize,
}

impl Numbers {
    fn window(&self, zone: &Zone) -> Window {
        let list = |numbers: &[i8]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let cron = format!("{} {} * * {}", list(&self.minutes), list(&self.hours), list(&self.days));
        window(&cron, &format!("{}m", self.length), &zone.to_string())
    }

    /// One time of the day moves out of an hour that is not there; several times of it are left out.
    fn is_one_time(&self) -> bool {
        self.minutes.len() == 1 && self.hours.len() == 1
    }

    fn begins(&self, minute: Timestamp, zone: &Zone) -> bool {
        let (here, before) = (zone.at(minute), zone.at(minute - 1.minute()));
        let named = |time: jiff::civil::DateTime| {
            self.minutes.contains(&time.minute()) && self.hours.contains(&time.hour())
        };
        let day = self.days.contains(&here.weekday().to_sunday_zero_offset());
        let second_time = match zone.rules().to_ambiguous_timestamp(here.datetime()).offset() {
            AmbiguousOffset::Fold { after, .. } => here.offset() == after,
            _ => false,
        };
        if day && named(here.datetime()) && !(second_time && self.is_one_time()) {
            return true;
        }
        let mut skipped = before.datetime() + 1.minute();
        while self.is_one_time() && skipped < here.datetime() {
            if day && named(skipped) {
                return true;
            }
            skipped += 1.minute();
        }
        false
    }
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let minutes = prop_oneof![select((0..60).collect::<Vec<i8>>()).prop_map(|m| vec![m]), {
        subsequence((0..60).collect::<Vec<i8>>(), 1..5)
    }];
    let night = || (0..5).collect::<Vec<i8>>();
    let hours = prop_oneof![
        select(night()).prop_map(|h| vec![h]),
        subsequence(night(), 1..4),
        subsequence((0..24).collect::<Vec<i8>>(), 1..6)
    ];
    let days = prop_oneof![Just((0..7).collect::<Vec<i8>>()), subsequence((0..7).collect::<Vec<i8>>(), 1..7)];
    (minutes, hours, days, 1_usize..400).prop_map(|(minutes, hours, days, length)| Numbers {
        minutes,
        hours,
        days,
        length,
    })
}

/// A whole minute some time before a change of the clocks, where there is one.
fn start() -> impl Strategy<Value = (Zone, Timestamp)> {
    (select(ZONES.to_vec()), 0_usize..4, 0_i64..40).prop_map(|(zone, nth, hours)| {
        let zone: Zone = zone.parse().unwrap();
        let from = at("2026-01-15T00:00:00Z");
        let changes = zone.rules().following(from).nth(nth).map_or(from, |change| change.timestamp());
        let start = changes - SignedDuration::from_hours(hours);
        (zone, start - SignedDuration::from_secs(start.as_second().rem_euclid(60)))
    })
}

fn frozen() -> impl Strategy<Value = Vec<(usize, usize)>> {
    proptest::collection::vec((0..MINUTES, 1_usize..600), 0..3)
}

/// Which of the minutes are open.
fn walk(windows: &[Numbers], frozen: &[(usize, usize)], zone: &Zone, start: Timestamp) -> Vec<bool> {
    let minute = |n: i64| start + SignedDuration::from_mins(n);
    let ahead = windows.iter().map(|w| w.length).max().unwrap_or(0);
    let mut open = vec![windows.is_empty(); MINUTES];
    for n in 0..MINUTES + ahead {
        let now = n.cast_signed() as i64 - ahead.cast_signed() as i64;
        for window in windows.iter().filter(|window| window.begins(minute(now), zone)) {
            for covered in n..n + window.length {
                if let Some(open) = covered.checked_sub(ahead).and_then(|m| open.get_mut(m)) {
                    *open = true;
                }
            }
        }
    }
    for (from, length) in frozen {
        open.iter_mut().skip(*from).take(*length).for_each(|open| *open = false);
    }
    open
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_minute_is_open_or_closed_as_when_looked_at_by_itself(
        windows in proptest::collection::vec(numbers(), 0..3),
        frozen in frozen(),
        (zone, start) in start(),
    ) {
        let expected = walk(&windows, &frozen, &zone, start);
        let minute = |n: usize| start + SignedDuration::from_mins(n.cast_signed() as i64);
        let freeze = |(from, length): &(usize, usize)| Freeze {
            text: String::new(),
            from: minute(*from),
            until: minute(from + length),
        };
        let calendar = Calendar {
            windows: windows.iter().map(|numbers| numbers.window(&zone)).collect(),
            freezes: frozen.iter().map(freeze).collect(),
            zone: zone.clone(),
        };
        let mut found = vec![false; MINUTES];
        for opening in calendar.openings(start).take_while(|opening| opening.from < minute(MINUTES)) {
            let place = |at: Timestamp| usize::try_from(at.duration_since(start).as_mins()).unwrap();
            let until = opening.until.map_or(MINUTES, place).min(MINUTES);
            found[place(opening.from)..until].fill(true);
        }
        let wrong: BTreeSet<_> = (0..MINUTES).filter(|n| found[*n] != expected[*n]).map(|n| zone.show(minute(n))).collect();
        prop_assert!(wrong.is_empty(), "wrong: {:?}", wrong);
        for n in (0..MINUTES).step_by(61) {
            prop_assert_eq!(calendar.open_at(minute(n)).is_some(), expected[n], "{}", zone.show(minute(n)));
        }
    }
}
