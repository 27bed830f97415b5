//! A pipeline, as the server understood it.

use stopover_model::pipeline::Pipeline;

use super::line::Line;
use super::plan::{findings, spec_lines};
use super::{View, window};

#[must_use]
pub fn lines(pipeline: &Pipeline, revision: u64, view: View) -> Vec<Line> {
    let heading = Line::new().strong(pipeline.name.as_str()).dim(format!("  revision {revision}"));
    let mut lines = vec![heading.cut(view.width)];
    if !pipeline.contacts.is_empty() {
        lines.extend(
            Line::new().dim("  contacts  ").plain(pipeline.contacts.join(", ")).wrapped(view.width, 12),
        );
    }
    if let Some(text) = findings::settings(&pipeline.lint) {
        lines.extend(Line::new().dim("  lint      ").plain(text).wrapped(view.width, 12));
    }
    for (n, notify) in pipeline.notify.iter().enumerate() {
        let label = if n == 0 { "  tells     " } else { "            " };
        let kinds: Vec<_> = notify.events.iter().map(|kind| kind.as_str()).collect();
        let line = Line::new().dim(label).plain(notify.to.to_string());
        lines.extend(line.dim(format!("  of {}", kinds.join(", "))).wrapped(view.width, 12));
    }
    for (n, stage) in pipeline.stages.iter().enumerate() {
        let databases: Vec<_> = stage.databases.iter().map(ToString::to_string).collect();
        let databases = if databases.is_empty() { "all databases".to_owned() } else { databases.join(", ") };
        let heading = Line::new().plain(format!("  {}. ", n + 1)).strong(stage.environment.as_str());
        lines.extend(heading.dim(format!("  {databases}")).wrapped(view.width, 5));
        let windows = window::lines(stage, 3, view.now);
        for (label, text) in windows.into_iter().chain(spec_lines(stage)) {
            lines.extend(Line::new().dim(format!("     {label:8}")).plain(text).wrapped(view.width, 13));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::line::text;
    use super::super::sample::{pipeline, view};

    #[test]
    fn what_the_linter_may_and_may_not_find_is_shown_for_all_stages_and_for_each() {
        let mut pipeline = pipeline();
        pipeline.lint.warn = vec!["all".into()];
        pipeline.lint.refuse = vec!["ban-drop-table".into(), "stopover/update-without-where".into()];
        pipeline.stages[0].lint.allow = vec!["all".into()];
        let text = text(&super::lines(&pipeline, 3, view()));
        let of_all = "  lint      refuses ban-drop-table, stopover/update-without-where; warns of all\n";
        assert!(text.contains(of_all) && text.contains("     lint    allows all\n"), "{text}");
    }

    #[test]
    fn a_pipeline_says_what_must_be_true_on_the_way() {
        insta::assert_snapshot!(text(&super::lines(&pipeline(), 3, view())), @r#"
        users-db  revision 3
          contacts  #db-oncall
          1. staging  all databases
             backup  recorded, before the first statement
             locks   waited for 100ms (CONCURRENTLY for 10m), then others go first
                     tried again for 10m; not beside a dump or a transaction over 5m
             fails   then everything pauses for a person
             rests   10s under observation
          2. production  all databases
             backup  decoded, before the first statement
             locks   waited for 100ms (CONCURRENTLY for 10m), then others go first
                     tried again for 10m; not beside a dump or a transaction over 5m
             fails   then this stage is rolled back
        "#);
    }
}
