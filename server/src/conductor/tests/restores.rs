//! A live database is not replaced on one person's word where its environment needs approvals.

use futures::StreamExt as _;
use stopover_model::backup::{BackupUpdate, RestoreTarget};
use stopover_model::id::GroupName;

use super::*;

const PIPELINE: &str = "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\napprovals = 1\n\
                        approvers = [\"group:dba\"]\nrehearse = false\n";

fn of(backup: &str) -> Replacement {
    Replacement {
        environment: "staging".parse().unwrap(),
        database: "users".parse().unwrap(),
        backup: backup.parse().unwrap(),
    }
}

impl Bench {
    /// Whether it got as far as the agent, which knows nothing of backups.
    async fn restores(&self, backup: &str, by: &str) -> Result<(), ConductError> {
        let Replacement { environment, database, backup } = of(backup);
        let asked = BackupAsked { environment, database, backup, file_key: Vec::new() };
        let target = RestoreTarget::Live { disconnect_others: false };
        let mut updates = self.conductor.restore_backup(asked, target, by.parse().unwrap()).await?;
        let update = soon("the agent's answer", updates.next()).await;
        assert!(matches!(update, Some(BackupUpdate::Failed(_))), "{update:?}");
        Ok(())
    }

    async fn approves(&self, backup: &str, by: &str, group: &str) -> Result<(u32, u32), ConductError> {
        let groups: Vec<GroupName> = vec![group.parse().unwrap()];
        self.conductor.approve_restore(of(backup), by.parse().unwrap(), groups).await
    }
}

#[tokio::test]
async fn a_live_database_is_replaced_with_another_persons_approval_and_once() {
    let bench = Bench::start().await;
    let (one, other) = ("0000000001", "0000000002");
    bench.restores(one, "anna").await.unwrap();
    let none = bench.approves(one, "ben", "dba").await.unwrap_err();
    assert!(matches!(none, ConductError::NoRestoreApproval(_)), "{none}");

    bench.store.put_pipeline(&"p".parse().unwrap(), PIPELINE, now()).await.unwrap();
    let refused = bench.restores(one, "anna").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "nothing was restored: staging needs approvals, and replacing users with 0000000001 has 0 of 1; somebody of the \
         group dba could approve it: stopover backup approve 0000000001, then the same again within an hour"
    );
    let stranger = bench.approves(one, "carl", "web").await.unwrap_err();
    assert!(
        stranger.to_string().starts_with("carl is not one of those who approve in staging"),
        "{stranger}"
    );
    bench.approves(one, "anna", "dba").await.unwrap();
    let own = bench.restores(one, "anna").await.unwrap_err();
    assert!(matches!(own, ConductError::RestoreUnapproved { have: 0, .. }), "{own}");
    bench.approves(other, "ben", "dba").await.unwrap();
    let of_another = bench.restores(one, "anna").await.unwrap_err();
    assert!(matches!(of_another, ConductError::RestoreUnapproved { have: 0, .. }), "{of_another}");

    assert_eq!(bench.approves(one, "ben", "dba").await.unwrap(), (2, 1));
    bench.restores(one, "anna").await.unwrap();
    let again = bench.restores(one, "anna").await.unwrap_err();
    assert!(matches!(again, ConductError::RestoreUnapproved { have: 0, .. }), "{again}");
}
