use std::time::Duration;

use stopover_cluster::{Cluster, TestDatabase};
use stopover_model::event::StepKind;
use tokio_postgres::Client;

use super::*;
use crate::postgres::Purpose;
use crate::testing::{context, messages, prepared};

async fn admin() -> Client {
    Cluster::shared().await.unwrap().client("postgres").await.unwrap()
}

async fn is_there(name: &str) -> bool {
    let sql = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1) OR EXISTS (SELECT FROM pg_roles WHERE rolname = $1)";
    admin().await.query_one(sql, &[&name]).await.unwrap().get(0)
}

/// In a deployment of its own: the tests of one process share the other one's.
fn surroundings(source: &TestDatabase) -> StepContext {
    let mut context = context(source.url(), StepKind::Backup);
    context.environment = format!("of-{}", source.name().replace('_', "-")).parse().unwrap();
    context
}

#[tokio::test]
async fn a_scratch_is_like_its_source_shut_and_gone_afterwards() {
    let source = prepared("CREATE SCHEMA s; CREATE EXTENSION pg_trgm SCHEMA public").await;
    let context = surroundings(&source);
    let scratch = Scratch::create(&context).await.unwrap();
    let name = scratch.name().to_owned();
    assert!(name.starts_with("stopover_scratch_"), "{name}");
    assert!(scratch.is_unprivileged(), "{:?}", messages(&context));
    let admin = admin().await;
    let row = admin
        .query_one(
            "SELECT a.encoding = b.encoding AND a.datcollate = b.datcollate AND a.datctype = b.datctype,
                has_database_privilege('public', a.oid, 'CONNECT'), shobj_description(a.oid, 'pg_database')
             FROM pg_database a, pg_database b WHERE a.datname = $1 AND b.datname = $2",
            &[&name, &source.name()],
        )
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0) && !row.get::<_, bool>(1));
    assert!(row.get::<_, &str>(2).contains("\"agent\":\"agent-1\""), "{}", row.get::<_, &str>(2));

    let session = scratch.restorer().connect(&Purpose::tidying()).await.unwrap();
    let client = session.client();
    let powers = client
        .query_one(
            "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await
        .unwrap();
    assert!(!powers.get::<_, bool>(0));
    client
        .batch_execute("CREATE TABLE t (a text); CREATE INDEX ON t USING gin (a gin_trgm_ops)")
        .await
        .unwrap();
    // Whoever is connected does not keep it from being dropped.
    scratch.remove().await;
    assert!(!is_there(&name).await);
}

#[tokio::test]
async fn a_kept_scratch_is_found_again_and_one_that_is_let_go_is_dropped() {
    let source = prepared("").await;
    let context = surroundings(&source);
    let scratch = Scratch::create(&context).await.unwrap();
    let name = scratch.name().to_owned();
    scratch.keep_for_rehearsal(&context).await.unwrap();
    assert_eq!(sweep(&context.environment, &context.database).await.unwrap(), Vec::<String>::new());
    let found = Scratch::find(&context).await.unwrap().unwrap();
    assert_eq!(found.name(), name);
    // Without a word to anybody: a panic, a task that was dropped.
    drop(found);
    let gone = async {
        while is_there(&name).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    assert!(Scratch::find(&context).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_killed_agent_left_is_swept_and_what_somebody_holds_is_not() {
    let source = prepared("").await;
    let context = surroundings(&source);
    let mut other = context.clone();
    other.step.database = "orders".parse().unwrap();
    let held = Scratch::create(&context).await.unwrap();
    let mut killed = Scratch::create(&other).await.unwrap();
    let name = killed.name().to_owned();
    // As the server sees it when the process is gone.
    killed.held.take().unwrap().home.session.abandon();
    drop(killed);
    let swept = async {
        loop {
            let dropped = sweep(&context.environment, &context.database).await.unwrap();
            if !dropped.is_empty() {
                return dropped;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(20), swept).await.unwrap(),
        std::slice::from_ref(&name)
    );
    assert!(!is_there(&name).await && is_there(held.name()).await);
    held.remove().await;
}

#[tokio::test]
async fn a_left_over_scratch_of_the_same_step_gives_way() {
    let source = prepared("").await;
    let context = surroundings(&source);
    let mut first = Scratch::create(&context).await.unwrap();
    let session = first.database().connect(&Purpose::tidying()).await.unwrap();
    session.client().batch_execute("CREATE TABLE left_over ()").await.unwrap();
    first.held.take().unwrap().home.session.abandon();
    drop(first);
    let second = Scratch::create(&context).await.unwrap();
    let session = second.database().connect(&Purpose::tidying()).await.unwrap();
    let found = session.client().query_one("SELECT to_regclass('left_over') IS NULL", &[]).await.unwrap();
    assert!(found.get::<_, bool>(0));
    session.close().await;
    second.remove().await;
}

#[tokio::test]
async fn a_role_that_may_not_create_databases_is_told_the_way_out() {
    let source = prepared("").await;
    let role = format!("poor_{}", source.name());
    let client = source.client().await.unwrap();
    client.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await.unwrap();
    let port = source.config().get_ports()[0];
    let url = format!("host=127.0.0.1 port={port} user={role} dbname={} password=x", source.name());
    let mut context = surroundings(&source);
    context.database = crate::testing::database(&url);
    let error = Scratch::create(&context).await.err().unwrap();
    assert_eq!(error.class, ErrorClass::Setup);
    let hint = error.hint.unwrap();
    assert!(hint.contains(&format!("ALTER ROLE \"{role}\" CREATEDB; or set scratch_url")), "{hint}");
    client.batch_execute(&format!("ALTER ROLE {role} CREATEDB")).await.unwrap();
    let scratch = Scratch::create(&context).await.unwrap();
    assert!(!scratch.is_unprivileged());
    scratch.remove().await;
    client.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_step_leaves_no_scratch() {
    let source = prepared("").await;
    let context = surroundings(&source);
    context.cancel.cancel();
    let error = Scratch::create(&context).await.err().unwrap();
    assert_eq!(error.class, ErrorClass::Cancelled);
    assert!(!is_there(ScratchName::of(&context).as_str()).await);
}
