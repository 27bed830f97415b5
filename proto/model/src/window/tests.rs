mod walk;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(cron: &str, length: &str, zone: &str) -> Window {
    Window {
        cron: cron.parse().unwrap(),
        length: crate::duration::parse(length).unwrap(),
        timezone: zone.parse().unwrap(),
        at_end: AtEnd::Pause,
    }
}

fn calendar(windows: &[(&str, &str)], freezes: &[&str], zone: &str) -> Calendar {
    let zone: Zone = zone.parse().unwrap();
    Calendar {
        windows: windows.iter().map(|(cron, length)| window(cron, length, &zone.to_string())).collect(),
        freezes: freezes.iter().map(|text| Freeze::parse(text, &zone).unwrap()).collect(),
        zone,
    }
}

/// The next openings from a time on.
fn next(calendar: &Calendar, from: &str, count: usize) -> Vec<String> {
    let shown = |o: Opening| format!("{}/{}", o.from, o.until.map_or("…".to_owned(), |u| u.to_string()));
    calendar.openings(at(from)).take(count).map(shown).collect()
}

#[test]
fn a_window_opens_on_its_days_and_closes_after_its_length() {
    let weekdays = calendar(&[("0 2 * * 1-5", "30m")], &[], "Europe/Paris");
    let friday_noon = "2026-11-27T11:00:00Z";
    assert_eq!(
        next(&weekdays, friday_noon, 2),
        ["2026-11-30T01:00:00Z/2026-11-30T01:30:00Z", "2026-12-01T01:00:00Z/2026-12-01T01:30:00Z"]
    );
    assert_eq!(weekdays.open_at(at(friday_noon)), None);
    let inside = weekdays.open_at(at("2026-11-30T01:29:59.999Z")).unwrap();
    assert_eq!(
        (inside.left(), inside.from),
        (Some(Duration::from_millis(1)), at("2026-11-30T01:29:59.999Z"))
    );
    assert_eq!(weekdays.open_at(at("2026-11-30T01:30:00Z")), None);
    assert!(weekdays.open_at(at("2026-11-30T01:00:00Z")).is_some());
}

#[test]
fn without_windows_only_freezes_close() {
    assert_eq!(Calendar::default().open_at(at("2026-01-01T00:00:00Z")).unwrap().until, None);
    let frozen = calendar(&[], &["2026-12-20/2027-01-04"], "Europe/Paris");
    assert_eq!(
        next(&frozen, "2026-12-01T00:00:00Z", 2),
        ["2026-12-01T00:00:00Z/2026-12-19T23:00:00Z", "2027-01-04T23:00:00Z/…"]
    );
    assert_eq!(frozen.frozen_at(at("2026-12-19T23:00:00Z")), Some(at("2027-01-04T23:00:00Z")));
    assert_eq!(frozen.frozen_at(at("2027-01-04T23:00:00Z")), None);
}

#[test]
fn an_opening_in_the_hour_that_a_night_lacks_is_behind_it() {
    let paris = calendar(&[("30 2 * * *", "30m")], &[], "Europe/Paris");
    assert_eq!(
        next(&paris, "2027-03-27T12:00:00Z", 2),
        ["2027-03-28T01:00:00Z/2027-03-28T01:30:00Z", "2027-03-29T00:30:00Z/2027-03-29T01:00:00Z"]
    );
    // Midnight is what this night lacks.
    let santiago = calendar(&[("0 0 * * 0", "1h")], &[], "America/Santiago");
    assert_eq!(next(&santiago, "2026-09-05T12:00:00Z", 1), ["2026-09-06T04:00:00Z/2026-09-06T05:00:00Z"]);
    // Half an hour.
    let lord_howe = calendar(&[("15 2 * * *", "10m")], &[], "Australia/Lord_Howe");
    assert_eq!(next(&lord_howe, "2026-10-03T12:00:00Z", 1), ["2026-10-03T15:30:00Z/2026-10-03T15:40:00Z"]);
}

#[test]
fn an_opening_in_the_hour_that_a_night_has_twice_comes_once_and_lasts_its_length() {
    let paris = calendar(&[("30 2 * * *", "30m")], &[], "Europe/Paris");
    assert_eq!(
        next(&paris, "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00Z/2026-10-25T01:00:00Z", "2026-10-26T01:30:00Z/2026-10-26T02:00:00Z"]
    );
    // From 01:30 on, two hours of real time: to 02:30 the second time.
    let long = calendar(&[("30 1 * * *", "2h")], &[], "Europe/Paris");
    assert_eq!(next(&long, "2026-10-24T12:00:00Z", 1), ["2026-10-24T23:30:00Z/2026-10-25T01:30:00Z"]);
}

#[test]
fn windows_that_touch_or_overlap_are_one() {
    let touching = calendar(&[("0 1 * * *", "1h"), ("0 2 * * *", "1h"), ("30 2 * * *", "1h")], &[], "UTC");
    assert_eq!(next(&touching, "2026-11-24T00:00:00Z", 1), ["2026-11-24T01:00:00Z/2026-11-24T03:30:00Z"]);
    let always = calendar(&[("* * * * *", "1m")], &[], "UTC");
    assert_eq!(next(&always, "2026-11-24T00:00:00Z", 2), ["2026-11-24T00:00:00Z/…"]);
    let seconds = calendar(&[("*/10 * * * * *", "4s")], &[], "UTC");
    assert_eq!(
        next(&seconds, "2026-11-24T00:00:05Z", 2),
        ["2026-11-24T00:00:10Z/2026-11-24T00:00:14Z", "2026-11-24T00:00:20Z/2026-11-24T00:00:24Z"]
    );
}

