//! The child processes of `stopover dev`: started with their output in a file, ended by their id, never left behind.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::home::Home;
use crate::failure::Failure;

/// How long a process may take to end by itself after it was asked to.
const GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
/// A process that ends sooner than this after its start would only end again.
const SETTLED: Duration = Duration::from_secs(2);
/// Of a log, what is shown when its process has failed.
const TAIL: usize = 12;

/// In the order in which they were started; they are ended the other way round.
pub(super) struct Processes {
    running: Vec<Running>,
    guard: Guard,
}

struct Running {
    name: String,
    child: Child,
    log: PathBuf,
    /// With which it is started again.
    command: Command,
    since: Instant,
}

impl Processes {
    pub(super) fn new(home: &Home) -> Result<Self, Failure> {
        let mut guard = Guard::post()?;
        if home.is_temporary() {
            guard.tell(&format!("remove {}", home.path().display()));
        }
        Ok(Self { running: Vec::new(), guard })
    }

    /// Starts a program that is to run until the end.
    pub(super) fn start(&mut self, name: &str, mut command: Command, log: &Path) -> Result<(), Failure> {
        let child = prepared(&mut command, log)?.spawn().map_err(|e| not_started(name, &e))?;
        self.guard.watch(&child, &command);
        let (name, log) = (name.to_owned(), log.to_owned());
        self.running.push(Running { name, child, log, command, since: Instant::now() });
        Ok(())
    }

    /// From now on a program that is there is started again in another way.
    pub(super) fn again_with(&mut self, name: &str, command: Command) {
        if let Some(process) = self.running.iter_mut().find(|p| p.name == name) {
            process.command = command;
        }
    }

    /// Fails when a process has ended by itself, with the end of its log.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        for process in &mut self.running {
            if let Ok(Some(status)) = process.child.try_wait() {
                return Err(ended(&process.name, &status.to_string(), &process.log));
            }
        }
        Ok(())
    }

    /// Starts again what ends by itself: people kill a process to see what becomes of the deployment. Fails when one does
    /// not stay.
    pub(super) async fn keep(&mut self, say: impl Fn(&str)) -> Failure {
        loop {
            for process in &mut self.running {
                let Ok(Some(status)) = process.child.try_wait() else { continue };
                if process.since.elapsed() < SETTLED {
                    return ended(&process.name, &status.to_string(), &process.log);
                }
                say(&format!("{} ended by itself ({status}); it is started again", process.name));
                match prepared(&mut process.command, &process.log).map(Command::spawn) {
                    Ok(Ok(child)) => process.child = child,
                    Ok(Err(error)) => return not_started(&process.name, &error),
                    Err(failure) => return failure,
                }
                process.since = Instant::now();
                self.guard.watch(&process.child, &process.command);
            }
            sleep(POLL).await;
        }
    }

    /// Asks each to end, and ends what does not.
    pub(super) async fn stop(mut self) {
        let deadline = Instant::now() + GRACE;
        while let Some(mut process) = self.running.pop() {
            let pid = process.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
            if let Some(pid) = pid {
                // An error means that it has just ended.
                let _ = kill_process(pid, Signal::TERM);
            }
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
            if timeout(left, process.child.wait()).await.is_err() {
                let _ = process.child.kill().await;
            }
        }
        self.guard.tell("done");
    }
}

/// Runs a program to its end.
pub(super) async fn run(name: &str, mut command: Command, log: &Path) -> Result<(), Failure> {
    let status = prepared(&mut command, log)?.status().await.map_err(|e| not_started(name, &e))?;
    if status.success() { Ok(()) } else { Err(ended(name, &status.to_string(), log)) }
}

fn prepared<'a>(command: &'a mut Command, log: &Path) -> Result<&'a mut Command, Failure> {
    let failed =
        |e: std::io::Error| Failure::failed(format!("could not write {}", log.display())).because(&e);
    let out = File::options().create(true).append(true).open(log).map_err(failed)?;
    let errors = out.try_clone().map_err(failed)?;
    // Of its own group: Ctrl-C is for us, who then end the others in order.
    Ok(command.stdin(Stdio::null()).stdout(out).stderr(errors).process_group(0).kill_on_drop(true))
}

