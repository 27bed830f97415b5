//! People who come by an identity provider: a real one, with its own pages, tokens and revocations.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use stopover_tests::cli::json_lines;
use stopover_tests::{Cli, Issuer, Stack, eventually};

use crate::gates::person;
use crate::support::{is_event, log, number};

const ROLES: &str = "[[role]]\ngroup = \"dba\"\nrole = \"approver\"\n\
                     [[role]]\ngroup = \"dev\"\nrole = \"operator\"\nenvironments = [\"staging\"]\n";
const PIPELINE: &str = "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nrehearse = false\n\
                        approvals = 1\napprovers = [\"group:dba\"]\n";

/// A person's own machine, on which nobody has logged in.
fn at_home(stack: &Stack, name: &str) -> Cli {
    let home = stack.directory().join(format!("home-of-{name}"));
    std::fs::create_dir_all(&home).unwrap();
    Cli { home, ..stack.cli.clone() }
}

/// `stopover login`, and the person in the browser; gives the exit code and what was printed.
async fn sign_in(stack: &Stack, issuer: &Issuer, cli: &Cli, name: &str, agrees: bool) -> (i32, String) {
    let file = cli.home.join(format!("login-{agrees}.log"));
    let ca = stack.cli.ca.display().to_string();
    let login = ["--json", "login", "--as", "prod", "--server", &stack.cli.server, "--ca", &ca];
    let mut process = cli.start_at_home(&file, &login);
    let prompt = eventually("the code to type", || async {
        let output = process.output();
        output.split_inclusive('\n').next().filter(|line| line.ends_with('\n')).map(str::to_owned)
    })
    .await;
    let prompt: Value = serde_json::from_str(&prompt).unwrap_or_else(|error| panic!("{error}: {prompt}"));
    let read = issuer.visit(&prompt, name, agrees).await;
    assert!(read.contains(if agrees { "Success" } else { "interrupted" }), "{read}");
    let code = process.ended().await.code().unwrap();
    (code, process.output())
}

fn contexts(cli: &Cli) -> std::path::PathBuf {
    cli.home.join(".config/stopover/contexts.toml")
}

/// Of the sign-in that is kept.
fn kept(cli: &Cli, key: &str) -> String {
    let text = std::fs::read_to_string(contexts(cli)).unwrap();
    let begin = format!("{key} = \"");
    let line = text.lines().find_map(|line| line.strip_prefix(&begin)).unwrap_or_else(|| panic!("no {key}"));
    line.trim_end_matches('"').to_owned()
}