#[test]
fn windows_of_several_zones_go_together() {
    let mut both = calendar(&[("0 2 * * *", "30m")], &[], "Europe/Paris");
    both.windows.push(window("0 2 * * *", "30m", "America/New_York"));
    assert_eq!(
        next(&both, "2026-11-24T00:00:00Z", 2),
        ["2026-11-24T01:00:00Z/2026-11-24T01:30:00Z", "2026-11-24T07:00:00Z/2026-11-24T07:30:00Z"]
    );
}

#[test]
fn a_freeze_goes_over_windows_and_cuts_them() {
    let cut = calendar(
        &[("0 2 * * *", "3h")],
        &["2026-11-24T03:00/2026-11-24T04:00", "2026-11-25/2026-11-26", "2026-11-27/2026-11-27"],
        "UTC",
    );
    assert_eq!(
        next(&cut, "2026-11-24T00:00:00Z", 3),
        [
            "2026-11-24T02:00:00Z/2026-11-24T03:00:00Z",
            "2026-11-24T04:00:00Z/2026-11-24T05:00:00Z",
            "2026-11-28T02:00:00Z/2026-11-28T05:00:00Z"
        ]
    );
    assert_eq!(cut.frozen_at(at("2026-11-25T00:00:00Z")), Some(at("2026-11-28T00:00:00Z")), "they touch");
}

#[test]
fn what_goes_on_at_a_windows_end_pauses_at_a_freeze_all_the_same() {
    let mut calendar = calendar(&[("0 2 * * *", "3h")], &["2026-11-25T03:00/2026-11-25T09:00"], "UTC");
    calendar.windows[0].at_end = AtEnd::GoOn;
    let ends: Vec<_> = calendar.openings(at("2026-11-24T00:00:00Z")).take(2).map(|o| o.at_end).collect();
    assert_eq!(ends, [AtEnd::GoOn, AtEnd::Pause]);
}

#[test]
fn what_never_opens_is_known() {
    let never = |calendar: Calendar| calendar.next(at("2026-11-24T00:00:00Z")).is_none();
    assert!(never(calendar(&[("0 2 30 2 *", "1h")], &[], "Europe/Paris")));
    assert!(never(calendar(&[("0 2 * 12 *", "1h")], &["2026-11-01/2029-01-01"], "Europe/Paris")));
    assert!(!never(calendar(&[("0 2 29 2 *", "1h")], &[], "Europe/Paris")), "in 2028");
    assert!(!never(calendar(&[("0 2 * 12 *", "1h")], &["2026-11-01/2027-12-01"], "Europe/Paris")));
}

#[test]
fn what_does_not_fit_waits_for_an_opening_with_room() {
    let nights = calendar(&[("0 2 * * 1-5", "30m"), ("0 2 * * 6", "4h")], &[], "UTC");
    let monday = at("2026-11-23T02:20:00Z");
    let room = |minutes| nights.next_with_room(monday, Duration::from_mins(minutes)).map(|o| o.from);
    assert_eq!(room(10), Some(monday));
    assert_eq!(room(11), Some(at("2026-11-24T02:00:00Z")));
    assert_eq!(room(31), Some(at("2026-11-28T02:00:00Z")));
    assert_eq!(room(241), None);
    assert_eq!(nights.longest(monday), Some(Duration::from_hours(4)));
}

#[test]
fn a_time_is_shown_where_it_is_and_in_utc() {
    let shown = |zone: &str, time| zone.parse::<Zone>().unwrap().show(at(time));
    assert_eq!(
        shown("Europe/Paris", "2026-11-24T01:00:00Z"),
        "Tue 2026-11-24 02:00 Europe/Paris (01:00 UTC)"
    );
    assert_eq!(
        shown("Europe/Paris", "2026-11-23T23:30:10Z"),
        "Tue 2026-11-24 00:30:10 Europe/Paris (Mon 23:30:10 UTC)"
    );
    assert_eq!(shown("UTC", "2026-11-24T01:00:00Z"), "Tue 2026-11-24 01:00 UTC");
}

#[test]
fn what_is_none_says_what_to_write() {
    let cron = |text: &str| text.parse::<Cron>().unwrap_err().to_string();
    assert!(cron("0 25 * * *").starts_with("`0 25 * * *` is no cron expression: "), "{}", cron("0 25 * * *"));
    assert!(cron("2 o'clock").contains("it has 2 fields; write minute, hour"), "{}", cron("2 o'clock"));
    assert!(cron("0 2 * * 1-5 2026 x").contains("it has 7 fields"));
    let zone = |text: &str| text.parse::<Zone>().unwrap_err().to_string();
    assert_eq!(zone("Europe/Pariss"), "there is no time zone `Europe/Pariss`; did you mean `Europe/Paris`?");
    assert!(zone("here").contains("write a name of the IANA database"), "{}", zone("here"));
    let utc = Zone::default();
    let freeze = |text: &str| Freeze::parse(text, &utc).unwrap_err();
    assert!(freeze("2026-12-20").contains("write its first and its last day"));
    assert!(freeze("2026-12-20/soon").contains("is no freeze"));
    assert!(freeze("2027-01-04/2026-12-20").contains("ends before it begins"));
}

#[test]
fn a_calendar_is_stored_as_it_was_written() {
    let calendar = calendar(&[("0 2 * * MON-FRI", "30m")], &["2026-12-20/2027-01-04"], "Europe/Paris");
    let json = serde_json::to_value(&calendar).unwrap();
    assert_eq!(
        json["windows"][0],
        serde_json::json!({ "cron": "0 2 * * MON-FRI", "for": "30m", "timezone": "Europe/Paris" })
    );
    assert_eq!(serde_json::from_value::<Calendar>(json).unwrap(), calendar);
}
