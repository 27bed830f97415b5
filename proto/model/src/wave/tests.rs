use std::collections::BTreeMap;

use super::*;

fn labels(all: &[(&str, &str)]) -> Labels {
    let all: BTreeMap<_, _> = all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Labels::try_from(all).unwrap()
}

/// The sizes of the waves that so many databases are put into, every third in the region eu.
fn sizes(waves: &[&str], count: usize) -> Result<Vec<usize>, String> {
    let waves: Vec<Wave> = waves.iter().map(|w| w.parse().unwrap()).collect();
    let names: Vec<DatabaseName> = (0..count).map(|n| format!("db-{n:05}").parse().unwrap()).collect();
    let (eu, us) = (labels(&[("region", "eu")]), labels(&[]));
    let all: Vec<_> =
        names.iter().enumerate().map(|(n, name)| (name, if n % 3 == 0 { &eu } else { &us })).collect();
    let divided = divide(&waves, &all).map_err(|selector| selector.to_string())?;
    let mut everybody: Vec<_> = divided.iter().flatten().copied().collect();
    everybody.sort();
    assert_eq!(everybody, names.iter().collect::<Vec<_>>(), "each in exactly one");
    Ok(divided.iter().map(Vec::len).collect())
}

#[test]
fn each_database_is_in_exactly_one_wave_and_odd_parts_are_rounded_up() {
    for (waves, count, expected) in [
        (&["canary:1", "10%", "100%"][..], 300, &[1, 29, 270][..]),
        (&["canary:1", "10%", "100%"], 7, &[1, 0, 6]),
        (&["canary:1", "50%", "100%"], 7, &[1, 3, 3]),
        (&["33%", "100%"], 10, &[4, 6]),
        (&["1%", "100%"], 1, &[1, 0]),
        (&["5", "100%"], 3, &[3, 0]),
        (&["region=eu", "100%"], 7, &[3, 4]),
        (&["1", "europe:region=eu", "100%"], 7, &[1, 2, 4]),
        (&[], 4, &[4]),
        (&["canary:1", "10%", "100%"], 10_000, &[1, 999, 9_000]),
    ] {
        assert_eq!(sizes(waves, count).unwrap(), expected, "{waves:?} of {count}");
    }
    assert_eq!(sizes(&["tier=canary", "100%"], 3).unwrap_err(), "tier=canary", "a canary that nobody is");
}

#[test]
fn what_is_no_wave_is_said() {
    for (text, expected) in [
        ("0", "`0` is not a wave"),
        ("0%", "is not a wave"),
        ("101%", "is not a wave"),
        ("all", "is not a wave; use a number"),
        (":1", "no name for a wave before its colon"),
        ("a:b:1", "is not a wave"),
        ("tier=", "`` is not the value of a label"),
        ("tier=a,tier=b", "asks for the label tier twice"),
        ("tier=a,b", "`b` selects nothing"),
    ] {
        let error = text.parse::<Wave>().unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    for text in ["canary:1", "10%", "tier=canary", "eu:region=eu,tier=a", "7"] {
        assert_eq!(text.parse::<Wave>().unwrap().to_string(), text);
    }
    assert!("-1".parse::<MaxFailures>().unwrap_err().contains("max_failures = 3"));
    assert_eq!("5%".parse::<MaxFailures>().unwrap().of_wave(39), Some(1), "rounded down");
}
