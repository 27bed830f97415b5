//! Mail, in plain text, by the server of `[smtp]`. All mails about a deployment are one thread.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::ExposeSecret as _;
use stopover_model::notice::Notice;

use super::{SendError, Sender};
use crate::config::{Smtp, SmtpTls};

/// For each answer of the mail server's.
const ANSWER: Duration = Duration::from_secs(20);
/// For the whole mail.
const TIMEOUT: Duration = Duration::from_mins(1);

impl Sender {
    pub(super) async fn by_email(
        &self,
        to: &[String],
        notice: &Notice,
        id: &str,
        now: Timestamp,
    ) -> Result<(), SendError> {
        let smtp = self.smtp.as_deref().ok_or(SendError::NoSmtp)?;
        let mail = mail(smtp, to, notice, id, now)?;
        let transport = self.transport(smtp)?;
        match tokio::time::timeout(TIMEOUT, transport.send(mail)).await {
            Ok(sent) => sent.map(drop).map_err(SendError::Smtp),
            Err(_) => Err(SendError::Slow(TIMEOUT)),
        }
    }

    /// A new connection for each mail: they are few, and the password is the one of now.
    fn transport(&self, smtp: &Smtp) -> Result<AsyncSmtpTransport<Tokio1Executor>, SendError> {
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
            .port(smtp.port)
            .timeout(Some(ANSWER));
        builder = builder.tls(match smtp.tls {
            SmtpTls::None => Tls::None,
            SmtpTls::StartTls => Tls::Required(tls(smtp)?),
            SmtpTls::Tls => Tls::Wrapper(tls(smtp)?),
        });
        if let Some((username, password)) = &smtp.login {
            let password = self.secrets.read(password)?;
            builder =
                builder.credentials(Credentials::new(username.clone(), password.expose_secret().to_owned()));
        }
        Ok(builder.build())
    }
}

fn tls(smtp: &Smtp) -> Result<TlsParameters, SendError> {
    let mut parameters = TlsParameters::builder(smtp.host.clone());
    if let Some(path) = &smtp.ca {
        let failed = |source| SendError::Authority { path: path.display().to_string(), source };
        let pem = std::fs::read(path).map_err(|error| failed(error.into()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| failed(error.into()))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    parameters.build().map_err(SendError::Smtp)
}

fn mail(smtp: &Smtp, to: &[String], notice: &Notice, id: &str, now: Timestamp) -> Result<Message, SendError> {
    let written = |error: Box<dyn std::error::Error + Send + Sync>| SendError::Mail(error);
    let mailbox = |address: &str| {
        let address =
            address.parse().map_err(|error: lettre::address::AddressError| written(error.into()))?;
        Ok::<_, SendError>(Mailbox::new(None, address))
    };
    let domain = smtp.from.rsplit('@').next().unwrap_or("localhost");
    let mut builder = Message::builder()
        .from(mailbox(&smtp.from)?)
        .subject(notice.subject())
        .date(SystemTime::from(now))
        .message_id(Some(format!("<{id}@{domain}>")));
    if let Some(about) = &notice.about {
        builder = builder.references(format!("<{}@{domain}>", about.deployment));
    }
    for address in to {
        builder = builder.to(mailbox(address)?);
    }
    builder.header(ContentType::TEXT_PLAIN).body(notice.text()).map_err(|error| written(error.into()))
}
