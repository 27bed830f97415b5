//! Server, agents and databases, set up as a person would: environments, join tokens, agent.toml, pipeline.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use stopover_cluster::{Cluster, ClusterError, seed};
use stopover_model::plan::grouped;
use stopover_proto::v1;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::home::{Home, write_private};
use super::processes::{Processes, run};
use super::programs::Programs;
use crate::args::{DevArgs, Global};
use crate::client::{self, Control};
use crate::failure::Failure;
use crate::output::Output;
use crate::render::line::{Line, Tone};
use crate::settings::{Environment, Settings};

pub(super) const ENVIRONMENTS: [&str; 2] = ["staging", "production"];
/// What PostgreSQL and the agents call the database.
pub(super) const DATABASE: &str = "app";
/// Who agrees to what `admin` deploys.
const APPROVER: &str = "ben";
const SERVER: &str = "stopover-server";
pub(super) const PIPELINE: &str = "users-db";
const PIPELINE_TOML: &str = include_str!("../../../deploy/samples/pipeline.toml");
const DEADLINE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

pub(super) struct Stack<'a> {
    pub(super) home: &'a Home,
    pub(super) output: Output,
    users: [u64; 2],
    clusters: Vec<Cluster>,
    server: String,
    control: Option<Control>,
    /// Of the person who approves.
    approver: Option<Control>,
}

#[derive(Serialize)]
struct Running<'a> {
    server: &'a str,
    directory: PathBuf,
    config: PathBuf,
    /// Of a person who may approve what the other one deploys.
    approver_config: PathBuf,
    token_file: PathBuf,
    ca: PathBuf,
    environments: Vec<RunningEnvironment>,
}

#[derive(Serialize)]
struct RunningEnvironment {
    environment: &'static str,
    database_url: String,
    backups: PathBuf,
}

impl<'a> Stack<'a> {
    pub(super) fn new(home: &'a Home, output: Output, args: &DevArgs) -> Self {
        let users = [args.users_staging, args.users_production];
        Self {
            home,
            output,
            users,
            clusters: Vec::new(),
            server: String::new(),
            control: None,
            approver: None,
        }
    }

    /// Starts everything in its order, and waits until the agents are there.
    pub(super) async fn start(
        &mut self,
        programs: &Programs,
        processes: &mut Processes,
    ) -> Result<(), Failure> {
        self.say("starting PostgreSQL twice, and the server");
        self.start_server(programs, processes)?;
        self.start_clusters().await?;
        let [staging, production] = self.users.map(grouped);
        self.say(&format!("{staging} users in staging, {production} in production"));
        let mut control = self.connect(processes).await?;
        // Where it is started again, it has to be where the others look for it.
        let port = self.server.rsplit(':').next().unwrap_or_default();
        processes.again_with(SERVER, self.server_command(programs, port)?);
        for (place, environment) in ENVIRONMENTS.into_iter().enumerate() {
            self.join(&mut control, programs, processes, environment, place).await?;
        }
        let toml = with_hook(&with_window(PIPELINE_TOML, Timestamp::now()));
        control.apply_pipeline(v1::ApplyPipelineRequest { toml, file: "pipeline.toml".to_owned() }).await?;
        self.wait_for_agents(&mut control, processes).await?;
        self.say("both agents have joined by token, over mutual TLS");
        self.approver = Some(self.admit(&mut control, APPROVER, "dba").await?);
        self.control = Some(control);
        Ok(())
    }

    /// Started to the end.
    pub(super) fn is_up(&self) -> bool {
        self.control.is_some()
    }

    pub(super) fn control(&self) -> Result<Control, Failure> {
        self.control.clone().ok_or_else(|| Failure::failed("the server was not started"))
    }

    pub(super) fn approver(&self) -> Result<Control, Failure> {
        self.approver.clone().ok_or_else(|| Failure::failed("the server was not started"))
    }

    /// The cluster of an environment, by its place.
    pub(super) fn cluster(&self, place: usize) -> Result<&Cluster, Failure> {
        self.clusters.get(place).ok_or_else(|| Failure::failed("the databases were not started"))
    }

    /// After the processes that use them.
    pub(super) fn stop_clusters(mut self) {
        self.clusters.clear();
    }

