//! `stopover dev`: the whole of it on this machine, with throwaway databases, for looking around and for the
//! demonstration. It cleans up however it ends.
//!
//! ```text
//! dev ─┬─ stopover-server ──── two stopover-agents, which joined by token
//!      ├─ PostgreSQL "staging" and "production" (crate stopover-cluster)
//!      └─ guard (sh): ends the others should dev be killed
//! ```

mod check;
mod demo;
mod home;
mod people;
mod processes;
mod programs;
mod stack;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::DevArgs;
use crate::directory;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use home::Home;
use processes::Processes;
use programs::Programs;
use stack::Stack;

/// Starts everything, stays or shows the demonstration, and takes everything down again.
pub async fn run(args: &DevArgs, output: Output) -> Result<Exit, Failure> {
    // What can be wrong is found before anything is started.
    let migration = args.exit_after_deploy.as_deref().map(directory::read).transpose()?;
    let programs = Programs::find()?;
    let mut signals = Signals::listen()?;
    let home = Home::make(args.dir.as_deref(), args.keep)?;
    let mut processes = Processes::new(&home)?;
    let mut stack = Stack::new(&home, output, args);
    let result = tokio::select! {
        // Before a watch within takes it for a wish to detach.
        biased;
        () = signals.next() => Ok(Exit::Detached),
        result = async {
            stack.start(&programs, &mut processes).await?;
            if let Some(migration) = &migration {
                return demo::run(&stack, migration).await;
            }
            stack.explain()?;
            Err(processes.keep(|words| stack.say(words)).await)
        } => result,
    };
    let explored = migration.is_none() && stack.is_up();
    processes.stop().await;
    stack.stop_clusters();
    home.remove(output);
    match result {
        // Ctrl-C is how an exploration ends.
        Ok(Exit::Detached) if explored => Ok(Exit::Done),
        result => result,
    }
}

/// Everything that asks a program on a terminal to end.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|e| Failure::failed("could not listen for signals").because(&e));
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(listen);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
