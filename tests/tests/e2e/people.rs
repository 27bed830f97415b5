//! Who may do what, how they get in, and what is kept of what they did.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use stopover_tests::{Cli, Receiver, Stack, eventually};

async fn token(cli: &Cli, name: &str, role: &str) -> String {
    let made = cli.run(&["--json", "token", "create", name, "--role", role]).await.json();
    made[0]["token"].as_str().unwrap().to_owned()
}

/// Does with the server's store what nobody should.
async fn spoil(store: &Path, statement: &'static str) {
    let mut store = SqliteConnectOptions::new().filename(store).connect().await.unwrap();
    sqlx::query(statement).execute(&mut store).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_person_logs_in_once_and_is_told_what_they_may_not_do() {
    let stack = Stack::start().await;
    let bens = token(&stack.cli, "ben", "viewer@staging").await;
    let Cli { server, ca, home, .. } = &stack.cli;
    let ca = ca.display().to_string();

    let wrong = stack.cli.at_home(&["login", "--server", server, "--ca", &ca], "sto_nothing").await;
    assert!(wrong.code == 2 && wrong.stderr.contains("holds no token"), "{wrong:?}");
    let login = ["login", "--as", "prod", "--server", server, "--ca", &ca];
    let out = stack.cli.at_home(&login, &format!("{bens}\n")).await;
    assert!(out.code == 0 && out.stderr.contains("logged in as ben (viewer@staging)"), "{out:?}");
    let file = home.join(".config/stopover/contexts.toml");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let me = stack.cli.at_home(&["--json", "whoami"], "").await.json();
    assert_eq!(
        (me[0]["operator"].as_str(), me[0]["roles"][0].as_str()),
        (Some("ben"), Some("viewer@staging"))
    );
    let refused = stack.cli.at_home(&["environment", "create", "staging"], "").await;
    assert_eq!(refused.code, 1);
    let words = "to create an environment needs the role admin in some environment, and ben has viewer@staging; admin can \
                 give it: stopover token create ben --role admin@ENVIRONMENT";
    assert!(refused.stderr.contains(words), "{refused:?}");

    // Its token is for its server alone.
    let other = stack.cli.at_home(&["whoami", "--server", "https://localhost:1"], "").await;
    assert!(other.code == 2 && other.stderr.contains("no operator's token is configured"), "{other:?}");
    stack.cli.at_home(&["context", "add", "other", "--server", "https://localhost:1"], "").await;
    let listed = stack.cli.at_home(&["--json", "context", "list"], "").await.json();
    assert_eq!((listed[0]["in_use"].as_bool(), listed[1]["in_use"].as_bool()), (Some(true), Some(false)));
    let back = stack.cli.at_home(&["--context", "prod", "whoami"], "").await;
    assert_eq!(back.code, 0, "{back:?}");
    stack.cli.at_home(&["context", "use", "prod"], "").await;
    stack.cli.at_home(&["logout"], "").await;
    let out = stack.cli.at_home(&["whoami"], "").await;
    assert!(out.code == 2 && out.stderr.contains("stopover login"), "{out:?}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = stack.cli.at_home(&["whoami"], "").await;
    assert!(open.code == 2 && open.stderr.contains("can be read by others"), "{open:?}");
}

#[tokio::test]
async fn an_audit_log_that_somebody_changed_is_found_out_wherever_it_lies() {
    let mut stack = Stack::start().await;
    let cli = stack.cli.clone();
    cli.ok(&["environment", "create", "staging"]).await;
    cli.ok(&["environment", "create", "production"]).await;
    token(&cli, "ben", "viewer@*").await;
    let log = cli.run(&["--json", "audit", "list", "--by", "admin"]).await.json();
    let about = |index: usize| (log[index]["what"].as_str().unwrap(), log[index]["about"].as_str().unwrap());
    assert_eq!(about(0), ("CreateEnvironment", "environment staging"));
    assert!(cli.ok(&["audit", "verify"]).await.contains("none was changed, removed or cut off"));

    let exported = cli.ok(&["audit", "export"]).await;
    let file = stack.directory().join("audit.jsonl");
    let file_name = file.display().to_string();
    let verify = ["audit", "verify", &file_name];
    std::fs::write(&file, &exported).unwrap();
    cli.ok(&verify).await;
    let lines: Vec<_> = exported.lines().collect();
    let without = |gone: usize| {
        let left = lines.iter().enumerate().filter(|(index, _)| *index != gone);
        left.map(|(_, line)| [line, "\n"].concat()).collect::<String>()
    };
    for (text, words) in [
        (exported.replacen("production", "elsewhere", 1), "record 4 is not what was recorded"),
        (without(1), "record 2 is missing: 3 comes in its place"),
        (without(lines.len() - 2), "is cut off: record 7 was signed"),
    ] {
        std::fs::write(&file, text).unwrap();
        let broken = cli.run(&verify).await;
        assert!(broken.code == 1 && broken.stderr.contains(words), "{words}: {broken:?}");
    }

    stack.kill_server();
    let store = stack.directory().join("data/stopover.db");
    let store_name = store.display().to_string();
    let verify = ["audit", "verify", "--database", &store_name];
    cli.ok(&verify).await;
    spoil(&store, "DELETE FROM audit WHERE seq = 7").await;
    let cut = cli.run(&verify).await;
    assert!(
        cut.code == 1 && cut.stderr.contains("what follows record 6 is cut off: record 7 was signed"),
        "{cut:?}"
    );
    spoil(&store, "UPDATE audit SET record = replace(record, 'staging', 'nothing') WHERE seq = 2").await;
    let changed = cli.run(&verify).await;
    assert!(changed.code == 1 && changed.stderr.contains("record 2 is not what was recorded"), "{changed:?}");
}

#[tokio::test]
async fn heads_that_a_webhook_got_show_what_was_cut_off_from_the_store() {
    let receiver = Receiver::start().await;
    let settings = format!("[audit]\nwebhook = \"{}\"\nsecret = \"audit\"\n", receiver.url("/heads"));
    let mut stack = Stack::start_with_secrets(&[("audit", "a key")], &settings).await;
    let cli = stack.cli.clone();
    cli.ok(&["environment", "create", "staging"]).await;
    let arrived = format!("every signed head has arrived at {}", receiver.url("/heads"));
    eventually("the last head", || async {
        cli.ok(&["audit", "verify"]).await.contains(&arrived).then_some(())
    })
    .await;

    // Whoever keeps the calls can do without the server's own file.
    let kept = stack.directory().join("kept").display().to_string();
    let calls: Vec<_> = receiver.received().iter().map(|call| call.body.to_vec()).collect();
    std::fs::write(&kept, calls.concat()).unwrap();
    stack.kill_server();
    let data = stack.directory().join("data");
    std::fs::remove_file(data.join("audit.heads")).unwrap();
    let store = data.join("stopover.db");
    let store_name = store.display().to_string();
    let verify = ["audit", "verify", "--database", &store_name, "--heads", &kept];
    cli.ok(&verify).await;
    spoil(&store, "DELETE FROM audit WHERE seq = 3").await;
    spoil(&store, "UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit WHERE seq = 2)").await;
    let cut = cli.run(&verify).await;
    assert!(cut.code == 1 && cut.stderr.contains("record 3 was signed"), "{cut:?}");
}
