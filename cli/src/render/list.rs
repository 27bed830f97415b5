//! Tables: deployments, environments, agents.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use stopover_model::duration::human;

use super::View;
use super::line::escaped;
use super::number::{between, relative};
use crate::answer::{AgentRow, DeploymentRow, EnvironmentRow, TokenRow};

/// Newest first, as they come.
#[must_use]
pub fn deployments(rows: &[DeploymentRow], view: View) -> String {
    if rows.is_empty() {
        return "no deployments yet; stopover deploy DIR makes one".to_owned();
    }
    let names = |row: &DeploymentRow| {
        let mut names: Vec<_> = row.migrations.iter().map(ToString::to_string).collect();
        if names.len() > 2 {
            let more = names.len() - 1;
            names.truncate(1);
            names.push(format!("and {more} more"));
        }
        names.join(", ")
    };
    let state = |row: &DeploymentRow| match row.outcome {
        // What it was there for is said with its place.
        Some(outcome) if row.at.ends_with(&format!(": rehearsal {outcome}")) => {
            format!("rehearsal {outcome}")
        }
        Some(outcome) => outcome.to_string(),
        None => row.at.clone(),
    };
    let rows = rows.iter().map(|row| {
        [
            row.deployment.to_string(),
            names(row),
            row.pipeline.to_string(),
            state(row),
            row.by.to_string(),
            relative(row.created_at, view.now),
        ]
    });
    table(["ID", "MIGRATION", "PIPELINE", "STATE", "BY", "BEGAN"], rows, view)
}

/// Each database on a line of its own.
#[must_use]
pub fn environments(rows: &[EnvironmentRow], view: View) -> String {
    if rows.is_empty() {
        return "no environments yet; stopover environment create NAME makes one".to_owned();
    }
    let mut cells = Vec::new();
    for row in rows {
        let held = row.held_by.as_ref().map_or("free".to_owned(), |by| format!("held by {by}"));
        if row.databases.is_empty() {
            cells.push([row.name.to_string(), held.clone(), "-".to_owned(), "no agent yet".to_owned()]);
        }
        for database in &row.databases {
            let agent = format!("{}{}", database.agent, if database.connected { "" } else { " (away)" });
            let labels: Vec<_> =
                database.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let name = [database.name.to_string(), labels.join(" ")].join("  ").trim_end().to_owned();
            cells.push([row.name.to_string(), held.clone(), name, agent]);
        }
    }
    table(["ENVIRONMENT", "DEPLOYMENT", "DATABASE", "AGENT"], cells, view)
}

#[must_use]
pub fn agents(rows: &[AgentRow], view: View) -> String {
    if rows.is_empty() {
        return "no agents yet; stopover agent token ENVIRONMENT lets one join".to_owned();
    }
    let rows = rows.iter().map(|row| {
        let seen = match (row.connected, row.last_seen) {
            (true, Some(at)) => format!("connected for {}", human(between(at, view.now))),
            (true, None) => "connected".to_owned(),
            (false, Some(at)) => format!("away, seen {}", relative(at, view.now)),
            (false, None) => "never connected".to_owned(),
        };
        let databases: Vec<_> = row.databases.iter().map(ToString::to_string).collect();
        let ends = |at| {
            if at > view.now { relative(at, view.now) } else { format!("ended {}", relative(at, view.now)) }
        };
        let certificate = row.certificate_ends.map_or("-".to_owned(), ends);
        [
            row.name.to_string(),
            row.environment.to_string(),
            seen,
            databases.join(", "),
            row.version.clone().unwrap_or_else(|| "-".to_owned()),
            certificate,
        ]
    });
    table(["AGENT", "ENVIRONMENT", "STATE", "DATABASES", "VERSION", "CERTIFICATE ENDS"], rows, view)
}

/// With those that are no longer good.
#[must_use]
pub fn tokens(rows: &[TokenRow], view: View) -> String {
    let cells = rows.iter().map(|row| {
        let groups: Vec<_> = row.groups.iter().map(ToString::to_string).collect();
        let state = match (row.revoked_at, &row.revoked_by, row.expires_at) {
            (Some(at), Some(by), _) => format!("revoked {}, by {by}", relative(at, view.now)),
            (Some(at), None, _) => format!("revoked {}", relative(at, view.now)),
            (None, _, Some(at)) if at <= view.now => format!("ended {}", relative(at, view.now)),
            (None, _, Some(at)) => format!("ends {}", relative(at, view.now)),
            (None, _, None) => "never ends".to_owned(),
        };
        [
            row.id.to_string(),
            row.operator.to_string(),
            if row.roles.is_empty() { "-".to_owned() } else { row.roles.to_string() },
            if groups.is_empty() { "-".to_owned() } else { groups.join(", ") },
            row.created_by.as_ref().map_or_else(|| "the server".to_owned(), ToString::to_string),
            state,
        ]
    });
    table(["ID", "NAME", "ROLES", "GROUPS", "MADE BY", "STATE"], cells, view)
}

