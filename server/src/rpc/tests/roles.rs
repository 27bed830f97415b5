//! Who may call what: each method of the contract, with a role that is too low, and with one that counts elsewhere.

use std::collections::BTreeSet;

use http::uri::PathAndQuery;
use prost::Message as _;
use prost::bytes::{Buf, BufMut, Bytes};
use stopover_model::role::Role;
use stopover_proto::DESCRIPTOR_SET;
use stopover_proto::v1::{ApplyPipelineRequest, CreateTokenRequest, DeployRequest, WatchRequest};
use tonic::Code;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use uuid::Uuid;

use super::super::methods::{CONTROL, Method, OPEN, Place};
use super::*;

/// Messages as they are on the wire, so that every method can be called by its name.
#[derive(Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}

impl Bench {
    async fn call(&self, token: &str, method: &str, body: Vec<u8>) -> Result<(), Status> {
        let mut client = Grpc::new(InterceptedService::new(
            self.channel(None),
            Bearer(format!("Bearer {token}").parse().unwrap()),
        ));
        client.ready().await.unwrap();
        let path: PathAndQuery = format!("/stopover.v1.Control/{method}").parse().unwrap();
        let answer = client.server_streaming(Request::new(Bytes::from(body)), path, Raw).await?;
        // A refusal comes before the first message; nobody waits for the last one of a watch.
        answer.into_inner().message().await.map(|_| ())
    }

