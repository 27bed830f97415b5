//! What differs from a schema as it was last known.

use stopover_model::drift::{Comparison, Drift, DriftedObject, ObjectChange};

use super::View;
use super::line::{Line, Tone};
use super::number::count;
use crate::answer::DatabaseDrift;

/// One database's part.
#[must_use]
pub fn lines(target: &DatabaseDrift, view: View) -> Vec<Line> {
    let mut lines = vec![Line::new().strong(target.database.as_str())];
    match target.found.as_ref().map(|look| &look.comparison) {
        Some(Comparison::Known(drift)) => lines.extend(of_drift(drift, view)),
        Some(Comparison::Unknown { why }) => {
            lines.extend(Line::new().indented(2).plain(why).wrapped(view.width, 2));
        }
        None => {}
    }
    if let Some(error) = &target.failed {
        let inner = super::error::lines(error, view.width.saturating_sub(2));
        lines.extend(inner.into_iter().map(|line| line.indented(2)));
    }
    lines
}

fn of_drift(drift: &Drift, view: View) -> Vec<Line> {
    let head = if drift.is_none() {
        Line::of(Tone::Good, "  ✓ ").plain("no drift: the schema is ")
    } else {
        Line::of(Tone::Warn, "  ! ").plain("the schema is not ")
    };
    let mut lines = head.plain(drift.last_known()).wrapped(view.width, 4);
    lines.extend(drift.objects.iter().flat_map(|object| of_object(object, view)));
    if drift.more > 0 {
        lines.push(Line::new().indented(4).plain(format!("and {} more", count(drift.more, "object"))));
    }
    if drift.partitions > 0 {
        let text = format!("{} came or went, which is no drift", count(drift.partitions, "partition"));
        lines.push(Line::new().indented(4).dim(text));
    }
    lines
}

fn of_object(object: &DriftedObject, view: View) -> Vec<Line> {
    let sign = match object.change {
        ObjectChange::Added => "+ ",
        ObjectChange::Removed => "- ",
        ObjectChange::Changed => "~ ",
    };
    let line = Line::new().indented(4).plain(sign).plain(&object.kind).plain(" ").strong(&object.name);
    let line = match object.details.as_slice() {
        [] => line,
        details => line.plain(": ").plain(details.join("; ")),
    };
    line.wrapped(view.width, 6)
}

#[cfg(test)]
mod tests {
    use stopover_model::digest::Digest;
    use stopover_model::drift::SchemaLook;

    use super::super::line::text;
    use super::super::sample::{at, view};
    use super::*;

    fn target(comparison: Comparison) -> DatabaseDrift {
        let look = SchemaLook { schema: Digest::from_bytes([1; 32]), comparison };
        DatabaseDrift { database: "app".parse().unwrap(), found: Some(look), accepted: false, failed: None }
    }

    fn drift() -> Drift {
        let object = |kind: &str, name: &str, change, details: &[&str]| DriftedObject {
            kind: kind.into(),
            name: name.into(),
            table: None,
            change,
            details: details.iter().map(|d| (*d).to_owned()).collect(),
        };
        Drift {
            since: at(0),
            deployment: "aacj4d44at".parse().unwrap(),
            migration: Some("001_x".parse().unwrap()),
            origin: None,
            objects: vec![
                object("index", "public.i", ObjectChange::Added, &["CREATE INDEX i ON public.users (email)"]),
                object("column", "public.users.nick", ObjectChange::Changed, &["type integer -> bigint"]),
                object("table", "public.old", ObjectChange::Removed, &[]),
            ],
            more: 2,
            partitions: 1,
        }
    }

    #[test]
    fn each_object_has_a_line() {
        insta::assert_snapshot!(text(&lines(&target(Comparison::Known(drift())), view())), @r"
        app
          ! the schema is not as deployment aacj4d44at left it with 001_x, 2025-01-16
            14:00 UTC
            + index public.i: CREATE INDEX i ON public.users (email)
            ~ column public.users.nick: type integer -> bigint
            - table public.old
            and 2 objects more
            1 partition came or went, which is no drift
        ");
        let none = Drift { objects: vec![], more: 0, ..drift() };
        insta::assert_snapshot!(text(&lines(&target(Comparison::Known(none)), view())), @r"
        app
          ✓ no drift: the schema is as deployment aacj4d44at left it with 001_x,
            2025-01-16 14:00 UTC
            1 partition came or went, which is no drift
        ");
        let unknown = Comparison::Unknown { why: "nothing of the schema is recorded yet".into() };
        assert!(!target(unknown.clone()).has_drifted() && target(unknown).may_be_accepted());
        assert!(target(Comparison::Known(drift())).has_drifted());
    }
}