#[tokio::test]
async fn a_person_signs_in_and_does_what_their_groups_may() {
    let mut issuer = Issuer::start(&[("anna", &["dba"]), ("ben", &["dev"]), ("eve", &["sales"])], 3600).await;
    let mut stack = Stack::start_with_secrets(&[], &format!("{}{ROLES}", issuer.settings())).await;
    let place = stack.environment("staging").await;
    stack.pipeline(PIPELINE).await;
    let [anna, ben, eve] = ["anna", "ben", "eve"].map(|name| at_home(&stack, name));

    let (code, output) = sign_in(&stack, &issuer, &anna, "anna", false).await;
    assert!(code == 1 && output.contains("the sign-in was refused at https://localhost"), "{code}: {output}");
    assert!(!contexts(&anna).exists(), "nothing is kept");
    let (code, output) = sign_in(&stack, &issuer, &eve, "eve", true).await;
    assert!(code == 1 && output.contains("eve@example.com is in sales"), "{code}: {output}");
    assert!(!contexts(&eve).exists(), "nothing is kept");
    for (cli, name) in [(&anna, "anna"), (&ben, "ben")] {
        let (code, output) = sign_in(&stack, &issuer, cli, name, true).await;
        let me = json_lines(&output).pop().unwrap();
        assert_eq!(
            (code, me["operator"].as_str()),
            (0, Some(format!("{name}@example.com").as_str())),
            "{output}"
        );
        let mode = std::fs::metadata(contexts(cli)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }
    let me = ben.at_home(&["whoami"], "").await.stdout;
    for words in [
        "ben@example.com at https://",
        "operator@staging, by the group dev",
        "signed in at https://localhost",
    ] {
        assert!(me.contains(words), "{words} in {me}");
    }

    let directory =
        stack.migration("001_t", &[("up.sql", "CREATE TABLE t (a int);"), ("down.sql", "DROP TABLE t;")]);
    let mut running = ben.start_at_home(&ben.home.join("deploy.log"), &["--json", "deploy", &directory]);
    let id = eventually("the gates", || async {
        let listed = ben.at_home(&["--json", "list"], "").await.json();
        let waits =
            listed.first().filter(|row| row["at"].as_str().is_some_and(|at| at.contains("approval")))?;
        waits["deployment"].as_str().map(str::to_owned)
    })
    .await;
    let refused = ben.at_home(&["approve", &id], "").await;
    assert_eq!(refused.code, 1);
    for words in [
        "to approve needs the role approver in some environment, and ben@example.com has operator@staging",
        "by [[role]] in server.toml it comes with the group dba, and ben@example.com is in dev",
        &format!("who keeps the groups of {} can add ben@example.com", issuer.origin),
    ] {
        assert!(refused.stderr.contains(words), "{words} in {}", refused.stderr);
    }
    let bens_token = person(&stack, "ben@example.com", &["dba"]).await;
    let own = bens_token.run(&["approve", &id]).await;
    assert!(own.code == 1 && own.stderr.contains("ben@example.com created this deployment"), "{own:?}");

    let approved = anna.at_home(&["approve", &id, "--reason", "seen"], "").await;
    assert_eq!(approved.code, 0, "{approved:?}");
    assert_eq!(running.ended().await.code(), Some(0), "{}", running.output());
    let client = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg_class WHERE relname = 't'").await, 1);
    let records = log(&stack.cli, &id).await;
    let approval = records.iter().find(|record| is_event(record, "approved")).unwrap();
    assert_eq!(approval["event"]["by"], "anna@example.com");
    let audit = stack.cli.run(&["--json", "audit", "list", "--by", "anna@example.com"]).await.json();
    assert_eq!(audit[0]["through"]["oidc"]["subject"], "anna", "{audit:?}");
    stack.cli.ok(&["audit", "verify"]).await;

    // What the provider has said counts on; who comes anew while it is away is told what is away.
    issuer.kill();
    assert_eq!(anna.at_home(&["whoami"], "").await.code, 0);
    stack.kill_server();
    stack.start_server().await;
    let away = anna.at_home(&["whoami"], "").await;
    assert!(away.code == 3 && away.stderr.contains("can't be asked for its keys"), "{away:?}");
    stack.cli.ok(&["list"]).await;
    let out = anna.at_home(&["logout"], "").await;
    assert!(out.code == 0 && out.stderr.contains("not revoked"), "{out:?}");
    assert_eq!(anna.at_home(&["whoami"], "").await.code, 2, "forgotten all the same");
}

#[tokio::test]
async fn a_sign_in_is_renewed_until_somebody_logs_out() {
    let lifetime = 8;
    let issuer = Issuer::start(&[("anna", &["dev"])], lifetime).await;
    let mut stack = Stack::start_with_secrets(&[], &format!("{}{ROLES}", issuer.settings())).await;
    stack.environment("staging").await;
    stack.pipeline(PIPELINE).await;
    let anna = at_home(&stack, "anna");
    let (code, output) = sign_in(&stack, &issuer, &anna, "anna", true).await;
    assert_eq!(code, 0, "{output}");
    let directory =
        stack.migration("001_t", &[("up.sql", "CREATE TABLE t (a int);"), ("down.sql", "DROP TABLE t;")]);
    let mut renewed = anna.start_at_home(&anna.home.join("deploy.log"), &["--json", "deploy", &directory]);
    let id = eventually("the deployment", || async {
        let listed = stack.cli.run(&["--json", "list"]).await.json();
        listed.first()?["deployment"].as_str().map(str::to_owned)
    })
    .await;

    // A token that nobody renews: its watch ends with it.
    let alone = stack.directory().join("alone");
    std::fs::write(&alone, kept(&anna, "bearer")).unwrap();
    std::fs::set_permissions(&alone, std::fs::Permissions::from_mode(0o600)).unwrap();
    let ends: jiff::Timestamp = kept(&anna, "expires_at").parse().unwrap();
    let program = Cli { token_file: alone, ..stack.cli.clone() };
    let mut watch = program.start(&stack.directory().join("watch.log"), &["--json", "watch", &id]);
    let code = watch.ended().await.code();
    let after = jiff::Timestamp::now().duration_since(ends);
    assert!(
        code == Some(2) && watch.output().contains("the sign-in of anna@example.com ended at"),
        "{}",
        watch.output()
    );
    assert!(after.as_secs() < 5, "{after:#} after its end");

    // The one that is renewed goes on through two more of its tokens.
    let first = kept(&anna, "refresh_token");
    eventually("two renewals", || async {
        let now: jiff::Timestamp = kept(&anna, "expires_at").parse().unwrap();
        (now.duration_since(ends).as_secs() >= 2 * i64::from(lifetime) - 6).then_some(())
    })
    .await;
    assert_ne!(first, kept(&anna, "refresh_token"), "good once");
    assert!(renewed.is_running(), "{}", renewed.output());
    stack.cli.ok(&["cancel", &id]).await;
    assert_eq!(renewed.ended().await.code(), Some(1), "{}", renewed.output());
    assert!(json_lines(&renewed.output()).iter().any(|line| line.to_string().contains("cancelled")));

    // Two at once use no refresh token twice.
    let both = two_at_once(&anna).await;
    assert!(both.iter().all(|finished| finished.0 == 0), "{both:?}");
    let out = anna.at_home(&["logout"], "").await;
    assert!(out.code == 0 && out.stderr.contains("revoked at https://localhost"), "{out:?}");
    eventually("the revocation", || async { issuer.output().contains("grant.revoked").then_some(()) }).await;
    let text = std::fs::read_to_string(contexts(&anna)).unwrap();
    assert!(!text.contains("refresh_token") && !text.contains("bearer"), "{text}");
}

/// After the token that is kept has ended.
async fn two_at_once(cli: &Cli) -> [(i32, String); 2] {
    let ends: jiff::Timestamp = kept(cli, "expires_at").parse().unwrap();
    eventually("the token's end", || async { (jiff::Timestamp::now() > ends).then_some(()) }).await;
    let whoami = async || {
        let finished = cli.at_home(&["whoami"], "").await;
        (finished.code, finished.stderr)
    };
    let (one, two) = tokio::join!(whoami(), whoami());
    [one, two]
}
