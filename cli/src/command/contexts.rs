//! `stopover context`: several servers, each with its token.

use serde::Serialize;

use super::Context;
use crate::args::ContextCommand;
use crate::contexts::{Contexts, Saved};
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::Line;
use crate::settings::{Environment, authority, parse_server, read_token};

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    server: &'a str,
    in_use: bool,
    has_token: bool,
    /// By the identity provider's word, instead of a token.
    signed_in: bool,
}

pub(crate) fn run(context: &Context, command: ContextCommand) -> Result<Exit, Failure> {
    let directory = directory()?;
    let mut contexts = Contexts::read(&directory)?;
    match command {
        ContextCommand::List => {
            list(context, &contexts)?;
            return Ok(Exit::Done);
        }
        ContextCommand::Use { name } => {
            contexts.chosen(Some(&name))?;
            note(context, &format!("{name} is in use"));
            contexts.current = Some(name);
        }
        ContextCommand::Add { name } => {
            let saved = of_options(context)?;
            if contexts.all.contains_key(&name) {
                return Err(Failure::usage(format!("there is a context {name} already"))
                    .with_hint(format!("stopover context remove {name}")));
            }
            let login = if saved.lets_in() { "" } else { "; its token: stopover login" };
            note(context, &format!("{name} is there, and in use{login}"));
            contexts.all.insert(name.clone(), saved);
            contexts.current = Some(name);
        }
        ContextCommand::Remove { name } => {
            let removed = contexts.all.remove(&name).ok_or_else(|| contexts.unknown(&name))?;
            contexts.current = contexts.current.filter(|current| *current != name);
            let still = match removed {
                Saved { token: Some(_), .. } => {
                    "; its token is still good: stopover token revoke ID".to_owned()
                }
                Saved { oidc: Some(signed_in), .. } => {
                    format!("; at {} its sign-in goes on", signed_in.provider.issuer)
                }
                _ => String::new(),
            };
            note(context, &format!("{name} is forgotten{still}"));
        }
    }
    contexts.write(&directory)?;
    Ok(Exit::Done)
}

/// Where the contexts are.
pub(super) fn directory() -> Result<std::path::PathBuf, Failure> {
    let directory = Environment::of_the_process().directory();
    directory.ok_or_else(|| Failure::usage("there is no place for the contexts").with_hint("set HOME"))
}

/// The server that the options name, its authority, and a token where one is given.
pub(super) fn of_options(context: &Context) -> Result<Saved, Failure> {
    let global = &context.global;
    let server = global.server.as_ref().ok_or_else(|| {
        Failure::usage("a context is for a server")
            .with_hint("give --server https://HOST:PORT, and --ca FILE")
    })?;
    parse_server(server)?;
    let ca = authority(global.ca.as_ref(), None)?.map(String::from_utf8).transpose();
    let ca =
        ca.map_err(|error| Failure::usage("the authority's certificate is no PEM file").because(&error))?;
    let token = global.token_file.as_deref().map(read_token).transpose()?;
    Ok(Saved { server: server.clone(), ca, token: token.map(|token| token.expose()), oidc: None })
}

fn list(context: &Context, contexts: &Contexts) -> Result<(), Failure> {
    let rows = contexts.all.iter().map(|(name, saved)| Row {
        name,
        server: &saved.server,
        in_use: contexts.current.as_ref() == Some(name),
        has_token: saved.token.is_some(),
        signed_in: saved.oidc.is_some(),
    });
    let output = context.output;
    if output.json {
        return rows.into_iter().try_for_each(|row| output.json(&row));
    }
    let cells = rows.map(|row| {
        let token = match row {
            Row { has_token: true, .. } => "yes",
            Row { signed_in: true, .. } => "signed in",
            _ => "-",
        };
        [if row.in_use { "*" } else { "" }, row.name, row.server, token].map(str::to_owned)
    });
    output.text(&render::list::table(["", "NAME", "SERVER", "TOKEN"], cells, output.view()))
}

fn note(context: &Context, text: &str) {
    context.output.note(&Line::new().plain(text));
}
