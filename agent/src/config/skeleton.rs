//! The agent.toml that joining leaves behind, for a person to complete.

use stopover_model::id::EnvironmentName;

use crate::connection::ServerUrl;

/// A commented agent.toml, which lacks its databases.
#[must_use]
pub fn skeleton(server: &ServerUrl, environment: &EnvironmentName) -> String {
    format!(
        r#"# The agent of the environment {environment}. After a change, start the agent again.

server = "{server}"

# Where the agent's identity lies; this file's directory when not set.
# state_dir = "/var/lib/stopover-agent"

# PostgreSQL's programs; found by themselves where they are installed as packages.
# pg_dump = "/usr/lib/postgresql/15/bin/pg_dump"
# pg_restore = "/usr/lib/postgresql/15/bin/pg_restore"

# [backup]
# destination = "/var/backups/stopover"    # or s3://BUCKET/PREFIX, gs://..., az://...; backups/ in state_dir when not set
# recipients = ["age1..."]                 # public keys of `age-keygen`; without any, backups are not encrypted
# keep = 14                                # of each database; all when neither this nor keep_for is set
# keep_for = "30d"
# jobs = 4                                 # tables dumped at a time; with more than one a backup is a directory
# command = ["/usr/local/bin/snapshot"]    # makes backups in pg_dump's place

# [http]                                   # what monitors of pipelines may ask, and nothing else
# allow = ["https://app.internal/health"]

# One of these for each database. The password comes from one of:
#   password_file = "/etc/stopover/users.password"
#   password_command = ["aws", "rds", "generate-db-auth-token", "--hostname", "..."]   (asked at each connection)
#   the url itself, when nobody else can read this file

# [[database]]
# name = "users"                           # how deployments call it
# url = "postgresql://stopover@db.internal:5432/users?sslmode=verify-full&sslrootcert=system"
# password_file = "/etc/stopover/users.password"
# labels = {{ tier = "canary", region = "eu" }}   # for `waves` and `select` of pipelines
# data_path = "/var/lib/postgresql/15/main"   # where it is on this machine: its disk is looked at before a migration
# scratch_url = "postgresql://stopover@scratch.internal/postgres"   # where backups are restored to be proven
"#
    )
}
