//! Against real TLS servers on loopback, honest ones and others.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::pki_types::CertificateDer;
use stopover_proto::token::AuthorityFingerprint;
use stopover_proto::v1::RenewRequest;
use stopover_proto::v1::enrolment_client::EnrolmentClient;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Code, Status};

use super::*;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn fingerprint(&self) -> AuthorityFingerprint {
        AuthorityFingerprint::of(self.0.der())
    }

    fn certify(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn certify_agent(&self) -> ClientIdentity {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (certificate, key) = self.certify(&params);
        ClientIdentity::from_pem(&certificate, &key).unwrap()
    }
}

fn for_names(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}

/// A server with a certificate of `signer` that shows `shown` behind it and lets agents of `signer` in.
async fn serve(signer: &Authority, params: &CertificateParams, shown: Option<&Authority>) -> ServerUrl {
    let (mut chain, key) = signer.certify(params);
    chain.extend(shown.map(|authority| authority.0.pem()));
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(chain, key))
        .client_ca_root(Certificate::from_pem(signer.0.pem()))
        .client_auth_optional(true);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Server::builder().tls_config(tls).unwrap().add_routes(Routes::default());
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    format!("https://127.0.0.1:{port}").parse().unwrap()
}

fn problem<T>(result: Result<T, ConnectError>) -> TlsProblem {
    match result {
        Err(ConnectError::Tls { problem, .. }) => problem,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was trusted"),
    }
}

/// Any call will do: the server serves nothing, and says so to those that it lets in.
async fn call(channel: Channel) -> Status {
    EnrolmentClient::new(channel).renew(RenewRequest::default()).await.unwrap_err()
}

#[tokio::test]
async fn the_authority_is_fetched_by_its_fingerprint_and_then_trusted() {
    let authority = Authority::new("a");
    let server = serve(&authority, &for_names(&["127.0.0.1"]), Some(&authority)).await;

    let fetched = fetch_authority(&server, authority.fingerprint()).await.unwrap();

    assert_eq!(&fetched, authority.0.der());
    let channel = connect(&server, &certificate_pem(&fetched), None).await.unwrap();
    assert_eq!(call(channel).await.code(), Code::Unimplemented);
    let agent = authority.certify_agent();
    let channel = connect(&server, &certificate_pem(&fetched), Some(&agent)).await.unwrap();
    assert_eq!(call(channel).await.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted() {
    let (authority, other) = (Authority::new("a"), Authority::new("b"));
    let server = serve(&other, &for_names(&["127.0.0.1"]), Some(&other)).await;

    assert_eq!(problem(fetch_authority(&server, authority.fingerprint()).await), TlsProblem::NotPinned);
    assert_eq!(problem(connect(&server, &authority.0.pem(), None).await), TlsProblem::UnknownAuthority);
}

#[tokio::test]
async fn a_server_that_only_shows_a_copy_of_the_authority_is_not_trusted() {
    let (authority, attacker, namesake) = (Authority::new("a"), Authority::new("b"), Authority::new("a"));
    for signer in [&attacker, &namesake] {
        let server = serve(signer, &for_names(&["127.0.0.1"]), Some(&authority)).await;
        assert_eq!(
            problem(fetch_authority(&server, authority.fingerprint()).await),
            TlsProblem::UnknownAuthority
        );
    }
}

#[tokio::test]
async fn a_server_that_does_not_show_its_authority_is_not_trusted() {
    let authority = Authority::new("a");
    let server = serve(&authority, &for_names(&["127.0.0.1"]), None).await;
    assert_eq!(problem(fetch_authority(&server, authority.fingerprint()).await), TlsProblem::NotPinned);
}

#[tokio::test]
async fn a_wrong_host_name_is_shown_with_the_right_ones() {
    let authority = Authority::new("a");
    let server = serve(&authority, &for_names(&["db.example", "10.0.0.1"]), Some(&authority)).await;

    let fetched = problem(fetch_authority(&server, authority.fingerprint()).await);
    let connected = problem(connect(&server, &authority.0.pem(), None).await);

    assert_eq!(fetched, connected);
    assert!(
        fetched.to_string().contains("db.example") && fetched.to_string().contains("`127.0.0.1`"),
        "{fetched}"
    );
}

#[tokio::test]
async fn a_server_certificate_that_has_ended_is_not_trusted() {
    let authority = Authority::new("a");
    let mut ended = for_names(&["127.0.0.1"]);
    ended.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let server = serve(&authority, &ended, Some(&authority)).await;

    assert_eq!(problem(fetch_authority(&server, authority.fingerprint()).await), TlsProblem::ServerExpired);
    assert_eq!(problem(connect(&server, &authority.0.pem(), None).await), TlsProblem::ServerExpired);
}

#[tokio::test]
async fn a_refused_agent_learns_why() {
    let (authority, other) = (Authority::new("a"), Authority::new("b"));
    let server = serve(&authority, &for_names(&["127.0.0.1"]), Some(&authority)).await;
    let mut params = CertificateParams::default();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let (certificate, key) = authority.certify(&params);

    for (identity, why) in [
        (other.certify_agent(), TlsProblem::AgentRefused),
        (ClientIdentity::from_pem(&certificate, &key).unwrap(), TlsProblem::AgentExpired),
    ] {
        assert_eq!(problem(connect(&server, &authority.0.pem(), Some(&identity)).await), why);
    }
}

#[tokio::test]
async fn what_is_no_server_is_told_from_what_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server: ServerUrl = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    let fingerprint = Authority::new("a").fingerprint();
    let greeter = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 and more of the sort\r\n").await.unwrap();
        stream
    });

    assert_eq!(problem(fetch_authority(&server, fingerprint).await), TlsProblem::NotTls);
    drop(greeter.await.unwrap());

    let gone = fetch_authority(&server, fingerprint).await;
    assert!(matches!(gone, Err(ConnectError::Unreachable { .. })), "{gone:?}");
    let gone = connect(&server, &Authority::new("a").0.pem(), None).await;
    assert!(matches!(gone, Err(ConnectError::Unreachable { .. })), "{gone:?}");
}

