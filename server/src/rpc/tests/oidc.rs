//! People who come by the identity provider's word: whom they are taken for, what they may do, and until when.

use stopover_model::audit::{AuditActor, AuditOutcome, Through};
use stopover_model::role::Scope;
use stopover_proto::v1::{
    CreateTokenRequest, ForgetPersonRequest, ListAuditRequest, ListEnvironmentsRequest, ListPeopleRequest,
    ShowLoginRequest, WatchRequest, WhoAmIRequest,
};
use tonic::Code;

use super::gates::approve;
use super::*;
use crate::testing::issuer::{Issuer, Signer};

struct Trusting {
    bench: Bench,
    issuer: Issuer,
    key: Signer,
}

impl Trusting {
    /// An account with a name that it has there now.
    fn called(&self, subject: &str, name: &str, groups: &[&str]) -> Operator {
        let mut claims = self.issuer.person(name, groups, now().as_second() + 60);
        claims["sub"] = subject.into();
        self.bench.with_header(&format!("Bearer {}", self.key.token(&claims)))
    }

    /// The group dba approves everywhere, dev looks at staging.
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = Signer::curve("one");
        let issuer = Issuer::start(&[&key]).await;
        let oidc = Oidc::new(issuer.settings()).unwrap();
        let grant = |role, scope| stopover_model::role::Grant { role, scope };
        let roles = GroupRoles::new(vec![
            ("dba".parse().unwrap(), grant(Role::Approver, Scope::Everywhere)),
            ("dev".parse().unwrap(), grant(Role::Viewer, Scope::Environment("staging".parse().unwrap()))),
        ]);
        let bench = Bench::start_trusting(false, Some(Arc::new(oidc)), roles).await;
        Self { bench, issuer, key }
    }

    fn signed_in(&self, name: &str, groups: &[&str], seconds: i64) -> Operator {
        let claims = self.issuer.person(name, groups, now().as_second() + seconds);
        self.bench.with_header(&format!("Bearer {}", self.key.token(&claims)))
    }
}

#[tokio::test]
async fn anybody_is_told_how_to_log_in() {
    let trusting = Trusting::start().await;
    let mut stranger = ControlClient::new(trusting.bench.channel(None));
    let oidc = stranger.show_login(ShowLoginRequest {}).await.unwrap().into_inner().oidc.unwrap();
    assert_eq!((oidc.issuer.as_str(), oidc.client_id.as_str()), (trusting.issuer.origin(), "stopover"));
    stranger.list_environments(ListEnvironmentsRequest {}).await.unwrap_err();

    let bench = Bench::start().await;
    let mut stranger = ControlClient::new(bench.channel(None));
    assert!(stranger.show_login(ShowLoginRequest {}).await.unwrap().into_inner().oidc.is_none());
    let claims = trusting.key.token(&trusting.issuer.anna());
    let refused =
        bench.with_header(&format!("Bearer {claims}")).who_am_i(WhoAmIRequest {}).await.unwrap_err();
    assert_eq!((refused.code(), name_of(&refused)), (Code::Unauthenticated, "no_oidc"));
}

