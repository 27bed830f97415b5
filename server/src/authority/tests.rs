use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::*;

fn now() -> Timestamp {
    "2026-11-22T20:00:00.25Z".parse().unwrap()
}

fn open(dir: &Path) -> Result<Authority, AuthorityError> {
    Authority::open(dir, &["localhost".into(), "127.0.0.1".into(), "::1".into()], now())
}

fn fresh() -> (TempDir, Authority) {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path()).unwrap();
    (dir, authority)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn request(params: &CertificateParams) -> Vec<u8> {
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn issue(authority: &Authority, csr: &[u8]) -> Result<AgentCertificate, IssueError> {
    authority.issue_agent(csr, &"staging".parse().unwrap(), &"agent-1".parse().unwrap(), now())
}

#[test]
fn the_first_start_makes_an_authority_and_the_next_ones_find_it() {
    let (dir, first) = fresh();

    assert_eq!(mode(&dir.path().join("ca.pem")), 0o644);
    assert_eq!(mode(&dir.path().join("ca-key.pem")), 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file stays");
    assert_eq!(open(dir.path()).unwrap().fingerprint(), first.fingerprint());
    let (_, certificate) = X509Certificate::from_der(first.certificate()).unwrap();
    let constraints = certificate.basic_constraints().unwrap().unwrap();
    assert!(constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
}

#[test]
fn a_crash_after_the_key_was_written_is_healed_by_the_next_start() {
    let (dir, _) = fresh();
    let key = fs::read(dir.path().join("ca-key.pem")).unwrap();
    fs::remove_file(dir.path().join("ca.pem")).unwrap();
    fs::write(dir.path().join("ca.pem.new"), "half of a cert").unwrap();

    let healed = open(dir.path()).unwrap();

    assert_eq!(fs::read(dir.path().join("ca-key.pem")).unwrap(), key);
    assert_eq!(open(dir.path()).unwrap().fingerprint(), healed.fingerprint());
}

#[test]
fn a_lost_key_is_not_silently_replaced() {
    let (dir, _) = fresh();
    fs::remove_file(dir.path().join("ca-key.pem")).unwrap();

    assert!(matches!(open(dir.path()), Err(AuthorityError::KeyMissing { .. })));
    assert!(!dir.path().join("ca-key.pem").exists());
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_way_out() {
    let (dir, _) = fresh();
    let key = dir.path().join("ca-key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();

    let error = open(dir.path()).err().unwrap().to_string();

    assert!(error.contains("mode 640") && error.contains(&format!("chmod 600 {}", key.display())), "{error}");
}

#[test]
fn a_foreign_or_damaged_key_is_named() {
    let (dir, _) = fresh();
    let (other, _) = fresh();
    fs::copy(other.path().join("ca-key.pem"), dir.path().join("ca-key.pem")).unwrap();
    assert!(matches!(open(dir.path()), Err(AuthorityError::Unusable { what: "key", .. })));

    fs::write(dir.path().join("ca-key.pem"), "").unwrap();
    assert!(matches!(open(dir.path()), Err(AuthorityError::Unusable { what: "key", .. })));
}

#[test]
fn an_authority_that_has_ended_is_refused() {
    let (dir, _) = fresh();
    let later = now() + AUTHORITY_LIFE;
    let error = Authority::open(dir.path(), &["localhost".into()], later).err().unwrap();
    assert!(matches!(error, AuthorityError::Expired { .. }), "{error}");
}

#[test]
fn names_that_no_certificate_can_carry_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for bad in ["", "https://example.com", "example.com:8443", "a b", "[::1]"] {
        assert!(
            matches!(Authority::open(dir.path(), &[bad.into()], now()), Err(AuthorityError::Name(_))),
            "{bad:?}"
        );
    }
    assert!(matches!(Authority::open(dir.path(), &[], now()), Err(AuthorityError::NoName)));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn an_agents_certificate_says_who_it_is_for_a_day() {
    let (_dir, authority) = fresh();

    let issued = issue(&authority, &request(&CertificateParams::default())).unwrap();

    let identity = AgentIdentity::from_certificate(&issued.der).unwrap();
    assert_eq!(identity.environment.as_str(), "staging");
    assert_eq!(identity.agent.as_str(), "agent-1");
    assert_eq!(identity.serial, issued.serial);
    assert_eq!(identity.serial.to_string().parse(), Ok(issued.serial));
    assert_eq!(identity.not_after, issued.not_after);
    assert_eq!(issued.not_after, "2026-11-23T20:00:00Z".parse().unwrap());
    let (_, certificate) = X509Certificate::from_der(&issued.der).unwrap();
    assert_eq!(certificate.validity().not_before.timestamp(), (now() - CLOCK_SKEW).as_second());
    let usage = certificate.extended_key_usage().unwrap().unwrap();
    assert!(usage.value.client_auth && !usage.value.server_auth);
}

#[test]
fn only_the_key_is_taken_from_a_request() {
    let (_dir, authority) = fresh();
    let mut wish = CertificateParams::default();
    wish.subject_alt_names =
        vec![SanType::URI("spiffe://stopover/environment/production/agent/x".try_into().unwrap())];
    wish.distinguished_name = common_name("admin");
    wish.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);

    let issued = issue(&authority, &request(&wish)).unwrap();

    assert_eq!(AgentIdentity::from_certificate(&issued.der).unwrap().environment.as_str(), "staging");
    let (_, certificate) = X509Certificate::from_der(&issued.der).unwrap();
    assert!(!certificate.is_ca());
    assert_eq!(certificate.subject().to_string(), "CN=agent-1");
    assert!(!certificate.extended_key_usage().unwrap().unwrap().value.server_auth);
}

#[test]
fn a_request_not_signed_by_its_own_key_is_refused() {
    let (_dir, authority) = fresh();
    let good = request(&CertificateParams::default());
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;

    for bad in [&forged[..], &good[..good.len() - 1], b"", b"-----BEGIN CERTIFICATE REQUEST-----"] {
        assert!(matches!(issue(&authority, bad), Err(IssueError::Request(_))));
    }
}

#[test]
fn only_a_certificate_with_exactly_one_agents_name_is_an_identity() {
    let (_dir, authority) = fresh();
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let agent = "spiffe://stopover/environment/staging/agent/a";
    let key = KeyPair::generate().unwrap();
    let identity = |names: Vec<SanType>| {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        AgentIdentity::from_certificate(authority.sign(&params, &key).unwrap().der())
    };

    assert!(identity(vec![uri(agent)]).is_ok());
    assert!(identity(vec![]).is_err());
    assert!(identity(vec![uri(agent), uri(agent)]).is_err());
    assert!(identity(vec![uri(agent), SanType::DnsName("a.example".try_into().unwrap())]).is_err());
    for bad in [
        "spiffe://stopover/environment/staging/agent/",
        "spiffe://stopover/environment//agent/a",
        "spiffe://stopover/environment/staging/agent/a/agent/b",
        "spiffe://stopover/environment/staging/agent/a/",
        "spiffe://stopover/environment/staging/x/agent/a",
        "spiffe://other/environment/staging/agent/a",
        "SPIFFE://stopover/environment/staging/agent/a",
        "spiffe://stopover/environment/staging/agent/a%2f",
    ] {
        assert!(identity(vec![uri(bad)]).is_err(), "{bad}");
    }
    assert!(AgentIdentity::from_certificate(b"").is_err());
}
