//! `stopover-server`: reads its settings, opens what it needs, serves until it is told to stop.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser as _;
use jiff::Timestamp;
use stopover_model::cause;
use stopover_server::audit::Audit;
use stopover_server::authority::Authority;
use stopover_server::conductor::Conductor;
use stopover_server::config::{Arguments, Config, LogFormat, OidcSettings, StorePlace};
use stopover_server::data_dir::{DataDir, write_private};
use stopover_server::first_start::{Welcome, first_operator, make_first_operator};
use stopover_server::hooks::Caller;
use stopover_server::listener::{Limits, Listener};
use stopover_server::notify::{Courier, Sender};
use stopover_server::oidc::Oidc;
use stopover_server::registry::Registry;
use stopover_server::rpc::{self, Services};
use stopover_server::store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// The authority's certificate in the data directory, which operators need.
const CA_FILE: &str = "ca.pem";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {}", cause::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> anyhow::Result<()> {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        anyhow::bail!("another TLS provider was chosen already");
    }
    let config = Config::load(arguments, |name| std::env::var_os(name))?;
    log_to_stderr(&arguments.log, config.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("could not start the runtime")?.block_on(serve(arguments, config))
}

async fn serve(arguments: &Arguments, config: Config) -> anyhow::Result<()> {
    let (stopping, stopped) = (stop_on_signal()?, CancellationToken::new());
    config.secrets.check()?;
    let data = DataDir::open(&config.data_dir)?;
    if let Some(file) = &arguments.port_file {
        forget(file).with_context(|| format!("could not remove the old `{}`", file.display()))?;
    }
    let store = match &config.store {
        StorePlace::File(path) => Store::open_file(path).await?,
        StorePlace::Url(url) => Store::open(url).await?,
    };
    let authority = Arc::new(Authority::open(data.path(), &config.names, now())?);
    let listener = Listener::bind(config.listen, &authority, now, Limits::default()).await?;
    let name = config.names.first().cloned().unwrap_or_else(|| "localhost".to_owned());
    let welcome = Welcome {
        address: listener.address(),
        name: &name,
        ca: &data.path().join(CA_FILE),
        token_file: arguments.admin_token_file.as_deref(),
    };
    let audit = Audit::open(data.path(), &config.audit, store.clone(), now).await?;
    if !store.has_admin(now()).await? {
        audit.record(first_operator()).await?;
    }
    make_first_operator(&store, welcome, rand::random(), now(), io::stdout()).await?;

    let sender = Sender::new(config.secrets, config.smtp).context("could not prepare calls by HTTP")?;
    let herald = audit.herald(sender.clone());
    let courier = Courier::new(store.clone(), sender.clone(), now, config.notifications.give_up_after);
    let registry = Registry::default();
    let url = config.url.unwrap_or_else(|| format!("https://{}:{}", name, listener.address().port()));
    let caller = Caller::new(sender.clone(), &url);
    let conductor = Conductor::start(store.clone(), registry.clone(), caller, now).await?;
    let oidc = sign_in(config.oidc)?;
    let services = Services {
        store: store.clone(),
        authority,
        registry,
        conductor: conductor.clone(),
        audit: Arc::new(audit),
        roles: Arc::new(config.roles.clone()),
        oidc,
        sender,
        clock: now,
        stopping: stopping.clone(),
        stopped: stopped.clone(),
    };
    let (routes, health) = rpc::routes(services, config.reflection).await?;
    let telling = tokio::spawn(courier.run(stopped.clone()));
    let heralding = herald.map(|herald| tokio::spawn(herald.run(stopped.clone())));
    let address = listener.address();
    let serving = tokio::spawn(listener.serve(routes, stopped.clone()));
    announce(&address.to_string(), arguments.port_file.as_deref())?;
    tracing::info!(%address, data_dir = %data.path().display(), "serving");

    stopping.cancelled().await;
    tracing::info!("stopping; agents go on with their work");
    health.not_serving().await;
    // Before the tunnels close: that agents seem to leave is no news that belongs in a log.
    conductor.shutdown().await;
    stopped.cancel();
    serving.await.context("the listener ended with a panic")?;
    telling.await.context("the notifications ended with a panic")?;
    if let Some(heralding) = heralding {
        heralding.await.context("the audit log's webhook ended with a panic")?;
    }
    store.close().await;
    Ok(())
}

/// The identity provider may be away when the server starts: that is logged, and asked again when somebody comes.
fn sign_in(settings: Option<OidcSettings>) -> anyhow::Result<Option<Arc<Oidc>>> {
    let Some(settings) = settings else { return Ok(None) };
    let oidc =
        Arc::new(Oidc::new(settings).context("could not prepare the questions to the identity provider")?);
    let early = Arc::clone(&oidc);
    tokio::spawn(async move { early.prepare().await });
    Ok(Some(oidc))
}

/// Whoever waits for the file must not find the address of the server before.
fn forget(port_file: &Path) -> io::Result<()> {
    match std::fs::remove_file(port_file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Tells whoever waits for it, on the terminal and in the file, that connections are taken.
fn announce(address: &str, port_file: Option<&Path>) -> anyhow::Result<()> {
    if let Some(file) = port_file {
        write_private(file, &format!("{address}\n"))?;
    }
    let mut out = io::stdout();
    let told = writeln!(out, "listening on {address}").and_then(|()| out.flush());
    // Nobody has to read it.
    if let Err(error) = told {
        tracing::debug!(error = &error as &dyn Error, "could not print the address");
    }
    Ok(())
}

/// The first signal asks for a graceful stop, the second ends the process at once.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let failed = "could not watch for signals";
    let mut terminate = signal(SignalKind::terminate()).context(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).context(failed)?;
    let stop = CancellationToken::new();
    let first = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first.is_cancelled() {
                // Everything that was promised is in the store already.
                std::process::exit(130);
            }
            first.cancel();
        }
    });
    Ok(stop)
}

fn log_to_stderr(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("`{filter}` says nothing about what to log; try `info` or `debug`"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// The time as the store keeps it: whole microseconds.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
