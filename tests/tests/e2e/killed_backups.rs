//! The agent killed with SIGKILL at each point of a backup and of its restore: afterwards there is one whole backup, and
//! nothing of the killed run: no scratch database, no half backup under a final name, no private file.
//!
//! Where it is stopped is a program's doing that stands in for `pg_dump` or `pg_restore`: it comes to the point, says so,
//! and waits until it may go on.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use stopover_tests::stack::AgentOptions;
use stopover_tests::{Stack, eventually};
use tokio_postgres::Client;

use crate::support::{Running, assert_contiguous, assert_nothing_left, deploy, is_start, number, outcome};

const USERS: &str = "CREATE TABLE users (id int PRIMARY KEY, email text);
    INSERT INTO users SELECT i, md5(i::text) FROM generate_series(1, 20000) i; ANALYZE";
const RECIPIENT: &str = "recipients = [\"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\"]";

/// Programs that stop where a test wants them to.
struct Stops {
    directory: PathBuf,
}

impl Stops {
    /// `point` is shell: what the program does when it is to stop. `"$@"` are its arguments, `$real` is the program.
    fn new(stack: &Stack, program: &str, when: &str, point: &str) -> (Self, AgentOptions) {
        let directory = stack.directory().join("stops");
        std::fs::create_dir_all(&directory).unwrap();
        let mut lines = String::new();
        for name in ["pg_dump", "pg_restore"] {
            let real = real(name);
            let text = if name == program {
                format!(
                    "#!/bin/bash\nreal={real}\nhere={here}\n\
                     wait_here() {{ touch $here/reached; while [ -e $here/stop ]; do sleep 0.05; done; }}\n\
                     case \"$*\" in *--version*) exec $real \"$@\";; esac\n\
                     if [ -e $here/stop ] && {when}; then\n{point}\nfi\nexec $real \"$@\"\n",
                    real = real.display(),
                    here = directory.display()
                )
            } else {
                format!("#!/bin/bash\nexec {} \"$@\"\n", real.display())
            };
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            writeln!(lines, "{name} = \"{}\"", path.display()).unwrap();
        }
        let stops = Self { directory };
        stops.arm();
        (stops, AgentOptions { lines, ..AgentOptions::default() })
    }

    fn arm(&self) {
        let _ = std::fs::remove_file(self.directory.join("reached"));
        std::fs::write(self.directory.join("stop"), "").unwrap();
    }

    async fn reached(&self) {
        let reached = self.directory.join("reached");
        eventually("the point where it is killed", || async { reached.exists().then_some(()) }).await;
    }

    fn go_on(&self) {
        std::fs::remove_file(self.directory.join("stop")).unwrap();
    }
}

fn real(name: &str) -> PathBuf {
    let found = Command::new("bash")
        .args(["-c", "ls /usr/lib/postgresql/*/bin/$0 | sort -V | tail -1", name])
        .output();
    PathBuf::from(String::from_utf8(found.unwrap().stdout).unwrap().trim())
}

