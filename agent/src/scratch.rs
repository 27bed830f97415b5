//! A scratch database: where a backup is restored to be proven, and a migration rehearsed. It is made for one step, nobody
//! else may connect to it, and it is always dropped.
//!
//! A restore runs other people's code: functions in the expressions of indexes, in checks and in defaults. Where the
//! agent's role could do anything in the server, the copy is restored by a role of its own that can't.
//!
//! ```text
//! create -> database() | restorer() -> remove
//!        `-> keep_for_rehearsal ... find -> remove
//! whatever a killed agent left: sweep, when an agent starts and now and then
//! ```

mod extensions;
mod make;
mod name;
mod place;
mod role;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use stopover_model::report::{ErrorClass, StepError};

use crate::postgres::Database;
use crate::step::StepContext;
use name::ScratchName;
use place::{Home, Mark};

pub(crate) use place::identifier;
pub use sweep::{sweep, sweep_now_and_then};

/// A scratch database that this process holds. Dropping it without [`Scratch::remove`] drops the database as well, a
/// moment later.
pub struct Scratch {
    database: Arc<Database>,
    restorer: Option<Arc<Database>>,
    /// Made beforehand, for extensions.
    schemas: Vec<String>,
    /// None once it is removed or kept.
    held: Option<Held>,
}

/// What keeps others from sweeping it away.
struct Held {
    home: Home,
    name: ScratchName,
}

impl Scratch {
    /// Makes an empty one, like the step's database in its encoding and collation. One of the same name that an earlier
    /// run left goes first.
    pub async fn create(context: &StepContext) -> Result<Self, StepError> {
        let home = Home::open(context).await?;
        let name = ScratchName::of(context);
        home.hold(&name).await?;
        let held = Held { home, name };
        let made = tokio::select! {
            made = make::make(context, &held.home, &held.name) => made,
            () = context.cancel.cancelled() => {
                held.home.session.cancel().await;
                Err(StepError::new(ErrorClass::Cancelled, "the step was cancelled while its scratch database was made"))
            }
        };
        match made {
            Ok(made) => {
                let make::Made { database, restorer, schemas } = made;
                let restorer = restorer.map(Arc::new);
                Ok(Self { database: Arc::new(database), restorer, schemas, held: Some(held) })
            }
            Err(error) => {
                remove(held).await;
                Err(error)
            }
        }
    }

    /// The one that an earlier step of this deployment and stage kept; None where it is not there any more.
    pub async fn find(context: &StepContext) -> Result<Option<Self>, StepError> {
        let home = Home::open(context).await?;
        let name = ScratchName::of(context);
        home.hold(&name).await?;
        if !home.mark_of(&name).await?.is_some_and(|mark| mark.kept) {
            home.session.close().await;
            return Ok(None);
        }
        home.mark(&name, &Mark::of(context, false)).await?;
        let restorer = match role::renew(&home, &name).await? {
            Some(password) => role::try_out(context, &home, &name, password).await?.map(Arc::new),
            None => None,
        };
        let database = Arc::new(home.database.beside(name.as_str(), None));
        Ok(Some(Self { database, restorer, schemas: Vec::new(), held: Some(Held { home, name }) }))
    }

    /// How a step connects to it: with the agent's own role.
    #[must_use]
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// How a restore, and a rehearsal, connects to it: with a role that can do nothing elsewhere, where there is one.
    #[must_use]
    pub fn restorer(&self) -> &Arc<Database> {
        self.restorer.as_ref().unwrap_or(&self.database)
    }

    /// Whether the restore's role has no power over the rest of the server.
    #[must_use]
    pub fn is_unprivileged(&self) -> bool {
        self.restorer.is_some()
    }

    /// The schemas that are there beside `public`, for the extensions that are there as well.
    #[must_use]
    pub fn schemas(&self) -> &[String] {
        &self.schemas
    }

    /// What PostgreSQL calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.database.database()
    }

    /// Leaves it for the rehearsal that follows, which finds it with [`Scratch::find`] and removes it. Where none comes it
    /// is swept away after an hour.
    pub async fn keep_for_rehearsal(mut self, context: &StepContext) -> Result<(), StepError> {
        let Some(held) = self.held.take() else { return Ok(()) };
        if let Err(error) = held.home.mark(&held.name, &Mark::of(context, true)).await {
            remove(held).await;
            return Err(error);
        }
        held.home.session.close().await;
        Ok(())
    }

    /// Drops the database and its role. What can't be dropped now is swept away later.
    pub async fn remove(mut self) {
        if let Some(held) = self.held.take() {
            remove(held).await;
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(remove(held));
        }
    }
}

/// With a new session where the holding one has been lost.
async fn remove(held: Held) {
    let Held { home, name } = held;
    let Err(error) = home.drop(&name).await else { return home.session.close().await };
    let again = match home.database.connect(&home.purpose).await {
        Ok(session) => {
            let home = Home { session, ..home };
            let dropped = home.drop(&name).await;
            home.session.close().await;
            dropped
        }
        Err(_) => Err(error),
    };
    if let Err(error) = again {
        tracing::warn!(
            scratch = name.as_str(),
            "a scratch database could not be dropped now: {}",
            error.message
        );
    }
}

/// What the scratch of a step is called.
#[cfg(test)]
pub(crate) fn name_of(context: &StepContext) -> String {
    ScratchName::of(context).as_str().to_owned()
}
