//! `stopover login`, `logout`: a token or a sign-in, kept for a server.

use std::io::{IsTerminal as _, Read as _};

use stopover_proto::v1;
use tonic::Code;

use super::Context;
use super::contexts::{directory, of_options};
use super::whoami::ask_server;
use crate::args::LoginArgs;
use crate::client;
use crate::contexts::{Contexts, Saved};
use crate::failure::{Exit, Failure};
use crate::oidc::{self, Provider};
use crate::render::line::Line;
use crate::settings::{Credential, Jwt, Settings, parse_server, parse_token};

/// Longer than any token.
const MOST: u64 = 64 * 1024;

/// How somebody means to get in.
enum Way {
    Token(String),
    Oidc(Provider),
}

pub(crate) async fn login(context: &Context, args: LoginArgs) -> Result<Exit, Failure> {
    let directory = directory()?;
    let contexts = Contexts::read(&directory)?;
    let (name, saved) = server_of(context, &contexts, &args)?;
    let (saved, credential) = match way(context, &args, &saved).await? {
        Way::Token(token) => {
            let token = parse_token("what was typed", &token)?;
            (Saved { token: Some(token.expose()), oidc: None, ..saved }, Credential::Token(token))
        }
        Way::Oidc(provider) => {
            let sign_in = oidc::sign_in(&provider, context.output).await?;
            let bearer = Jwt(sign_in.bearer.clone());
            (Saved { token: None, oidc: Some(sign_in), ..saved }, Credential::Jwt(bearer))
        }
    };
    // What the server does not take is not kept.
    let ca = saved.ca.clone().map(String::into_bytes);
    let settings = Settings { server: parse_server(&saved.server)?, credential, ca };
    let me = match ask_server(&settings).await {
        Ok(me) => me,
        Err(failure) => {
            if let Some(sign_in) = &saved.oidc {
                // Nor does it stay behind at the provider, as far as that can be helped.
                let _ = oidc::revoke(sign_in).await;
            }
            return Err(failure);
        }
    };
    // A person may have been before a browser for a while: what others have written since then stays.
    let mut contexts = Contexts::read(&directory)?;
    contexts.all.insert(name.clone(), saved);
    contexts.current = Some(name.clone());
    contexts.write(&directory)?;
    if context.output.json {
        context.output.json(&me)?;
        return Ok(Exit::Done);
    }
    let words = format!("logged in as {} ({}); the context {name} is in use", me.operator, me.roles);
    context.output.note(&Line::new().plain(words));
    Ok(Exit::Done)
}

pub(crate) async fn logout(context: &Context) -> Result<Exit, Failure> {
    let directory = directory()?;
    let mut contexts = Contexts::read(&directory)?;
    let name = contexts.chosen(context.global.context.as_deref())?.map(|(name, _)| name.to_owned());
    let name =
        name.ok_or_else(|| Failure::usage("no context is in use").with_hint("stopover context list"))?;
    let saved = contexts.all.get_mut(&name);
    let (token, sign_in) = saved.map(|saved| (saved.token.take(), saved.oidc.take())).unwrap_or_default();
    let note = |words: String| context.output.note(&Line::new().plain(words));
    if token.is_none() && sign_in.is_none() {
        note(format!("the context {name} has no token"));
        return Ok(Exit::Done);
    }
    contexts.write(&directory)?;
    let Some(sign_in) = sign_in else {
        note(format!("the token of {name} is forgotten here, and still good: stopover token revoke ID"));
        return Ok(Exit::Done);
    };
    let issuer = &sign_in.provider.issuer;
    match oidc::revoke(&sign_in).await {
        Ok(true) => note(format!("the sign-in of {name} is forgotten here, and revoked at {issuer}")),
        Ok(false) => note(format!(
            "the sign-in of {name} is forgotten here; at {issuer} there was nothing that could be revoked"
        )),
        Err(failure) => {
            context.output.failure(&failure);
            note(format!("the sign-in of {name} is forgotten here, and not revoked at {issuer}"));
        }
    }
    Ok(Exit::Done)
}

/// A token where one is given; else what the server names, where there is somebody who could go to a browser.
async fn way(context: &Context, args: &LoginArgs, saved: &Saved) -> Result<Way, Failure> {
    if args.oidc {
        let provider = provider_of(saved).await?;
        return provider.map(Way::Oidc).ok_or_else(|| {
            Failure::failed(format!("the server {} names no identity provider", saved.server))
                .with_hint("[oidc] in its server.toml does; or log in with a token: stopover login --token")
        });
    }
    if context.global.token_file.is_some() {
        return Ok(Way::Token(saved.token.clone().unwrap_or_default()));
    }
    let typed = if std::io::stdin().is_terminal() { None } else { Some(piped()?) };
    if let Some(token) = typed.as_ref().filter(|token| !token.trim().is_empty()) {
        return Ok(Way::Token(token.clone()));
    }
    if !args.token
        && let Some(provider) = provider_of(saved).await?
    {
        return Ok(Way::Oidc(provider));
    }
    typed.map_or_else(ask, Ok).map(Way::Token)
}

/// What the server names. One that does not know the question names none.
async fn provider_of(saved: &Saved) -> Result<Option<Provider>, Failure> {
    let ca = saved.ca.as_deref().map(str::as_bytes);
    let mut server = client::connect_unknown(&parse_server(&saved.server)?, ca).await?;
    match server.show_login(v1::ShowLoginRequest {}).await {
        Ok(answer) => Ok(answer.into_inner().oidc.map(Provider::from)),
        Err(status) if matches!(status.code(), Code::Unimplemented | Code::Unauthenticated) => Ok(None),
        Err(status) => Err(status.into()),
    }
}

/// The options' server, or the context's; and the name under which it is kept.
fn server_of(context: &Context, contexts: &Contexts, args: &LoginArgs) -> Result<(String, Saved), Failure> {
    let named = args.name.as_deref().filter(|name| contexts.all.contains_key(*name));
    if context.global.server.is_some() {
        let saved = of_options(context)?;
        let host = parse_server(&saved.server)?.host().unwrap_or("server").to_owned();
        return Ok((args.name.clone().unwrap_or(host), saved));
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

/// Typed unseen.
fn ask() -> Result<String, Failure> {
    let terminal = console::Term::stderr();
    terminal.write_str("Token: ").and_then(|()| terminal.read_secure_line()).map_err(|error| unread(&error))
}

fn piped() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().take(MOST).read_to_string(&mut text).map_err(|error| unread(&error))?;
    Ok(text)
}

fn unread(error: &std::io::Error) -> Failure {
    Failure::usage("could not read the token").because(error)
}
