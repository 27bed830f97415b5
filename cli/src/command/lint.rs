//! `stopover lint`: what migrations would do to a database in use. Needs no server.

mod sources;

use stopover_lint::{Report, Selector, Severities, Severity};

use super::Context;
use crate::args::{LintArgs, LintFormat};
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::Line;
use sources::Source;

pub(crate) fn run(context: &Context, args: &LintArgs) -> Result<Exit, Failure> {
    let severities = severities(args)?;
    let output = context.output;
    let format = args.format.unwrap_or(if output.json { LintFormat::Json } else { LintFormat::Text });
    if args.rules {
        if format == LintFormat::Json {
            output.json(&render::lint::json::rules(&severities))?;
        } else {
            output.lines(&render::lint::rules(&severities, output.view().width))?;
        }
        return Ok(Exit::Done);
    }
    let sources =
        args.paths.iter().map(|path| Source::read(path, args.layout)).collect::<Result<Vec<_>, Failure>>()?;
    let scripts: Vec<_> = sources.iter().flat_map(Source::scripts).collect();
    let report = stopover_lint::lint(&scripts, &severities);
    let count = scripts.iter().filter(|script| !script.is_context).count();
    match format {
        LintFormat::Json => output.json(&render::lint::json::report(&report, count))?,
        LintFormat::Github => output.text_lines(&render::lint::github::lines(&report))?,
        LintFormat::Text => {
            let notes = sources.iter().flat_map(Source::notes).map(|note| Line::new().dim(note));
            output.lines(&notes.collect::<Vec<_>>())?;
            output.lines(&render::lint::lines(&report, count, output.view().width))?;
        }
    }
    Ok(exit(&report))
}

fn exit(report: &Report) -> Exit {
    if report.count(Severity::Refuse) > 0 { Exit::Failed } else { Exit::Done }
}

fn severities(args: &LintArgs) -> Result<Severities, Failure> {
    let mut severities = Severities::default();
    let given =
        [(Severity::Allow, &args.allow), (Severity::Warn, &args.warn), (Severity::Refuse, &args.refuse)];
    let mut seen: Vec<(Selector, Severity)> = Vec::new();
    for (severity, selectors) in given {
        for selector in selectors {
            if let Some((_, first)) = seen.iter().find(|(s, first)| s == selector && *first != severity) {
                let name = match selector {
                    Selector::All => "all",
                    Selector::One(rule) => rule.name(),
                };
                return Err(Failure::usage(format!("{name} is given to --{first} and to --{severity}"))
                    .with_hint("give it to one of them"));
            }
            seen.push((*selector, severity));
            severities.set(*selector, severity);
        }
    }
    Ok(severities)
}