#[test]
fn credentials_that_do_not_fit_are_named() {
    let authority = Authority::new("a");
    let (certificate, _) = authority.certify(&CertificateParams::default());
    let (_, key) = authority.certify(&CertificateParams::default());

    let mixed = ClientIdentity::from_pem(&certificate, &key).unwrap();
    let unusable = identity::client_config(&authority.0.pem(), Some(&mixed)).unwrap_err();
    assert!(unusable.to_string().contains("certificate with its key"), "{unusable}");
    assert!(ClientIdentity::from_pem(&certificate, "").is_err());
    assert!(identity::client_config("", None).unwrap_err().to_string().contains("authority"));
}

#[test]
fn an_address_is_https_host_and_port_and_nothing_else() {
    for good in
        ["https://db.example:8443", "https://db.example", "https://[::1]:8443/", " https://10.0.0.1:1\n"]
    {
        assert!(good.parse::<ServerUrl>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "db.example:8443",
        "http://a:1",
        "https://",
        "https://a:1/x",
        "https://a?x",
        "https://u:p@a",
        "a",
    ] {
        assert!(matches!(bad.parse::<ServerUrl>(), Err(ConnectError::Url(_))), "{bad}");
    }
    let url: ServerUrl = "https://[::1]:8443/".parse().unwrap();
    assert_eq!((url.host(), url.port(), url.to_string().as_str()), ("::1", 8443, "https://[::1]:8443"));
}

#[test]
fn a_certificate_written_as_text_reads_back() {
    use rustls::pki_types::pem::PemObject as _;
    let authority = Authority::new("a");
    let pem = certificate_pem(authority.0.der());
    assert!(pem.lines().all(|line| line.len() <= 64));
    assert_eq!(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap(), authority.0.der());
}