/// Aligned columns within the view's width; every cell is escaped.
#[must_use]
pub fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    view: View,
) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.force_no_tty();
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(view.width).unwrap_or(u16::MAX));
    table.set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| escaped(&cell)));
    }
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{at, view};
    use stopover_model::role::{Grants, Role};

    use super::*;
    use crate::answer::DatabaseRow;

    fn deployment(
        id: &str,
        at_: &str,
        outcome: Option<stopover_model::event::DeploymentOutcome>,
    ) -> DeploymentRow {
        DeploymentRow {
            deployment: id.parse().unwrap(),
            pipeline: "users-db".parse().unwrap(),
            migrations: vec!["001_add_onboarding_completed".parse().unwrap()],
            by: "admin".parse().unwrap(),
            created_at: at(0),
            updated_at: at(50),
            outcome,
            at: at_.into(),
        }
    }

    #[test]
    fn deployments_fit_a_terminal() {
        use stopover_model::event::DeploymentOutcome::{RolledBack, Succeeded};
        let rows = [
            deployment("4k2m9x0c1d", "production: migrate", None),
            deployment("0000000001", "", Some(Succeeded)),
            deployment("0000000002", "\u{1b}[2J", Some(RolledBack)),
        ];
        insta::assert_snapshot!(deployments(&rows, view()), @r#"
        ID          MIGRATION                  PIPELINE  STATE        BY     BEGAN
        4k2m9x0c1d  001_add_onboarding_comple  users-db  production:  admin  1m 40s ago
                    ted                                  migrate
        0000000001  001_add_onboarding_comple  users-db  succeeded    admin  1m 40s ago
                    ted
        0000000002  001_add_onboarding_comple  users-db  rolled back  admin  1m 40s ago
                    ted
        "#);
        let narrow = deployments(&rows, View { width: 60, ..view() });
        assert!(narrow.lines().all(|l| l.chars().count() <= 60), "{narrow}");
        assert!(deployments(&[], view()).contains("stopover deploy DIR"));
    }

    #[test]
    fn environments_show_who_is_there() {
        let database = |connected| DatabaseRow {
            name: "app".parse().unwrap(),
            agent: "production-1".parse().unwrap(),
            labels: std::collections::BTreeMap::new(),
            connected,
        };
        let rows = [
            EnvironmentRow { name: "staging".parse().unwrap(), held_by: None, databases: vec![] },
            EnvironmentRow {
                name: "production".parse().unwrap(),
                held_by: Some("4k2m9x0c1d".parse().unwrap()),
                databases: vec![database(true), database(false)],
            },
        ];
        insta::assert_snapshot!(environments(&rows, view()), @r#"
        ENVIRONMENT  DEPLOYMENT          DATABASE  AGENT
        staging      free                -         no agent yet
        production   held by 4k2m9x0c1d  app       production-1
        production   held by 4k2m9x0c1d  app       production-1 (away)
        "#);
    }

    #[test]
    fn agents_show_since_when() {
        let agent = |connected, last_seen| AgentRow {
            name: "staging-1".parse().unwrap(),
            environment: "staging".parse().unwrap(),
            connected,
            last_seen,
            version: Some("0.1.0".into()),
            databases: vec!["app".parse().unwrap()],
            certificate_ends: Some(at(86_400)),
        };
        let rows = [agent(true, Some(at(40))), agent(false, Some(at(2))), agent(false, None)];
        insta::assert_snapshot!(agents(&rows, View { width: 120, ..view() }), @r#"
        AGENT      ENVIRONMENT  STATE                  DATABASES  VERSION  CERTIFICATE ENDS
        staging-1  staging      connected for 1m 00s   app        0.1.0    in 23h 58m
        staging-1  staging      away, seen 1m 38s ago  app        0.1.0    in 23h 58m
        staging-1  staging      never connected        app        0.1.0    in 23h 58m
        "#);
    }

    #[test]
    fn tokens_say_until_when_they_are_good() {
        let token = |id: &str, operator: &str, admin| TokenRow {
            id: id.parse().unwrap(),
            operator: operator.parse().unwrap(),
            groups: vec!["dba".parse().unwrap()],
            roles: Grants::everywhere(if admin { Role::Admin } else { Role::Operator }),
            admin,
            created_at: at(0),
            created_by: (!admin).then(|| "admin".parse().unwrap()),
            expires_at: (!admin).then(|| at(190)),
            revoked_at: None,
            revoked_by: None,
        };
        let ended = TokenRow { expires_at: Some(at(90)), ..token("0000000002", "ben", false) };
        let revoked = TokenRow {
            revoked_at: Some(at(40)),
            revoked_by: Some("admin".parse().unwrap()),
            ..token("0000000003", "ben", false)
        };
        let rows = [token("0000000000", "admin", true), token("0000000001", "anna", false), ended, revoked];
        let shown = tokens(&rows, view());
        let states: Vec<_> = shown
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().skip(4).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            states,
            [
                "the server never ends",
                "admin ends in 1m 30s",
                "admin ended 10 s ago",
                "admin revoked 1m 00s ago, by admin"
            ]
        );
    }
}