    pub(super) async fn holder_of(&self, roles: &[&str]) -> String {
        let request = CreateTokenRequest {
            operator: "ben".into(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..CreateTokenRequest::default()
        };
        self.operator().create_token(request).await.unwrap().into_inner().token
    }

    /// A deployment through staging and production that waits, since nothing is there for it.
    pub(super) async fn waiting(&self) -> String {
        for environment in ["staging", "production"] {
            self.environment(environment).await;
        }
        let request = ApplyPipelineRequest { toml: PIPELINE.into(), file: "p.toml".into() };
        self.operator().apply_pipeline(request).await.unwrap();
        let request = DeployRequest {
            migrations: vec![bundle("001_x", &[("up.sql", "SELECT 1")])],
            request_id: Uuid::new_v4().to_string(),
            ..DeployRequest::default()
        };
        self.operator().deploy(request).await.unwrap().into_inner().deployment
    }
}

fn methods() -> Vec<String> {
    let all = prost_types::FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap();
    let services =
        all.file.into_iter().filter(|file| file.package() == "stopover.v1").flat_map(|file| file.service);
    let control = services.filter(|service| service.name() == "Control");
    control.flat_map(|service| service.method).map(|method| method.name().to_owned()).collect()
}

/// A request that is about production, as far as a request is about an environment, in the fields' numbers of the contract.
fn about_production(method: &Method, deployment: &str) -> Vec<u8> {
    let environment = v1::CreateJoinTokenRequest { environment: "production".into() }.encode_to_vec();
    match (method.name, method.place) {
        ("Plan" | "Deploy" | "TestNotifications", _) => Vec::new(),
        ("ApplyPipeline", _) => {
            ApplyPipelineRequest { toml: PIPELINE.into(), file: String::new() }.encode_to_vec()
        }
        ("CreateToken", _) => {
            let roles = vec!["viewer@production".to_owned()];
            CreateTokenRequest { operator: "eve".into(), roles, ..Default::default() }.encode_to_vec()
        }
        ("RevokeToken", _) => {
            let id = OperatorToken::new([1; 32]).hash().to_string()[..10].to_owned();
            v1::RevokeTokenRequest { id }.encode_to_vec()
        }
        ("RollbackDeployment", _) => v1::RollbackDeploymentRequest {
            deployment: deployment.into(),
            environment: "production".into(),
            ..Default::default()
        }
        .encode_to_vec(),
        ("AnswerHook", _) => v1::AnswerHookRequest {
            deployment: deployment.into(),
            environment: "production".into(),
            hook: "x".into(),
            outcome: Some(stopover_model::gate::HookOutcome::Passed { reason: None }.into()),
        }
        .encode_to_vec(),
        ("TickItem", _) => v1::TickItemRequest {
            deployment: deployment.into(),
            environment: "production".into(),
            item: "x".into(),
        }
        .encode_to_vec(),
        ("RejectDeployment" | "OverrideWindow", _) => v1::RejectDeploymentRequest {
            deployment: deployment.into(),
            environment: "production".into(),
            reason: "x".into(),
        }
        .encode_to_vec(),
        ("ApproveDeployment", _) => v1::ApproveDeploymentRequest {
            deployment: deployment.into(),
            environment: "production".into(),
            digest: vec![7; 32],
            ..Default::default()
        }
        .encode_to_vec(),
        (_, Place::Deployment | Place::Stages) => {
            v1::GetDeploymentRequest { deployment: deployment.into() }.encode_to_vec()
        }
        (_, Place::Named) => environment,
        (_, Place::Anywhere | Place::Everywhere) => Vec::new(),
        (name, place) => {
            panic!("say what a request of {name} ({place:?}) looks like that is about production")
        }
    }
}

#[test]
fn each_method_of_the_contract_has_one_role() {
    let contract = methods();
    assert!(contract.len() > 30, "{contract:?}");
    let known: BTreeSet<_> = CONTROL.iter().map(|method| method.name).collect();
    assert_eq!(known.len(), CONTROL.len(), "a method is listed twice");
    let open = |name: &str| OPEN.contains(&name);
    assert!(!CONTROL.iter().any(|method| open(method.name)), "a method with a role is open to strangers");
    assert_eq!(OPEN, ["ShowLogin"], "whatever else is open to strangers has to be meant so");
    let missing: Vec<_> =
        contract.iter().filter(|name| !known.contains(name.as_str()) && !open(name)).collect();
    assert!(missing.is_empty(), "without a role in rpc/methods.rs, nobody may call {missing:?}");
    let gone: Vec<_> = known.iter().filter(|name| !contract.iter().any(|c| c == *name)).collect();
    assert!(gone.is_empty(), "not in the contract any more: {gone:?}");
}

#[tokio::test]
async fn a_role_that_is_too_low_is_refused_by_each_method() {
    let bench = Bench::start().await;
    let deployment = bench.waiting().await;
    for role in Role::ALL {
        let token = bench.holder_of(&[&format!("{role}@*")]).await;
        for method in CONTROL.iter().filter(|method| method.role > role) {
            let refused = bench.call(&token, method.name, about_production(method, &deployment)).await;
            let refused = refused.expect_err(method.name);
            assert_eq!(
                (refused.code(), name_of(&refused)),
                (Code::PermissionDenied, "role_needed"),
                "{method:?}"
            );
            let message = refused.message();
            assert!(
                message.contains(&format!("needs the role {}", method.role))
                    && message.contains(&format!("ben has {role}@*; anna can give it")),
                "{method:?}: {message}"
            );
        }
    }
}

#[tokio::test]
async fn a_role_counts_only_in_its_environment() {
    let bench = Bench::start().await;
    let deployment = bench.waiting().await;
    let elsewhere = bench.holder_of(&["admin@dev"]).await;
    let staging = bench.holder_of(&["admin@staging"]).await;
    for method in CONTROL.iter().filter(|method| method.place != Place::Anywhere) {
        let request = || about_production(method, &deployment);
        let refused = bench.call(&elsewhere, method.name, request()).await.expect_err(method.name);
        assert_eq!(name_of(&refused), "role_needed", "{method:?}: {refused:?}");
        // Whoever is in one of a deployment's environments may see it, and stop it.
        if method.place != Place::Stages {
            let refused = bench.call(&staging, method.name, request()).await.expect_err(method.name);
            assert_eq!(name_of(&refused), "role_needed", "{method:?}: {refused:?}");
            let all = method.name == "RevokeToken" || method.place == Place::Everywhere;
            let place = if all { "in all environments" } else { "in production" };
            assert!(refused.message().contains(place), "{method:?}: {refused:?}");
        }
    }
    let mine = bench
        .with_header(&format!("Bearer {staging}"))
        .list_environments(v1::ListEnvironmentsRequest {})
        .await;
    let mine: Vec<_> = mine.unwrap().into_inner().environments.into_iter().map(|e| e.name).collect();
    assert_eq!(mine, ["staging"]);
    let watch = WatchRequest { deployment, after_seq: 0 };
    bench.with_header(&format!("Bearer {staging}")).watch(watch).await.unwrap();
}

#[tokio::test]
async fn an_environments_administrator_gives_roles_there_alone() {
    let bench = Bench::start().await;
    let staging = bench.holder_of(&["admin@staging"]).await;
    let mut his = bench.with_header(&format!("Bearer {staging}"));
    let request = |roles: &[&str]| CreateTokenRequest {
        operator: "carl".into(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..CreateTokenRequest::default()
    };
    let made = his.create_token(request(&["operator@staging"])).await.unwrap().into_inner().stored.unwrap();
    assert_eq!(made.roles, ["operator@staging"]);
    for roles in [&["viewer@production"][..], &["operator@staging", "viewer@*"], &["admin@*"]] {
        let refused = his.create_token(request(roles)).await.unwrap_err();
        assert_eq!(name_of(&refused), "role_needed", "{roles:?}");
    }
    let none = bench.operator().create_token(request(&[])).await.unwrap_err();
    assert_eq!((none.code(), name_of(&none)), (Code::InvalidArgument, "no_role"));
    let wrong = bench.operator().create_token(request(&["owner@staging"])).await.unwrap_err();
    assert!(wrong.message().starts_with("`roles[0]`: `owner` is no role"), "{wrong}");
    his.revoke_token(v1::RevokeTokenRequest { id: made.id }).await.unwrap();
}

#[tokio::test]
async fn an_open_watch_ends_soon_after_its_token() {
    let bench = Bench::start().await;
    let deployment = bench.waiting().await;
    let token = bench.holder_of(&["viewer@*"]).await;
    let id = OperatorToken::hash(&token.parse().unwrap()).to_string()[..10].to_owned();
    let mut client = bench.with_header(&format!("Bearer {token}"));
    let mut watch = client.watch(WatchRequest { deployment, after_seq: 0 }).await.unwrap().into_inner();
    watch.message().await.unwrap();
    bench.operator().revoke_token(v1::RevokeTokenRequest { id }).await.unwrap();
    let ended = async {
        loop {
            if let Err(ended) = watch.message().await {
                return ended;
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(5), ended).await.expect("within 5 s");
    assert_eq!((ended.code(), name_of(&ended)), (Code::Unauthenticated, "token_revoked"));
}
