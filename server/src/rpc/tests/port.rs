use stopover_proto::v1::control_client::ControlClient;
use stopover_proto::v1::{DeployRequest, ListDeploymentsRequest, ListEnvironmentsRequest, MigrationBundle};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use super::*;

#[tokio::test]
async fn operators_are_let_in_by_their_token_alone() {
    let bench = Bench::start().await;
    let token = OperatorToken::new([1; 32]).expose();
    let unknown = OperatorToken::new([2; 32]).expose();
    for (header, name) in [
        (String::new(), "bad_token"),
        (token.clone(), "bad_token"),
        (format!("Basic {token}"), "bad_token"),
        (format!("Bearer {unknown}"), "bad_token"),
        (format!("Bearer {token}x"), "bad_token"),
    ] {
        let refused =
            bench.with_header(&header).list_environments(ListEnvironmentsRequest {}).await.unwrap_err();
        assert_eq!((refused.code(), name_of(&refused)), (Code::Unauthenticated, name), "{header}");
        assert!(!refused.message().contains("sto_"), "{refused}");
    }
    for header in [format!("Bearer {token}"), format!("bearer  {token}")] {
        bench.with_header(&header).list_environments(ListEnvironmentsRequest {}).await.unwrap();
    }

    bench.environment("staging").await;
    let agent = bench.member("staging", "a").await;
    for identity in [None, Some(agent.identity)] {
        let mut client = ControlClient::new(bench.channel(identity));
        let refused = client.list_deployments(ListDeploymentsRequest { limit: 0 }).await.unwrap_err();
        assert_eq!((refused.code(), name_of(&refused)), (Code::Unauthenticated, "no_token"));
        assert!(refused.message().contains("STOPOVER_TOKEN"), "{refused}");
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_told_so() {
    let bench = Bench::start().await;
    let large = "x".repeat(17 * 1024 * 1024);
    let migrations: Vec<MigrationBundle> = vec![bundle("001_x", &[("up.sql", &large)])];
    let request = DeployRequest { migrations, ..DeployRequest::default() };
    let refused = bench.operator().deploy(request).await.unwrap_err();
    assert_eq!((refused.code(), name_of(&refused)), (Code::ResourceExhausted, "too_large"), "{refused}");
    assert!(refused.message().contains("larger than 16384 KiB"), "{refused}");

    let request = JoinRequest { csr: vec![0; 100_000], ..JoinRequest::default() };
    let refused = EnrolmentClient::new(bench.channel(None)).join(request).await.unwrap_err();
    assert_eq!((refused.code(), name_of(&refused)), (Code::ResourceExhausted, "too_large"), "{refused}");
}

#[tokio::test]
async fn health_is_for_everybody_and_reflection_for_whoever_switched_it_on() {
    for reflection in [false, true] {
        let bench = Bench::start_with(reflection).await;
        for service in ["", "stopover.v1.Control", "stopover.v1.Tunnel"] {
            let request = HealthCheckRequest { service: service.into() };
            let health = HealthClient::new(bench.channel(None)).check(request).await.unwrap();
            assert_eq!(health.into_inner().status(), ServingStatus::Serving, "{service}");
        }
        let list = ServerReflectionRequest {
            message_request: Some(MessageRequest::ListServices(String::new())),
            ..ServerReflectionRequest::default()
        };
        let mut client = ServerReflectionClient::new(bench.channel(None));
        let answer = client.server_reflection_info(futures::stream::iter([list])).await;
        match answer {
            Ok(answer) => {
                let first = answer.into_inner().message().await.unwrap().unwrap();
                assert!(reflection && format!("{first:?}").contains("stopover.v1.Control"), "{first:?}");
            }
            Err(status) => assert!(!reflection && status.code() == Code::Unimplemented, "{status}"),
        }
    }
}
