//! Reads a connection string as libpq does, with the TLS parameters that the client library does not know.

use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::Config;

use super::invalid::InvalidDatabase;
use super::tls::{RootCertificate, SslMode};

/// A connection string taken apart.
#[derive(Clone)]
pub(super) struct Dsn {
    /// Without TLS parameters.
    pub(super) config: Config,
    pub(super) ssl_mode: Option<SslMode>,
    pub(super) root_certificate: Option<RootCertificate>,
}

impl Dsn {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidDatabase> {
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let (rest, own) = if is_url { take_from_url(text)? } else { take_from_pairs(text)? };
        let mut dsn = Self {
            config: rest.parse().map_err(|source| InvalidDatabase::Url { source })?,
            ssl_mode: None,
            root_certificate: None,
        };
        for (key, value) in own {
            match key.as_str() {
                "sslmode" => dsn.ssl_mode = Some(SslMode::from_str(&value)?),
                _ => dsn.root_certificate = Some(RootCertificate::from(value)),
            }
        }
        Ok(dsn)
    }
}

impl From<String> for RootCertificate {
    fn from(value: String) -> Self {
        if value == "system" { Self::System } else { Self::File(PathBuf::from(value)) }
    }
}

type Pairs = Vec<(String, String)>;

fn is_own(key: &str) -> bool {
    matches!(key, "sslmode" | "sslrootcert")
}

fn take_from_url(url: &str) -> Result<(String, Pairs), InvalidDatabase> {
    // A password may hold a `?`; what comes behind the `@` may not.
    let behind_password = url.find('@').unwrap_or(0);
    let Some(mark) = url[behind_password..].find('?').map(|at| behind_password + at) else {
        return Ok((url.to_owned(), Pairs::new()));
    };
    let (mut own, mut others) = (Pairs::new(), Vec::new());
    for parameter in url[mark + 1..].split('&').filter(|p| !p.is_empty()) {
        match parameter.split_once('=') {
            Some((key, value)) if is_own(key) => own.push((key.to_owned(), decoded(value)?)),
            _ => others.push(parameter),
        }
    }
    let mut rest = url[..mark].to_owned();
    if !others.is_empty() {
        rest = rest + "?" + &others.join("&");
    }
    Ok((rest, own))
}

fn decoded(value: &str) -> Result<String, InvalidDatabase> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(InvalidDatabase::Encoding);
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(bytes).map_err(|_| InvalidDatabase::Encoding)
}

/// `key = 'it''s'` is written with backslashes here: `\'` and `\\`.
fn take_from_pairs(text: &str) -> Result<(String, Pairs), InvalidDatabase> {
    let (mut own, mut rest) = (Pairs::new(), String::new());
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok((rest, own));
        }
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            key.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') {
            return Err(InvalidDatabase::Pairs);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let value = value_of_pair(&mut chars)?;
        if is_own(&key) {
            own.push((key, value));
        } else {
            let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
            rest.extend([key.as_str(), "='", &quoted, "' "]);
        }
    }
}

fn value_of_pair(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, InvalidDatabase> {
    let quoted = chars.next_if_eq(&'\'').is_some();
    let mut value = String::new();
    loop {
        match chars.peek() {
            None if quoted => return Err(InvalidDatabase::Pairs),
            None => return Ok(value),
            Some(c) if !quoted && c.is_whitespace() => return Ok(value),
            Some(_) => {}
        }
        match chars.next() {
            Some('\'') if quoted => return Ok(value),
            Some('\\') => value.extend(chars.next()),
            Some(c) => value.push(c),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Dsn {
        Dsn::parse(text).unwrap()
    }

    #[test]
    fn a_url_gives_up_its_tls_parameters() {
        let dsn = parse(
            "postgresql://me:a?b@db.example:6432/users?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fetc%2Fca.pem",
        );
        assert_eq!(dsn.ssl_mode, Some(SslMode::VerifyFull));
        assert!(
            matches!(dsn.root_certificate, Some(RootCertificate::File(path)) if path.ends_with("etc/ca.pem"))
        );
        assert_eq!(dsn.config.get_password(), Some(&b"a?b"[..]));
        assert_eq!((dsn.config.get_dbname(), dsn.config.get_ports()), (Some("users"), &[6432][..]));
        assert!(dsn.config.get_connect_timeout().is_some());
    }

    #[test]
    fn pairs_keep_their_quoting() {
        let dsn = parse(r"host=/run/postgresql sslmode = 'allow' password='a \'b\\' dbname=users");
        assert_eq!(dsn.ssl_mode, Some(SslMode::Allow));
        assert_eq!(dsn.config.get_password(), Some(&br"a 'b\"[..]));
        assert_eq!(dsn.config.get_dbname(), Some("users"));
    }

    #[test]
    fn an_error_never_repeats_the_text() {
        for bad in [
            "host",
            "host='x",
            "postgresql://u:secret@h/d?sslmode=verify",
            "host=h bogus=secret",
            "host=h sslmode=secure",
        ] {
            let error = Dsn::parse(bad).err().unwrap();
            let text = format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string));
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
