//! Makes the empty database: in the encoding and the collation of the one that it is to be a copy of, and shut to others.

use stopover_model::report::{ErrorClass, StepError};

use super::name::ScratchName;
use super::place::{Home, Mark, identifier, literal};
use super::{extensions, role};
use crate::postgres::{Database, Purpose, Session, SessionName, step_error};
use crate::step::StepContext;

const MAKING: &str = "make the scratch database";

/// How to connect to it: as the agent does, and as a role without powers where there can be one.
pub(super) struct Made {
    pub(super) database: Database,
    pub(super) restorer: Option<Database>,
    /// Schemas for its extensions.
    pub(super) schemas: Vec<String>,
}

pub(super) async fn make(context: &StepContext, home: &Home, name: &ScratchName) -> Result<Made, StepError> {
    let source = look(context).await?;
    let version = home.session.identity().version_num;
    if version / 10_000 < source.version_num / 10_000 {
        let message = format!(
            "the server of scratch_url is PostgreSQL {}, older than the database's own ({})",
            home.session.identity().version,
            source.version
        );
        let hint = "let scratch_url in agent.toml lead to a server of the same version, or newer";
        return Err(StepError::new(ErrorClass::Setup, message).with_hint(hint));
    }
    home.drop(name).await?;
    let powers = role::powers(&home.session).await?;
    if !powers.superuser && !powers.createdb {
        return Err(may_not_create(home));
    }
    if powers.superuser && !source.only_a_superuser.is_empty() {
        context.reporter.message(format!(
            "the backup is restored as {}, a superuser, since nobody else can make {}; code in the copy runs with its \
             powers. scratch_url in agent.toml can name a server where that harms nobody",
            home.session.identity().user,
            source.only_a_superuser.join(", ")
        ));
    }
    let separate = powers.superuser && source.only_a_superuser.is_empty();
    let restorer = if separate { Some(role::make(home, name).await?) } else { None };
    create(home, name, &source, restorer.is_some()).await?;
    home.mark(name, &Mark::of(context, false)).await?;
    let shut = format!(
        "REVOKE ALL ON DATABASE {name} FROM PUBLIC; ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true",
        name = name.as_str()
    );
    home.run(MAKING, &shut).await?;
    set_defaults(home, name, &source).await;

    let database = home.database.beside(name.as_str(), None);
    let inside = database.connect(&home.purpose).await?;
    let prepared = extensions::prepare(
        context,
        &inside,
        &source.extensions,
        source.has_public,
        restorer.as_ref().map(|_| name),
    )
    .await;
    inside.close().await;
    let schemas = prepared?;
    let restorer = match restorer {
        Some(password) => role::try_out(context, home, name, password).await?,
        None => None,
    };
    Ok(Made { database, restorer, schemas })
}

/// What the copied database is like.
pub(super) struct Source {
    version: String,
    version_num: i32,
    encoding: String,
    collate: String,
    ctype: String,
    /// `libc`, `icu` or `builtin`; None before PostgreSQL 15.
    provider: Option<String>,
    locale: Option<String>,
    rules: Option<String>,
    /// What ALTER DATABASE has set: `name=value`.
    defaults: Vec<String>,
    pub(super) has_public: bool,
    /// A few of the objects that only a superuser can make, extensions' aside.
    only_a_superuser: Vec<String>,
    pub(super) extensions: Vec<extensions::Extension>,
}

async fn look(context: &StepContext) -> Result<Source, StepError> {
    let session = context.database.connect(&Purpose::reading(&SessionName::of(context))).await?;
    let source = read(&session).await;
    session.close().await;
    source
}

async fn read(session: &Session) -> Result<Source, StepError> {
    let version_num = session.identity().version_num;
    let more = match version_num {
        170_000.. => "d.datlocprovider::text, d.datlocale, d.daticurules",
        160_000.. => "d.datlocprovider::text, d.daticulocale, d.daticurules",
        150_000.. => "d.datlocprovider::text, d.daticulocale, NULL",
        _ => "NULL, NULL, NULL",
    };
    let sql = LIKE.replace("{more}", more);
    let failed = |error| step_error("look at the database that is to be copied", error);
    let row = session.client().query_typed_one(&sql, &[]).await.map_err(failed)?;
    let provider: Option<String> = row.get(3);
    Ok(Source {
        version: session.identity().version.clone(),
        version_num,
        encoding: row.get(0),
        collate: row.get(1),
        ctype: row.get(2),
        provider: provider.map(|letter| match letter.as_str() {
            "i" => "icu".to_owned(),
            "b" => "builtin".to_owned(),
            _ => "libc".to_owned(),
        }),
        locale: row.get(4),
        rules: row.get(5),
        defaults: row.get(6),
        has_public: row.get(7),
        only_a_superuser: session
            .client()
            .query_typed_one(ONLY_A_SUPERUSER, &[])
            .await
            .map_err(failed)?
            .get(0),
        extensions: extensions::of(session).await?,
    })
}

