//! `stopover whoami`: whom the server takes somebody for, by which way, and what that lets them do.

use jiff::Timestamp;
use serde::Serialize;
use stopover_model::id::{GroupName, OperatorName};
use stopover_model::role::{Grant, Grants};
use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use crate::answer::{grant, roles};
use crate::client;
use crate::failure::{Exit, Failure};
use crate::render::line::Line;
use crate::render::number::relative;
use crate::settings::{Credential, Environment, Settings};

#[derive(Serialize)]
pub(super) struct Me {
    pub(super) operator: OperatorName,
    groups: Vec<GroupName>,
    pub(super) roles: Grants,
    expires_at: Option<Timestamp>,
    server: String,
    /// None: a token of the server.
    oidc: Option<Identity>,
    sources: Vec<Source>,
}

#[derive(Serialize)]
struct Identity {
    issuer: String,
    subject: String,
    /// What they are called there now.
    called: String,
}

/// Where a role comes from; without a group it is the token's own.
#[derive(Serialize)]
struct Source {
    role: Grant,
    group: Option<GroupName>,
}

pub(crate) async fn run(context: &Context) -> Result<Exit, Failure> {
    let settings = Settings::find(&context.global, &Environment::of_the_process())?;
    let me = ask_server(&settings).await?;
    let renewed =
        matches!(&settings.credential, Credential::Kept(kept) if kept.sign_in.refresh_token.is_some());
    let output = context.output;
    if output.json {
        output.json(&me)?;
        return Ok(Exit::Done);
    }
    output.lines(&lines(&me, renewed, output.view().now))?;
    Ok(Exit::Done)
}

fn lines(me: &Me, renewed: bool, now: Timestamp) -> Vec<Line> {
    let mut lines = vec![Line::new().strong(me.operator.to_string()).plain(format!(" at {}", me.server))];
    let mut say = |words: String| lines.push(Line::new().plain(format!("  {words}")));
    let own = me.sources.iter().all(|source| source.group.is_none());
    if own {
        say(format!("roles {}", me.roles));
    } else {
        for Source { role, group } in &me.sources {
            let from =
                group.as_ref().map_or("the token itself".to_owned(), |group| format!("the group {group}"));
            say(format!("{role}, by {from}"));
        }
    }
    if !me.groups.is_empty() {
        let groups: Vec<_> = me.groups.iter().map(ToString::to_string).collect();
        say(format!("groups {}", groups.join(", ")));
    }
    match (&me.oidc, me.expires_at) {
        (Some(Identity { issuer, subject, .. }), at) => {
            let ends = at.map_or_else(String::new, |at| format!(", which ends {}", relative(at, now)));
            let then = if renewed { " and is renewed before" } else { "" };
            say(format!("signed in at {issuer} as {subject}{ends}{then}"));
        }
        (None, Some(at)) => say(format!("the token ends {}", relative(at, now))),
        (None, None) => say("the token never ends".to_owned()),
    }
    let renamed = me.oidc.as_ref().map(|identity| identity.called.as_str());
    if let Some(called) = renamed.filter(|called| !called.is_empty() && *called != me.operator.as_str()) {
        let words =
            format!("called {called} there by now; who first came as {} stays that here", me.operator);
        lines.push(Line::new().plain(format!("  {words}")));
    }
    lines
}

pub(super) async fn ask_server(settings: &Settings) -> Result<Me, Failure> {
    let answer = client::connect(settings).await?.who_am_i(v1::WhoAmIRequest {}).await?.into_inner();
    let source = |source: v1::RoleSource| -> Result<Source, Failure> {
        Ok(Source {
            role: grant(&source.role)?,
            group: field::optional_name::read(source.group, "sources.group")?,
        })
    };
    Ok(Me {
        operator: field::name::read(answer.operator, "operator")?,
        groups: field::names::read(answer.groups, "groups")?,
        roles: roles(&answer.roles)?,
        expires_at: field::optional_timestamp::read(answer.expires_at, "expires_at")?,
        oidc: answer.oidc.map(|v1::OidcIdentity { issuer, subject, called }| Identity {
            issuer,
            subject,
            called,
        }),
        sources: answer.sources.into_iter().map(source).collect::<Result<_, _>>()?,
        server: settings.server.to_string().trim_end_matches('/').to_owned(),
    })
}
