use stopover_proto::tunnel::Ended;
use stopover_proto::v1::{AgentInfo, ListAgentsRequest, ListEnvironmentsRequest};
use tonic::Code;

use super::agent::Described;
use super::*;

impl Bench {
    async fn agents(&self) -> Vec<AgentInfo> {
        self.operator().list_agents(ListAgentsRequest {}).await.unwrap().into_inner().agents
    }

    /// Waits until so many tunnels are in the registry.
    async fn tunnels(&self, count: usize) {
        let mut changes = self.services.registry.changes();
        let reached = async {
            while self.services.registry.agents().len() != count {
                changes.changed().await.unwrap();
            }
        };
        soon("the tunnel", reached).await;
    }

    fn open(&self, member: &Member, described: Described) -> JoinHandle<Result<Ended, Status>> {
        tokio::spawn(described.serve(self.channel(Some(member.identity.clone()))))
    }
}

fn farewell(ended: Result<Ended, Status>) -> Status {
    match ended {
        Ok(Ended::Broken(status)) | Err(status) => status,
        Ok(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_agent_is_seen_with_its_databases_while_its_tunnel_is_open() {
    let bench = Bench::start().await;
    bench.environment("staging").await;
    let member = bench.member("staging", "a").await;
    let before = bench.agents().await;
    assert!(!before[0].connected && before[0].last_seen.is_none() && before[0].certificate_ends.is_some());

    let agent = bench.open(&member, Described::new("staging", &["users", "orders"]));
    bench.tunnels(1).await;
    let during = bench.agents().await;
    assert!(during[0].connected && during[0].last_seen.is_some());
    assert_eq!((during[0].version.as_str(), during[0].databases.len()), ("0.1.0-test", 2));
    let environments = bench.operator().list_environments(ListEnvironmentsRequest {}).await.unwrap();
    let databases = environments.into_inner().environments.remove(0).databases;
    assert_eq!(databases.len(), 2);
    assert!(databases.iter().all(|database| database.connected && database.agent == "a"), "{databases:?}");

    agent.abort();
    bench.tunnels(0).await;
    let after = bench.agents().await;
    assert!(!after[0].connected);
    assert_eq!(after[0].databases.len(), 2, "what it serves is remembered");
}

#[tokio::test]
async fn a_tunnel_needs_an_agents_certificate_for_the_environment_that_it_serves() {
    let bench = Bench::start().await;
    bench.environment("staging").await;
    let stranger = Described::new("staging", &["users"]).serve(bench.channel(None)).await.unwrap_err();
    assert_eq!((stranger.code(), name_of(&stranger)), (Code::Unauthenticated, "not_an_agent"));

    let member = bench.member("staging", "a").await;
    let elsewhere = soon("the end", bench.open(&member, Described::new("production", &["users"]))).await;
    let elsewhere = farewell(elsewhere.unwrap());
    assert_eq!(elsewhere.code(), Code::PermissionDenied, "{elsewhere}");
    assert!(elsewhere.message().contains("its agent.toml says production"), "{elsewhere}");
    assert!(bench.services.registry.agents().is_empty());
    assert!(bench.agents().await[0].databases.is_empty());
}

#[tokio::test]
async fn the_tunnel_of_a_replaced_agent_is_closed_and_not_opened_again() {
    let bench = Bench::start().await;
    bench.environment("staging").await;
    let member = bench.member("staging", "a").await;
    let agent = bench.open(&member, Described::new("staging", &["users"]));
    bench.tunnels(1).await;

    bench.member("staging", "a").await;
    let closed = tokio::time::timeout(Duration::from_secs(5), agent).await.expect("closed within 5 s");
    assert_eq!(farewell(closed.unwrap()).code(), Code::PermissionDenied);
    bench.tunnels(0).await;
    let again = bench.open(&member, Described::new("staging", &["users"])).await.unwrap();
    assert_eq!(farewell(again).code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_server_that_stops_sends_agents_away_to_come_again() {
    let bench = Bench::start().await;
    bench.environment("staging").await;
    let member = bench.member("staging", "a").await;
    let agent = bench.open(&member, Described::new("staging", &["users"]));
    bench.tunnels(1).await;
    bench.services.stopped.cancel();
    let status = farewell(soon("the end", agent).await.unwrap());
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}