const LIKE: &str = "
SELECT pg_catalog.pg_encoding_to_char(d.encoding)::text, d.datcollate::text, d.datctype::text, {more},
    coalesce((SELECT s.setconfig FROM pg_catalog.pg_db_role_setting s WHERE s.setdatabase = d.oid AND s.setrole = 0), '{}'),
    EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'public')
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";

const ONLY_A_SUPERUSER: &str = "
SELECT coalesce(pg_catalog.array_agg(found.name), '{}') FROM (
    SELECT pg_catalog.format('the function %s in %s', p.oid::regprocedure, l.lanname) AS name
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang AND NOT l.lanpltrusted AND l.lanname <> 'sql'
    WHERE p.oid >= 16384
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_proc'::regclass AND objid = p.oid AND deptype IN ('e', 'i'))
    UNION ALL
    SELECT pg_catalog.format('the type %s', t.oid::regtype) FROM pg_catalog.pg_type t
    WHERE t.oid >= 16384 AND t.typtype = 'b' AND t.typisdefined AND t.typinput <> 'pg_catalog.array_in'::regproc
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_type'::regclass AND objid = t.oid AND deptype IN ('e', 'i'))
    UNION ALL
    SELECT pg_catalog.format('the operator class %I', o.opcname) FROM pg_catalog.pg_opclass o
    WHERE o.oid >= 16384
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_opclass'::regclass AND objid = o.oid AND deptype = 'e')
    UNION ALL
    SELECT pg_catalog.format('the foreign data wrapper %I', w.fdwname) FROM pg_catalog.pg_foreign_data_wrapper w
    WHERE w.oid >= 16384
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_foreign_data_wrapper'::regclass AND objid = w.oid AND deptype = 'e')
    LIMIT 3
) found";

/// Nobody can connect to it yet, so that there is no moment in which others could.
async fn create(home: &Home, name: &ScratchName, source: &Source, owned: bool) -> Result<(), StepError> {
    let mut sql = format!(
        "CREATE DATABASE {} TEMPLATE template0 ALLOW_CONNECTIONS false ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        name.as_str(),
        literal(&source.encoding),
        literal(&source.collate),
        literal(&source.ctype)
    );
    if owned {
        sql = format!("{sql} OWNER {}", name.as_str());
    }
    if let Some(provider) = &source.provider {
        sql = format!("{sql} LOCALE_PROVIDER {provider}");
        let key = if provider == "builtin" { "BUILTIN_LOCALE" } else { "ICU_LOCALE" };
        for (key, value) in [(key, &source.locale), ("ICU_RULES", &source.rules)] {
            sql += &value.as_ref().map(|value| format!(" {key} {}", literal(value))).unwrap_or_default();
        }
    }
    let created = home.session.client().batch_execute(&sql).await;
    created.map_err(|error| {
        let error = home.session.error(error);
        let lost = error.is_lost();
        let mut error = error.into_step_error(MAKING);
        if !lost {
            error.class = ErrorClass::Setup;
            error.hint = error.hint.or_else(|| {
                let hint = "the server of the scratch database must know the encoding and the locale of the database; \
                            scratch_url in agent.toml can name another server";
                Some(hint.to_owned())
            });
        }
        error
    })
}

/// As far as this role may: a restored function may rely on them. What would shut the copy itself is left out.
async fn set_defaults(home: &Home, name: &ScratchName, source: &Source) {
    for (key, value) in source.defaults.iter().filter_map(|setting| setting.split_once('=')) {
        if matches!(
            key,
            "default_transaction_read_only" | "role" | "session_authorization" | "default_tablespace"
        ) {
            continue;
        }
        // A list is kept as it was written, each of its parts quoted where needed; one literal would be one part.
        let value = if LISTS.contains(&key) && !value.is_empty() { value.to_owned() } else { literal(value) };
        let sql = format!("ALTER DATABASE {} SET {} = {value}", name.as_str(), key_of(key));
        if let Err(error) = home.run("copy the database's settings", &sql).await {
            tracing::debug!(key, "a setting was not copied to the scratch database: {}", error.message);
        }
    }
}

const LISTS: [&str; 3] = ["search_path", "temp_tablespaces", "session_preload_libraries"];

/// A customized option has a name of two parts.
fn key_of(key: &str) -> String {
    key.split('.').map(identifier).collect::<Vec<_>>().join(".")
}

fn may_not_create(home: &Home) -> StepError {
    let user = &home.session.identity().user;
    let message = format!("{user} may not create databases, so a backup can't be restored to be proven");
    StepError::new(ErrorClass::Setup, message).with_hint(format!(
        "ALTER ROLE {} CREATEDB; or set scratch_url of this database in agent.toml to another server, where it may",
        identifier(user)
    ))
}