fn files(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn databases_like(client: &Client, pattern: &str) -> i64 {
    number(client, &format!("SELECT count(*) FROM pg_database WHERE datname LIKE '{pattern}'")).await
}

/// What a backup at a level is, where it is stopped, and what it is made with.
struct Case {
    name: &'static str,
    level: &'static str,
    backup: &'static str,
    program: &'static str,
    when: &'static str,
    point: &'static str,
}

const DUMPING: &str = "$real \"$@\" | head -c 200000; wait_here; exit 1";
const WAITING: &str = "wait_here; exit 1";

/// The directory is whole, and nobody has looked at it yet.
const DUMPED: &str = "$real \"$@\"; wait_here; exit 1";

const CASES: [Case; 10] = [
    Case { name: "dump", level: "recorded", backup: "", program: "pg_dump", when: "true", point: DUMPING },
    Case {
        name: "encryption",
        level: "recorded",
        backup: RECIPIENT,
        program: "pg_dump",
        when: "true",
        point: DUMPING,
    },
    Case {
        name: "decoding",
        level: "decoded",
        backup: "",
        program: "pg_restore",
        when: "[[ \"$*\" == *--file=/dev/null* ]]",
        point: WAITING,
    },
    Case {
        name: "decoding what is encrypted",
        level: "decoded",
        backup: RECIPIENT,
        program: "pg_restore",
        when: "[[ \"$*\" == *--file=/dev/null* ]]",
        point: WAITING,
    },
    Case {
        name: "dump at a held snapshot",
        level: "restored",
        backup: "",
        program: "pg_dump",
        when: "true",
        point: DUMPING,
    },
    Case {
        name: "restore",
        level: "restored",
        backup: "",
        program: "pg_restore",
        when: "[[ \"$*\" == *--use-list=* ]]",
        point: WAITING,
    },
    Case {
        name: "dump by several jobs",
        level: "recorded",
        backup: "jobs = 2",
        program: "pg_dump",
        when: "true",
        point: DUMPED,
    },
    Case {
        name: "decoding what several jobs have made",
        level: "decoded",
        backup: "jobs = 2",
        program: "pg_restore",
        when: "[[ \"$*\" == *--file=/dev/null* ]]",
        point: WAITING,
    },
    Case {
        name: "restore by several jobs",
        level: "restored",
        backup: "jobs = 2",
        program: "pg_restore",
        when: "[[ \"$*\" == *--use-list=* ]]",
        point: WAITING,
    },
    Case {
        name: "restore of what is encrypted",
        level: "restored",
        backup: RECIPIENT,
        program: "pg_restore",
        when: "[[ \"$*\" == *--use-list=* ]]",
        point: WAITING,
    },
];

#[tokio::test]
async fn at_each_point_of_a_backup() {
    for case in CASES {
        let mut stack = Stack::start().await;
        let (stops, options) = Stops::new(&stack, case.program, case.when, case.point);
        let options = AgentOptions { backup: case.backup.to_owned(), ..options };
        let place = stack.environment_with("staging", options).await;
        let client = stack.agents[place].database.client().await.unwrap();
        client.batch_execute(USERS).await.unwrap();
        stack.pipeline(&pipeline(case.level)).await;
        let directory = stack.migration("001_nick", &[("up.sql", "ALTER TABLE users ADD COLUMN nick text;")]);
        let mut running = Running::deploy(&stack, &directory);
        let id = running.id().await;
        stops.reached().await;
        kill(&mut stack, place, case.name);
        stops.go_on();
        stack.start_agent(place);
        assert_eq!(running.ended().await, 0, "{}: {}", case.name, running.process.output());
        whole(&stack, place, &client, &running, &id, case.name).await;
    }
}

#[tokio::test]
async fn while_the_rows_are_compared() {
    let mut stack = Stack::start().await;
    // The dump is through, and the program has not ended: whoever wants a lock gets it now.
    let point = "$real \"$@\"; code=$?; wait_here; exit $code";
    let (stops, options) = Stops::new(&stack, "pg_dump", "true", point);
    let place = stack.environment_with("staging", options).await;
    let client = stack.agents[place].database.client().await.unwrap();
    client.batch_execute(USERS).await.unwrap();
    stack.pipeline(&pipeline("restored")).await;
    let directory = stack.migration("001_nick", &[("up.sql", "ALTER TABLE users ADD COLUMN nick text;")]);
    let mut running = Running::deploy(&stack, &directory);
    let id = running.id().await;
    stops.reached().await;
    let holder = stack.agents[place].database.client().await.unwrap();
    holder.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.unwrap();
    stops.go_on();
    let comparing = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name LIKE 'stopover/%' AND wait_event_type = 'Lock' AND query LIKE '%hashtextextended%'";
    eventually("the comparison", || async { (number(&client, comparing).await > 0).then_some(()) }).await;
    kill(&mut stack, place, "comparison");
    holder.batch_execute("ROLLBACK").await.unwrap();
    stack.start_agent(place);
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    whole(&stack, place, &client, &running, &id, "comparison").await;
}

/// What lies between two points is met by chance: the manifest that is written before the file has its name, say.
#[tokio::test]
async fn at_any_moment_of_a_backup() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    client.batch_execute(USERS).await.unwrap();
    stack.pipeline(&pipeline("restored")).await;
    for round in 0..12_u64 {
        let name = format!("{round:03}_column");
        let up = format!("ALTER TABLE users ADD COLUMN c{round} text;");
        let directory = stack.migration(&name, &[("up.sql", &up)]);
        let before = files(&stack.agents[place].backups()).len();
        let mut running = Running::deploy(&stack, &directory);
        let id = running.id().await;
        running.until("the backup", |r| is_start(r, "backup", 0)).await;
        // Not to wait for something: each round is killed a little later.
        tokio::time::sleep(std::time::Duration::from_millis(round * 60)).await;
        stack.kill_agent(place);
        for file in files(&stack.agents[place].backups()) {
            let whole = file.ends_with(".dump.zst");
            let manifest = file.replace(".dump.zst", ".json");
            assert!(
                !whole || stack.agents[place].backups().join(manifest).exists(),
                "{file} has a final name and no manifest, in round {round}"
            );
        }
        stack.start_agent(place);
        assert_eq!(running.ended().await, 0, "round {round}: {}", running.process.output());
        let left = files(&stack.agents[place].backups());
        // The kill may have come behind the backup, whose step then is not done again.
        assert_eq!(left.len(), before + 2, "round {round}: {left:?}");
        assert!(!left.iter().any(|file| file.contains(".partial")), "round {round}: {left:?}");
        assert_eq!(databases_like(&client, &format!("stopover_scratch_%{id}%")).await, 0, "round {round}");
    }
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn while_a_backup_is_brought_back() {
    let mut stack = Stack::start().await;
    let (stops, options) = Stops::new(&stack, "pg_restore", "[[ $PGDATABASE == stopover_* ]]", WAITING);
    let place = stack.environment_with("staging", options).await;
    let client = stack.agents[place].database.client().await.unwrap();
    client.batch_execute(USERS).await.unwrap();
    stack.pipeline(&pipeline("recorded")).await;
    let directory = stack.migration("001_nick", &[("up.sql", "ALTER TABLE users ADD COLUMN nick text;")]);
    let (deployed, _) = deploy(&stack, &directory).await;
    assert_eq!(deployed.code, 0, "{}", deployed.stderr);
    let listed = stack.cli.run(&["--json", "backup", "list"]).await.json();
    let id = listed[0]["databases"][0]["found"]["backups"][0]["id"].as_str().unwrap().to_owned();
    let name = format!("{}_back", stack.agents[place].database.name());
    for (n, arguments) in
        [vec!["backup", "restore", &id, "--as", &name], vec!["backup", "verify", &id, "--restore"]]
            .iter()
            .enumerate()
    {
        stops.arm();
        let mut asked = stack.cli.start(&stack.directory().join(format!("asked-{n}.log")), arguments);
        stops.reached().await;
        stack.kill_agent(place);
        stops.go_on();
        let ended = asked.ended().await;
        assert!(!ended.success(), "{}", asked.output());
        stack.start_agent(place);
        stack.wait_for_agent("staging").await;
        let left = "SELECT count(*) FROM pg_database WHERE datname ~ '^stopover_(restore|scratch)'
            AND shobj_description(oid, 'pg_database') LIKE '%' || current_database() || '%'";
        eventually("nothing is left of it", || async { (number(&client, left).await == 0).then_some(()) })
            .await;
    }
    assert_eq!(databases_like(&client, &name).await, 0);
    let restored = stack.cli.run(&["backup", "restore", &id, "--as", &name]).await;
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    client.batch_execute(&format!("DROP DATABASE {name}")).await.unwrap();
    assert_nothing_left(&client).await;
}

fn pipeline(level: &str) -> String {
    format!("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nbackup = \"{level}\"\n")
}

/// Nothing has its final name yet.
fn kill(stack: &mut Stack, place: usize, point: &str) {
    let before = files(&stack.agents[place].backups());
    stack.kill_agent(place);
    assert!(before.iter().all(|file| file.ends_with(".partial")), "{point}: {before:?}");
}

/// One whole backup, and nothing else.
async fn whole(stack: &Stack, place: usize, client: &Client, running: &Running, id: &str, point: &str) {
    let records = running.records();
    assert_contiguous(&records);
    assert_eq!(outcome(&records), "succeeded", "{point}");
    let left = files(&stack.agents[place].backups());
    assert!(left.len() == 2 && left[0].contains(".dump.") && left[1].contains(".json"), "{point}: {left:?}");
    assert_eq!(databases_like(client, &format!("stopover_scratch_%{id}%")).await, 0, "{point}");
    let listed = stack.cli.run(&["--json", "backup", "list"]).await.json();
    let backup = listed[0]["databases"][0]["found"]["backups"][0]["id"].as_str().unwrap();
    let verified = stack.cli.run(&["backup", "verify", backup]).await;
    assert_eq!(verified.code, 0, "{point}: {}", verified.stderr);
    assert_nothing_left(client).await;
}
