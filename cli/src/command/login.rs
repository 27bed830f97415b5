//! `stopover login`, `logout`, `whoami`: a token kept for a server, and whom that takes its holder for.

use std::io::{IsTerminal as _, Read as _};

use jiff::Timestamp;
use serde::Serialize;
use stopover_model::id::{GroupName, OperatorName};
use stopover_model::role::Grants;
use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use super::contexts::{directory, of_options};
use crate::answer::roles;
use crate::args::LoginArgs;
use crate::client;
use crate::contexts::{Contexts, Saved};
use crate::failure::{Exit, Failure};
use crate::render::line::Line;
use crate::render::number::relative;
use crate::settings::{Settings, parse_server, parse_token};

/// Longer than any token.
const MOST: u64 = 64 * 1024;

#[derive(Serialize)]
struct Me {
    operator: OperatorName,
    groups: Vec<GroupName>,
    roles: Grants,
    expires_at: Option<Timestamp>,
    server: String,
}

pub(crate) async fn login(context: &Context, args: LoginArgs) -> Result<Exit, Failure> {
    let directory = directory()?;
    let mut contexts = Contexts::read(&directory)?;
    let (name, saved) = server_of(context, &contexts, args)?;
    let token = match context.global.token_file {
        Some(_) => saved.token.clone().unwrap_or_default(),
        None => ask()?,
    };
    let token = parse_token("what was typed", &token)?;
    let saved = Saved { token: Some(token.expose()), ..saved };
    // What the server does not take is not kept.
    let ca = saved.ca.clone().map(String::into_bytes);
    let settings = Settings { server: parse_server(&saved.server)?, token, ca };
    let me = ask_server(&settings).await?;
    contexts.all.insert(name.clone(), saved);
    contexts.current = Some(name.clone());
    contexts.write(&directory)?;
    let words = format!("logged in as {} ({}); the context {name} is in use", me.operator, me.roles);
    context.output.note(&Line::new().plain(words));
    Ok(Exit::Done)
}

pub(crate) fn logout(context: &Context) -> Result<Exit, Failure> {
    let directory = directory()?;
    let mut contexts = Contexts::read(&directory)?;
    let name = contexts.chosen(context.global.context.as_deref())?.map(|(name, _)| name.to_owned());
    let name =
        name.ok_or_else(|| Failure::usage("no context is in use").with_hint("stopover context list"))?;
    let saved = contexts.all.get_mut(&name).and_then(|saved| saved.token.take());
    if saved.is_none() {
        context.output.note(&Line::new().plain(format!("the context {name} has no token")));
        return Ok(Exit::Done);
    }
    contexts.write(&directory)?;
    let words = format!("the token of {name} is forgotten here, and still good: stopover token revoke ID");
    context.output.note(&Line::new().plain(words));
    Ok(Exit::Done)
}

pub(crate) async fn whoami(context: &Context) -> Result<Exit, Failure> {
    let settings = Settings::find(&context.global, &crate::settings::Environment::of_the_process())?;
    let me = ask_server(&settings).await?;
    let output = context.output;
    if output.json {
        output.json(&me)?;
        return Ok(Exit::Done);
    }
    let groups: Vec<_> = me.groups.iter().map(ToString::to_string).collect();
    let groups = if groups.is_empty() { String::new() } else { format!("  groups {}", groups.join(", ")) };
    let ends = me.expires_at.map_or_else(
        || "the token never ends".to_owned(),
        |at| format!("the token ends {}", relative(at, output.view().now)),
    );
    output.lines(&[
        Line::new().strong(me.operator.to_string()).plain(format!(" at {}", me.server)),
        Line::new().plain(format!("  roles {}", me.roles)),
        Line::new().plain(if groups.is_empty() { format!("  {ends}") } else { groups + "; " + &ends }),
    ])?;
    Ok(Exit::Done)
}

/// The options' server, or the context's; and the name under which it is kept.
fn server_of(context: &Context, contexts: &Contexts, args: LoginArgs) -> Result<(String, Saved), Failure> {
    let named = args.name.as_deref().filter(|name| contexts.all.contains_key(*name));
    if context.global.server.is_some() {
        let saved = of_options(context)?;
        let host = parse_server(&saved.server)?.host().unwrap_or("server").to_owned();
        return Ok((args.name.unwrap_or(host), saved));
    }
    match contexts.chosen(named.or(context.global.context.as_deref()))? {
        Some((name, saved)) => {
            let token = context.global.token_file.as_deref().map(crate::settings::read_token).transpose()?;
            let token = token.map(|token| token.expose());
            Ok((name.to_owned(), Saved { token, ..saved.clone() }))
        }
        None => of_options(context).map(|saved| (String::new(), saved)),
    }
}

/// Typed unseen, or from a pipe.
fn ask() -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::usage("could not read the token").because(&error);
    if std::io::stdin().is_terminal() {
        let terminal = console::Term::stderr();
        terminal.write_str("Token: ").map_err(failed)?;
        return terminal.read_secure_line().map_err(failed);
    }
    let mut text = String::new();
    std::io::stdin().take(MOST).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

async fn ask_server(settings: &Settings) -> Result<Me, Failure> {
    let answer = client::connect(settings).await?.who_am_i(v1::WhoAmIRequest {}).await?.into_inner();
    Ok(Me {
        operator: field::name::read(answer.operator, "operator")?,
        groups: field::names::read(answer.groups, "groups")?,
        roles: roles(&answer.roles)?,
        expires_at: field::optional_timestamp::read(answer.expires_at, "expires_at")?,
        server: settings.server.to_string().trim_end_matches('/').to_owned(),
    })
}
