//! The role that restores a copy where the agent's own could do anything in the server. It has a password that nobody else
//! knows, no powers, and goes with the database.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use stopover_model::report::StepError;
use tokio_postgres::types::Type;

use super::name::ScratchName;
use super::place::{Home, identifier, literal};
use crate::postgres::{ConnectError, Database, Session, step_error};
use crate::step::StepContext;

/// A restore of many terabytes connects again towards its end.
const VALID: &str = "3 days";

/// What the agent's role may do in the server.
pub(super) struct Powers {
    pub(super) superuser: bool,
    pub(super) createdb: bool,
}

pub(super) async fn powers(session: &Session) -> Result<Powers, StepError> {
    let sql = "SELECT rolsuper, rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user";
    let row = session.client().query_typed_one(sql, &[]).await;
    let row = row.map_err(|error| step_error("ask what the agent's role may do", error))?;
    Ok(Powers { superuser: row.get(0), createdb: row.get(1) })
}

/// Makes the role.
pub(super) async fn make(home: &Home, name: &ScratchName) -> Result<SecretString, StepError> {
    let role = format!(
        "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
        name.as_str()
    );
    with_new_password(home, &role).await
}

/// Lets the role of a kept copy in once more: nobody has kept its password. None where the copy has no role.
pub(super) async fn renew(home: &Home, name: &ScratchName) -> Result<Option<SecretString>, StepError> {
    let sql = "SELECT FROM pg_catalog.pg_roles WHERE rolname = $1";
    let role = home.session.query(sql, &[(&name.as_str(), Type::TEXT)]).await;
    let there = !role.map_err(|error| error.into_step_error(MAKING))?.is_empty();
    if !there || !powers(&home.session).await?.superuser {
        return Ok(None);
    }
    with_new_password(home, &format!("ALTER ROLE {}", name.as_str())).await.map(Some)
}

/// Makes or changes a role. The server, and its log, see only what its password is proven with.
async fn with_new_password(home: &Home, role: &str) -> Result<SecretString, StepError> {
    let password = SecretString::from(STANDARD.encode(rand::random::<[u8; 32]>()));
    let proof = postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes());
    let sql = format!(
        "SELECT pg_catalog.set_config('stopover.until', (pg_catalog.now() + interval '{VALID}')::text, false)"
    );
    let row = home.session.client().query_typed_one(&sql, &[]).await;
    let row = row.map_err(|error| step_error(MAKING, error))?;
    let until: &str = row.get(0);
    let sql = format!("{role} PASSWORD {} VALID UNTIL {}", literal(&proof), literal(until));
    home.run(MAKING, &sql).await?;
    Ok(password)
}

const MAKING: &str = "make the role of the scratch database";

/// How the role connects; None, with a word about it, where the server does not let it in.
pub(super) async fn try_out(
    context: &StepContext,
    home: &Home,
    name: &ScratchName,
    password: SecretString,
) -> Result<Option<Database>, StepError> {
    let database = home.database.beside(name.as_str(), Some((name.as_str(), password)));
    match database.connect(&home.purpose).await {
        Ok(session) => {
            session.close().await;
            Ok(Some(database))
        }
        Err(ConnectError::Refused { source, .. }) if matches!(source.sqlstate(), Some("28000" | "28P01")) => {
            let user = &home.session.identity().user;
            context.reporter.message(format!(
                "the backup is restored as {user}, a superuser, since the server does not let a role of the scratch \
                 database's own log in ({source}); code in the copy runs with its powers. Let roles that begin with \
                 stopover_scratch_ in with a password (pg_hba.conf), or set scratch_url in agent.toml"
            ));
            // It could do nothing with what it owns, and the copy's owner counts in some of its checks.
            let sql = format!("ALTER DATABASE {} OWNER TO {}", name.as_str(), identifier(user));
            home.run(MAKING, &sql).await?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
