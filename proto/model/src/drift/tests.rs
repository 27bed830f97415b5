use super::*;

pub(crate) fn object(kind: &str, name: &str, table: Option<&str>, change: ObjectChange) -> DriftedObject {
    DriftedObject {
        kind: kind.into(),
        name: name.into(),
        table: table.map(Into::into),
        change,
        details: Vec::new(),
    }
}

pub(crate) fn drift() -> Drift {
    let users = Some("public.users");
    let nick = DriftedObject {
        details: vec!["type integer -> bigint".into()],
        ..object("column", "public.users.nick", users, ObjectChange::Changed)
    };
    Drift {
        since: "2026-08-12T09:41:00Z".parse().unwrap(),
        deployment: DeploymentId::from_random(3),
        migration: Some("001_a".parse().unwrap()),
        origin: None,
        objects: vec![
            object("index", "public.users_email_idx", users, ObjectChange::Added),
            nick,
            object("table", "partman.part_config", None, ObjectChange::Removed),
        ],
        more: 0,
        partitions: 2,
    }
}

#[test]
fn objects_are_named_as_people_know_them() {
    let drift = drift();
    let all = drift.counted(&[]);
    assert_eq!(
        all.named(2),
        "index public.users_email_idx is new, column public.users.nick changed (type integer -> bigint), and 1 more"
    );
    assert!(
        drift.last_known().ends_with("left it with 001_a, 2026-08-12 09:41 UTC"),
        "{}",
        drift.last_known()
    );
    let accepted = Drift { origin: Some("accepted by anna".into()), ..drift };
    assert_eq!(accepted.last_known(), "as it was accepted by anna, 2026-08-12 09:41 UTC");
}

#[test]
fn a_pattern_takes_out_objects_and_what_belongs_to_them() {
    let drift = drift();
    let left = |globs: &[&str]| {
        let globs: Vec<ObjectGlob> = globs.iter().map(|glob| glob.parse().unwrap()).collect();
        drift.counted(&globs).objects.iter().map(|object| object.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(left(&["partman.*"]), ["public.users_email_idx", "public.users.nick"]);
    assert_eq!(left(&["public.users"]), ["partman.part_config"]);
    assert_eq!(left(&["public.users_email_i?x", "part*"]), ["public.users.nick"]);
    assert_eq!(left(&["users"]).len(), 3, "a name without its schema means nothing");
    assert!(left(&["*"]).is_empty());
    let schema =
        Drift { objects: vec![object("schema", "partman", None, ObjectChange::Added)], ..drift.clone() };
    for (glob, fits) in [("partman.*", true), ("partman", true), ("partman.part*", false)] {
        assert_eq!(schema.counted(&[glob.parse().unwrap()]).is_empty(), fits, "{glob}");
    }
    let cut = Drift { more: 7, ..drift };
    assert!(!cut.counted(&["*".parse().unwrap()]).is_empty(), "what is not named is not ignored");
    for bad in ["", "public.[", "a***"] {
        assert!(bad.parse::<ObjectGlob>().is_err(), "{bad}");
    }
}