    /// Says how to go on from another terminal.
    pub(super) fn explain(&self) -> Result<(), Failure> {
        if self.output.json {
            return self.output.json(&self.running());
        }
        let running = self.running();
        let mut lines = vec![
            Line::new(),
            Line::of(Tone::Good, "Stopover is running on this machine. ").plain("In another terminal:"),
            Line::new(),
            Line::new().strong(format!("  export STOPOVER_CONFIG={}", running.config.display())),
            Line::new().plain("  stopover plan deploy/samples/001_add_onboarding_completed"),
            Line::new().plain("  stopover deploy deploy/samples/001_add_onboarding_completed"),
            Line::new().plain("  stopover list"),
            Line::new(),
            Line::new().plain("Production waits for another person's approval. In a third terminal:"),
            Line::new(),
            Line::new().strong(format!("  export STOPOVER_CONFIG={}", running.approver_config.display())),
            Line::new().plain("  stopover explain ID"),
            Line::new().plain("  stopover approve ID --reason TEXT"),
            Line::new(),
            Line::new().plain("Its databases and the backups that its agents make:"),
        ];
        for environment in &running.environments {
            lines.push(
                Line::new()
                    .plain(format!("  {:12}psql {}", environment.environment, environment.database_url)),
            );
            lines.push(Line::new().dim(format!("  {:12}{}", "", environment.backups.display())));
        }
        let logs = self.home.join("logs");
        lines.push(Line::new().plain(format!("Logs: {}", logs.display())));
        lines.push(Line::new());
        let end = if self.home.is_temporary() { "ends it and removes everything" } else { "ends it" };
        lines.push(Line::new().plain(format!("Ctrl-C {end}.")));
        self.output.lines(&lines)
    }

    fn running(&self) -> Running<'_> {
        let environment = |(name, cluster): (&'static str, &Cluster)| RunningEnvironment {
            environment: name,
            database_url: cluster.url(DATABASE),
            backups: self.home.backups(name),
        };
        Running {
            server: &self.server,
            directory: self.home.path().to_owned(),
            config: self.home.config(),
            approver_config: self.home.config_of(APPROVER),
            token_file: self.home.token_file(),
            ca: self.home.ca(),
            environments: ENVIRONMENTS.into_iter().zip(&self.clusters).map(environment).collect(),
        }
    }

    fn start_server(&self, programs: &Programs, processes: &mut Processes) -> Result<(), Failure> {
        processes.start(SERVER, self.server_command(programs, "0")?, &self.home.log("server"))
    }

    fn server_command(&self, programs: &Programs, port: &str) -> Result<Command, Failure> {
        let mut command = Command::new(&programs.server);
        command.arg("--data-dir").arg(self.home.directory("server")?);
        command.args(["--listen", &format!("127.0.0.1:{port}"), "--port-file"]).arg(self.home.join("port"));
        command.arg("--admin-token-file").arg(self.home.token_file());
        Ok(command)
    }

    async fn start_clusters(&mut self) -> Result<(), Failure> {
        let [staging, production] = ENVIRONMENTS;
        let started = tokio::try_join!(cluster(staging, self.users[0]), cluster(production, self.users[1]));
        let (staging, production) = started
            .map_err(|error| Failure::failed("could not start the throwaway databases").because(&error))?;
        self.clusters = vec![staging, production];
        Ok(())
    }

    async fn connect(&mut self, processes: &mut Processes) -> Result<Control, Failure> {
        let deadline = Instant::now() + DEADLINE;
        let address = loop {
            processes.check()?;
            match std::fs::read_to_string(self.home.join("port")) {
                Ok(address) if !address.trim().is_empty() => break address,
                _ if Instant::now() > deadline => {
                    return Err(Failure::failed("the server does not get ready"));
                }
                _ => sleep(POLL).await,
            }
        };
        let port = address.trim().rsplit(':').next().unwrap_or_default();
        self.server = format!("https://localhost:{port}");
        self.connect_as("admin-token", self.home.config()).await
    }

    /// The same way that another terminal will take.
    async fn connect_as(&self, token_file: &str, config: PathBuf) -> Result<Control, Failure> {
        let text =
            format!("server = {:?}\ntoken_file = {token_file:?}\nca = \"server/ca.pem\"\n", self.server);
        write_private(&config, &text)?;
        let environment = Environment { config: Some(config), ..Environment::default() };
        client::connect(&Settings::find(&Global::default(), &environment)?).await
    }

    /// Another person, with a token and a configuration of their own.
    async fn admit(&self, control: &mut Control, name: &str, group: &str) -> Result<Control, Failure> {
        let request = v1::CreateTokenRequest {
            operator: name.to_owned(),
            groups: vec![group.to_owned()],
            roles: vec!["approver@*".to_owned()],
            ..v1::CreateTokenRequest::default()
        };
        let token = control.create_token(request).await?.into_inner().token;
        let file = format!("{name}-token");
        write_private(&self.home.join(&file), &token)?;
        self.connect_as(&file, self.home.config_of(name)).await
    }

    /// Environment, token, `join`, agent.toml, `run`.
    async fn join(
        &self,
        control: &mut Control,
        programs: &Programs,
        processes: &mut Processes,
        environment: &str,
        place: usize,
    ) -> Result<(), Failure> {
        control.create_environment(v1::CreateEnvironmentRequest { name: environment.to_owned() }).await?;
        let request = v1::CreateJoinTokenRequest { environment: environment.to_owned() };
        let token = control.create_join_token(request).await?.into_inner().token;
        let directory = self.home.directory(&format!("agents/{environment}"))?;
        let name = format!("{environment}-1");
        let log = self.home.log(&name);
        let mut command = Command::new(&programs.agent);
        command.args(["join", "--server", &self.server, "--name", &name, "--dir"]).arg(&directory);
        // Not in its arguments, which everybody on the machine can see.
        command.env("STOPOVER_JOIN_TOKEN", token);
        run("stopover-agent join", command, &log).await?;

        let config = directory.join("agent.toml");
        let cluster = self.cluster(place)?;
        write_private(&directory.join("password"), cluster.password())?;
        write_private(&config, &agent_toml(&self.server, cluster.port()))?;
        let mut command = Command::new(&programs.agent);
        command.args(["run", "--config"]).arg(&config);
        processes.start(&format!("the agent {name}"), command, &log)
    }

    async fn wait_for_agents(&self, control: &mut Control, processes: &mut Processes) -> Result<(), Failure> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            processes.check()?;
            let listed = control.list_environments(v1::ListEnvironmentsRequest {}).await?.into_inner();
            let ready = |e: &v1::Environment| e.databases.iter().any(|d| d.connected);
            if listed.environments.iter().filter(|e| ready(e)).count() == ENVIRONMENTS.len() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let logs = self.home.join("logs").display().to_string();
                return Err(Failure::failed("the agents do not connect")
                    .with_hint(format!("see their logs in {logs}")));
            }
            sleep(POLL).await;
        }
    }

    pub(super) fn say(&self, text: &str) {
        self.output.note(&Line::new().dim("· ").plain(text));
    }
}