#[tokio::test]
async fn groups_of_the_provider_give_roles_and_what_is_done_is_in_their_name() {
    let trusting = Trusting::start().await;
    let bench = &trusting.bench;
    let me = trusting
        .signed_in("anna", &["dba", "dev"], 60)
        .who_am_i(WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(me.operator, "anna@example.com");
    assert_eq!(me.roles, ["approver@*", "viewer@staging"]);
    assert_eq!(me.oidc.unwrap().subject, "sub-anna");
    let sources: Vec<_> = me.sources.iter().map(|s| (s.role.as_str(), s.group.as_str())).collect();
    assert_eq!(sources, [("approver@*", "dba"), ("viewer@staging", "dev")]);
    assert!(me.expires_at.is_some());

    bench.environment("staging").await;
    let mut dev = trusting.signed_in("ben", &["dev"], 60);
    dev.list_environments(ListEnvironmentsRequest {}).await.unwrap();
    let refused = dev.create_environment(CreateEnvironmentRequest { name: "x".into() }).await.unwrap_err();
    assert_eq!((refused.code(), name_of(&refused)), (Code::PermissionDenied, "role_needed"));
    assert!(
        refused.message().contains("needs the role admin in some environment, and ben@example.com has viewer@staging; by \
                                    [[role]] in server.toml it comes with no group, and ben@example.com is in dev"),
        "{refused}"
    );
    let nobody = trusting.signed_in("eve", &["sales"], 60).who_am_i(WhoAmIRequest {}).await.unwrap_err();
    assert!(
        nobody.message().contains("it comes with the group dba or dev, and eve@example.com is in sales"),
        "{nobody}"
    );

    let log = bench.operator().list_audit(ListAuditRequest::default()).await.unwrap().into_inner();
    let records = log
        .links
        .iter()
        .map(|link| serde_json::from_str::<stopover_model::audit::AuditRecord>(&link.record).unwrap().entry);
    let records: Vec<_> = records.collect();
    let made = &records[0];
    assert_eq!(made.by, AuditActor::Operator("anna".parse().unwrap()));
    assert!(matches!(made.through, Some(Through::Token(_))), "{made:?}");
    let bens =
        records.iter().find(|entry| entry.by == AuditActor::Operator("ben@example.com".parse().unwrap()));
    let bens = bens.unwrap();
    assert!(matches!(&bens.outcome, AuditOutcome::Refused { code, .. } if code == "role_needed"));
    let (issuer, subject) = (trusting.issuer.origin().to_owned(), "sub-ben".to_owned());
    assert_eq!(bens.through, Some(Through::Oidc { issuer, subject }));
}

#[tokio::test]
async fn an_open_watch_ends_with_the_sign_in() {
    let trusting = Trusting::start().await;
    let deployment = trusting.bench.waiting().await;
    let mut anna = trusting.signed_in("anna", &["dba"], 3);
    let mut watch = anna.watch(WatchRequest { deployment, after_seq: 0 }).await.unwrap().into_inner();
    watch.message().await.unwrap();
    let ended = async {
        loop {
            if let Err(ended) = watch.message().await {
                return ended;
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(3 + 5), ended).await.expect("within 5 s of its end");
    assert_eq!((ended.code(), name_of(&ended)), (Code::Unauthenticated, "sign_in_ended"));
    assert!(ended.message().contains("the sign-in of anna@example.com ended at"), "{ended}");
}

#[tokio::test]
async fn a_provider_that_is_away_keeps_nobody_with_a_token_out() {
    let trusting = Trusting::start().await;
    trusting.issuer.is_away();
    let away = trusting.signed_in("anna", &["dba"], 60).who_am_i(WhoAmIRequest {}).await.unwrap_err();
    assert_eq!((away.code(), name_of(&away)), (Code::Unavailable, "issuer_away"));
    assert!(away.message().contains("operators' tokens go on working"), "{away}");
    let log = trusting.bench.operator().list_audit(ListAuditRequest::default()).await.unwrap().into_inner();
    assert!(log.links[0].record.contains("issuer_away"), "{log:?}");
    trusting.bench.environment("staging").await;
}

#[tokio::test]
async fn nobody_becomes_somebody_else_by_another_name() {
    let trusting = Trusting::start().await;
    let bench = &trusting.bench;
    let who = async |mut operator: Operator| {
        let me = operator.who_am_i(WhoAmIRequest {}).await?.into_inner();
        Ok::<_, Status>((me.operator, me.oidc.unwrap().called))
    };
    let both = |name: &str, called: &str| (format!("{name}@example.com"), format!("{called}@example.com"));
    assert_eq!(who(trusting.called("17", "ben", &["dba"])).await.unwrap(), both("ben", "ben"));
    assert_eq!(who(trusting.called("18", "carl", &["dba"])).await.unwrap(), both("carl", "carl"));
    // What ben is called from now on is known, and makes nobody else of him.
    assert_eq!(who(trusting.called("17", "zoe", &["dba"])).await.unwrap(), both("ben", "zoe"));
    assert_eq!(who(trusting.called("17", "carl", &["dba"])).await.unwrap(), both("ben", "carl"));
    let refused = who(trusting.called("19", "ben", &["dba"])).await.unwrap_err();
    assert_eq!((refused.code(), name_of(&refused)), (Code::PermissionDenied, "name_taken"));
    assert!(refused.message().contains("stopover person forget ben@example.com"), "{refused}");
    // Who may do nothing takes no name from anybody.
    let nobody = who(trusting.called("20", "dora", &["sales"])).await.unwrap_err();
    assert_eq!(name_of(&nobody), "role_needed");
    assert_eq!(who(trusting.called("21", "dora", &["dba"])).await.unwrap(), both("dora", "dora"));

    // His own deployment is not approved by him, whatever he is called.
    bench.environment("staging").await;
    let request = CreateTokenRequest {
        operator: "ben@example.com".into(),
        roles: vec!["operator@staging".into()],
        ..Default::default()
    };
    let token = bench.operator().create_token(request).await.unwrap().into_inner().token;
    let deployment = bench.gated_by(bench.with_header(&format!("Bearer {token}"))).await;
    let mut zoe = trusting.called("17", "zoe", &["dba"]);
    let own = zoe.approve_deployment(approve(&deployment)).await.unwrap_err();
    assert_eq!((own.code(), name_of(&own)), (Code::PermissionDenied, "own_deployment"), "{own}");

    // An administrator gives the name of an account away.
    let people = bench.operator().list_people(ListPeopleRequest {}).await.unwrap().into_inner().people;
    let people: Vec<_> = people.iter().map(|p| (p.name.as_str(), p.subject.as_str())).collect();
    assert_eq!(people, [("ben@example.com", "17"), ("carl@example.com", "18"), ("dora@example.com", "21")]);
    let forget = ForgetPersonRequest { name: "ben@example.com".into() };
    bench.operator().forget_person(forget.clone()).await.unwrap();
    let unknown = bench.operator().forget_person(forget).await.unwrap_err();
    assert_eq!((unknown.code(), name_of(&unknown)), (Code::NotFound, "no_such_person"));
    assert_eq!(who(trusting.called("19", "ben", &["dba"])).await.unwrap(), both("ben", "ben"));
    assert_eq!(who(trusting.called("17", "zoe", &["dba"])).await.unwrap(), both("zoe", "zoe"));
    let log = bench.operator().list_audit(ListAuditRequest::default()).await.unwrap().into_inner();
    assert!(log.links.iter().any(|link| link.record.contains("person ben@example.com")), "{log:?}");
}
