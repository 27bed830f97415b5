//! Tokens of people, and what they may do at a stage's gates.

use stopover_proto::convert::field::duration;
use stopover_proto::v1::{
    ApplyPipelineRequest, ApproveDeploymentRequest, CreateTokenRequest, CreateTokenResponse, DeployRequest,
    ListTokensRequest, RejectDeploymentRequest, RevokeTokenRequest, TickItemRequest,
};
use tonic::Code;
use uuid::Uuid;

use super::*;

const GATED: &str = "name = \"users-db\"\n[[stage]]\nenvironment = \"staging\"\napprovals = 1\n\
                     approvers = [\"group:dba\", \"carl\"]\nchecklist = [\"Team notified\"]\n";

impl Bench {
    async fn token(&self, operator: &str, groups: &[&str]) -> CreateTokenResponse {
        let request = CreateTokenRequest {
            operator: operator.into(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            roles: vec!["approver@*".to_owned()],
            ..CreateTokenRequest::default()
        };
        self.operator().create_token(request).await.unwrap().into_inner()
    }

    fn holder(&self, token: &CreateTokenResponse) -> Operator {
        self.with_header(&format!("Bearer {}", token.token))
    }

    async fn gated(&self) -> String {
        self.gated_by(self.operator()).await
    }

    /// A deployment that waits at its gates, of somebody who may deploy.
    pub(super) async fn gated_by(&self, mut who: Operator) -> String {
        let request = ApplyPipelineRequest { toml: GATED.into(), file: "p.toml".into() };
        self.operator().apply_pipeline(request).await.unwrap();
        let request = DeployRequest {
            migrations: vec![bundle("001_x", &[("up.sql", "SELECT 1")])],
            request_id: Uuid::new_v4().to_string(),
            ..DeployRequest::default()
        };
        who.deploy(request).await.unwrap().into_inner().deployment
    }
}

pub(super) fn approve(deployment: &str) -> ApproveDeploymentRequest {
    ApproveDeploymentRequest {
        deployment: deployment.into(),
        digest: vec![7; 32],
        ..ApproveDeploymentRequest::default()
    }
}

#[tokio::test]
async fn only_an_administrator_makes_and_revokes_tokens() {
    let bench = Bench::start().await;
    let ben = bench.token("ben", &["dba", "eu", "dba"]).await;
    let stored = ben.stored.clone().unwrap();
    assert_eq!(
        (stored.groups, stored.created_by.as_str(), stored.admin),
        (vec!["dba".into(), "eu".into()], "anna", false)
    );

    let mut his = bench.holder(&ben);
    let request = CreateTokenRequest { operator: "ben".into(), admin: true, ..CreateTokenRequest::default() };
    let refused = his.create_token(request).await.unwrap_err();
    assert_eq!((refused.code(), name_of(&refused)), (Code::PermissionDenied, "role_needed"));
    assert_eq!(
        refused.message(),
        "to make a token needs the role admin in some environment, and ben has approver@*; anna can give it: \
         stopover token create ben --role admin@ENVIRONMENT"
    );
    let all = his.list_tokens(ListTokensRequest {}).await.unwrap().into_inner().tokens;
    assert_eq!(all.iter().map(|t| t.operator.as_str()).collect::<Vec<_>>(), ["anna", "ben"]);
    let admin = RevokeTokenRequest { id: all[0].id.clone() };
    let refused = his.revoke_token(admin.clone()).await.unwrap_err();
    assert_eq!(name_of(&refused), "role_needed");
    let last = bench.operator().revoke_token(admin).await.unwrap_err();
    assert_eq!((last.code(), name_of(&last)), (Code::FailedPrecondition, "last_admin"));

    bench.operator().revoke_token(RevokeTokenRequest { id: stored.id }).await.unwrap();
    let revoked = his.list_tokens(ListTokensRequest {}).await.unwrap_err();
    assert_eq!((revoked.code(), name_of(&revoked)), (Code::Unauthenticated, "token_revoked"));
    let unknown = RevokeTokenRequest { id: "0000000000".into() };
    let unknown = bench.operator().revoke_token(unknown).await.unwrap_err();
    assert_eq!((unknown.code(), name_of(&unknown)), (Code::NotFound, "no_such_token"));
}

#[tokio::test]
async fn a_token_ends_by_itself() {
    let bench = Bench::start().await;
    let short = duration::write(Duration::from_millis(1));
    let request = CreateTokenRequest {
        operator: "ben".into(),
        good_for: short,
        admin: true,
        ..CreateTokenRequest::default()
    };
    let token = bench.operator().create_token(request).await.unwrap().into_inner();
    let ended = async {
        loop {
            if let Err(ended) = bench.holder(&token).list_tokens(ListTokensRequest {}).await {
                return ended;
            }
        }
    };
    let ended = soon("the token's end", ended).await;
    assert_eq!((ended.code(), name_of(&ended)), (Code::Unauthenticated, "token_ended"));
    assert!(
        ended.message().ends_with("ask an administrator for another: stopover token create ben"),
        "{ended}"
    );
    let never = CreateTokenRequest {
        operator: "ben".into(),
        good_for: duration::write(Duration::ZERO),
        admin: true,
        ..CreateTokenRequest::default()
    };
    let refused = bench.operator().create_token(never).await.unwrap_err();
    assert_eq!((refused.code(), name_of(&refused)), (Code::InvalidArgument, "bad_field"));
}

#[tokio::test]
async fn each_refusal_at_a_gate_says_why_and_who_could() {
    let bench = Bench::start().await;
    let deployment = bench.gated().await;
    let (ben, dora) = (bench.token("ben", &["dba"]).await, bench.token("dora", &["web"]).await);

    // Whatever token anna uses: she made the deployment.
    let second = bench.token("anna", &["dba"]).await;
    for mut anna in [bench.operator(), bench.holder(&second)] {
        let own = anna.approve_deployment(approve(&deployment)).await.unwrap_err();
        assert_eq!((own.code(), name_of(&own)), (Code::PermissionDenied, "own_deployment"));
        assert_eq!(
            own.message(),
            "anna created this deployment, and nobody approves or rejects their own; somebody of the group dba or carl could"
        );
    }
    let none = bench.holder(&dora).approve_deployment(approve(&deployment)).await.unwrap_err();
    assert_eq!((none.code(), name_of(&none)), (Code::PermissionDenied, "not_an_approver"));
    assert!(none.message().ends_with("somebody of the group dba or carl could"), "{none}");
    let early = bench.holder(&ben).approve_deployment(approve(&deployment)).await.unwrap_err();
    assert_eq!((early.code(), name_of(&early)), (Code::FailedPrecondition, "illegal_now"));
    assert!(early.message().starts_with("there is nothing to approve in staging yet"), "{early}");

    let silent = RejectDeploymentRequest { deployment: deployment.clone(), ..Default::default() };
    let silent = bench.holder(&ben).reject_deployment(silent).await.unwrap_err();
    assert_eq!((silent.code(), name_of(&silent)), (Code::InvalidArgument, "bad_field"));
    let elsewhere = ApproveDeploymentRequest { environment: "eu".into(), ..approve(&deployment) };
    let elsewhere = bench.holder(&ben).approve_deployment(elsewhere).await.unwrap_err();
    assert_eq!((elsewhere.code(), name_of(&elsewhere)), (Code::InvalidArgument, "no_stage"));
    let unseen = ApproveDeploymentRequest { digest: Vec::new(), ..approve(&deployment) };
    let unseen = bench.holder(&ben).approve_deployment(unseen).await.unwrap_err();
    assert!(unseen.message().starts_with("`digest`: is 0 bytes long"), "{unseen}");

    let tick = |item: &str| TickItemRequest {
        deployment: deployment.clone(),
        item: item.into(),
        ..TickItemRequest::default()
    };
    let unknown = bench.operator().tick_item(tick("Team notfied")).await.unwrap_err();
    assert_eq!((unknown.code(), name_of(&unknown)), (Code::InvalidArgument, "no_item"));
    assert!(unknown.message().ends_with("did you mean `Team notified`?"), "{unknown}");
    let ticked = bench.operator().tick_item(tick("team NOTIFIED")).await.unwrap().into_inner();
    assert_eq!((ticked.item.as_str(), ticked.environment.as_str()), ("Team notified", "staging"));
    assert!(ticked.left.is_empty());
    let twice = bench.operator().tick_item(tick("Team notified")).await.unwrap_err();
    assert_eq!((twice.code(), name_of(&twice)), (Code::FailedPrecondition, "ticked_already"));
}

#[tokio::test]
async fn what_its_creator_alone_could_approve_is_not_even_begun() {
    let bench = Bench::start().await;
    let toml = GATED.replace("[\"group:dba\", \"carl\"]", "[\"anna\"]");
    let request = ApplyPipelineRequest { toml, file: "p.toml".into() };
    bench.operator().apply_pipeline(request).await.unwrap();
    let request = DeployRequest {
        migrations: vec![bundle("001_x", &[("up.sql", "SELECT 1")])],
        request_id: Uuid::new_v4().to_string(),
        ..DeployRequest::default()
    };
    let refused = bench.operator().deploy(request).await.unwrap_err();
    assert_eq!((refused.code(), name_of(&refused)), (Code::FailedPrecondition, "nobody_could_approve"));
    assert!(refused.message().contains("let another person deploy it"), "{refused}");
}