/// The sample's window for production, but open now: since this minute, for two hours.
fn with_window(pipeline: &str, now: Timestamp) -> String {
    let now = now.to_zoned(TimeZone::UTC);
    let open = format!("window = {{ cron = \"{} {} * * *\", for = \"2h\" }}", now.minute(), now.hour());
    let line = |line: &str| if line.starts_with("# window = ") { open.clone() } else { line.to_owned() };
    pipeline.lines().map(|text| line(text) + "\n").collect()
}

/// And its hook that a person or a program answers.
fn with_hook(pipeline: &str) -> String {
    let hook = "[[stage.hook]]\nname = \"application\"\nexternal = true\n";
    pipeline.replace(&hook.lines().map(|line| format!("# {line}\n")).collect::<Vec<_>>().concat(), hook)
}

async fn cluster(name: &str, users: u64) -> Result<Cluster, ClusterError> {
    let cluster = Cluster::builder().name(name).start().await?;
    cluster.create_database(DATABASE).await?;
    let client = cluster.client(DATABASE).await?;
    seed::users(&client, users, 1).await?;
    Ok(cluster)
}

fn agent_toml(server: &str, port: u16) -> String {
    format!(
        "server = {server:?}\n\n[[database]]\nname = {DATABASE:?}\n\
         url = \"postgresql://postgres@127.0.0.1:{port}/{DATABASE}\"\npassword_file = \"password\"\n"
    )
}

#[cfg(test)]
mod tests {
    use stopover_model::pipeline::Pipeline;

    use super::*;

    #[test]
    fn the_samples_window_is_open_in_the_demonstration_and_its_hook_is_there() {
        let now: Timestamp = "2026-03-29T23:59:40Z".parse().unwrap();
        let text = with_hook(&with_window(PIPELINE_TOML, now));
        let pipeline = Pipeline::parse("pipeline.toml", &text).unwrap();
        let [staging, production] = &pipeline.stages[..] else { panic!("two stages") };
        assert!(staging.calendar.is_empty());
        assert_eq!(production.calendar.windows.len(), 1);
        assert_eq!(production.hooks.iter().filter(|hook| hook.is_external()).count(), 1);
        assert!(production.calendar.open_at(now).is_some(), "{:?}", production.calendar);
    }
}