fn not_started(name: &str, error: &std::io::Error) -> Failure {
    Failure::failed(format!("could not start {name}")).because(error)
}

fn ended(name: &str, status: &str, log: &Path) -> Failure {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
    Failure::failed(format!(
        "{name} ended by itself ({status}); the end of its log {}:\n{tail}",
        log.display()
    ))
}

/// A shell that ends the others when we are killed.
struct Guard(std::process::Child);

impl Guard {
    fn post() -> Result<Self, Failure> {
        std::process::Command::new("/bin/sh")
            .args(["-c", include_str!("guard.sh"), "stopover-dev-guard"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(Self)
            .map_err(|e| not_started("the guard", &e))
    }

    fn watch(&mut self, child: &Child, command: &Command) {
        let program = Path::new(command.as_std().get_program());
        if let (Some(pid), Some(program)) = (child.id(), program.file_name().and_then(|n| n.to_str())) {
            // The system keeps the first 15 characters.
            let known_as: String = program.chars().take(15).collect();
            self.tell(&format!("run {pid}:{known_as}"));
        }
    }

    fn tell(&mut self, line: &str) {
        if let Some(input) = &mut self.0.stdin {
            // A guard that is gone guards nothing; what it was for is still done by ourselves.
            let _ = writeln!(input, "{line}");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Command {
        let mut command = Command::new("/bin/sleep");
        command.arg("600");
        command
    }

    fn is_running(pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < deadline, "{what}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn what_was_started_is_ended() {
        let home = Home::make(None, false).unwrap();
        let mut processes = Processes::new(&home).unwrap();
        processes.start("sleep", sleeper(), &home.log("sleep")).unwrap();
        let pid = processes.running[0].child.id().unwrap();
        processes.check().unwrap();
        processes.stop().await;
        assert!(!is_running(pid));
        assert!(home.path().is_dir(), "the guard was told that nothing is left to do");
    }

    #[tokio::test]
    async fn the_guard_ends_processes_and_directory_when_its_owner_is_gone() {
        let home = Home::make(None, false).unwrap();
        let mut processes = Processes::new(&home).unwrap();
        processes.start("sleep", sleeper(), &home.log("sleep")).unwrap();
        let pid = processes.running[0].child.id().unwrap();
        // As after kill -9: the pipe closes, and nobody has said "done".
        drop(processes.guard.0.stdin.take());
        // Reaped, or it stays as a zombie of ours.
        processes.running[0].child.wait().await.unwrap();
        eventually("the directory goes", || !home.path().exists()).await;
        assert!(!is_running(pid));
    }

    #[tokio::test]
    async fn one_that_was_killed_is_started_again() {
        let home = Home::make(None, false).unwrap();
        let mut processes = Processes::new(&home).unwrap();
        processes.start("sleep", sleeper(), &home.log("sleep")).unwrap();
        let first = processes.running[0].child.id();
        processes.running[0].since = Instant::now().checked_sub(SETTLED).unwrap();
        processes.running[0].child.start_kill().unwrap();
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        tokio::select! {
            failure = processes.keep(|words| said.send(words.to_owned()).unwrap()) => {
                panic!("{}", crate::render::line::text(&failure.lines()))
            }
            words = heard.recv() => assert!(words.unwrap().contains("it is started again")),
        }
        processes.check().unwrap();
        assert_ne!(processes.running[0].child.id(), first);
        processes.stop().await;
    }

    #[tokio::test]
    async fn one_that_ends_by_itself_is_reported_with_its_log() {
        let home = Home::make(None, false).unwrap();
        let mut processes = Processes::new(&home).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo no such port; exit 3"]);
        processes.start("the server", command, &home.log("server")).unwrap();
        let failure = processes.keep(|_| {}).await;
        let text = crate::render::line::text(&failure.lines());
        assert!(
            text.contains("the server ended by itself (exit status: 3)") && text.contains("no such port"),
            "{text}"
        );
        processes.stop().await;
    }
}
