//! Messages by e-mail.

use std::path::PathBuf;

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::chat::{Line, lines, title};
use super::http::chain;
use super::{Answer, Setting};
use crate::config::{ChannelConfig, MailTls, first_line};
use crate::dispatch::Notice;

/// An address that mail can go to.
pub(crate) fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|error| format!("`{text}` is no address: {error}"))
}

/// Host and port of a mail server.
pub(crate) fn server_of(text: &str, tls: MailTls) -> Result<(String, u16), String> {
    let usual = match tls {
        MailTls::Starttls => 587,
        MailTls::Tls => 465,
        MailTls::None => 25,
    };
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address in brackets may have no port.
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().map_err(|_| format!("`{text}` has no port behind its `:`"))?;
            (host, port)
        }
        _ => (text, usual),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err("it must be set, as mail.example or mail.example:587".to_owned());
    }
    Ok((host.to_owned(), port))
}

/// Sends mail through one server.
pub(super) struct Mailer {
    config: ChannelConfig,
    host: String,
    port: u16,
    from: Mailbox,
    to: Vec<Mailbox>,
    /// Its trust, made once.
    tls: Option<TlsParameters>,
    password_file: Option<PathBuf>,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("host", &self.host).field("port", &self.port).finish()
    }
}

impl Mailer {
    pub(super) fn new(config: &ChannelConfig) -> Result<Self, String> {
        let server = config.server.as_deref().unwrap_or_default();
        let (host, port) = server_of(server, config.tls).map_err(|it| format!("server: {it}"))?;
        let from = mailbox(config.from.as_deref().unwrap_or_default())?;
        let to = config.to.iter().map(|to| mailbox(to)).collect::<Result<_, _>>()?;
        let tls = match config.tls {
            MailTls::None => None,
            MailTls::Starttls | MailTls::Tls => Some(trust(config, &host)?),
        };
        let password_file = config.password_file.clone();
        Ok(Self { config: config.clone(), host, port, from, to, tls, password_file })
    }

    pub(super) fn look(&self) -> Result<(), String> {
        self.credentials().map(drop)
    }

    fn credentials(&self) -> Result<Option<Credentials>, String> {
        let (Some(user), Some(path)) = (&self.config.user, &self.password_file) else {
            return Ok(None);
        };
        let password = first_line("password_file", path)?;
        Ok(Some(Credentials::new(user.clone(), password)))
    }

    /// A connection of its own for each message: they are few, and servers close those that idle.
    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let tls = match (&self.tls, self.config.tls) {
            (Some(tls), MailTls::Tls) => Tls::Wrapper(tls.clone()),
            (Some(tls), _) => Tls::Required(tls.clone()),
            (None, _) => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.host)
            .port(self.port)
            .tls(tls)
            .timeout(Some(self.config.timeout()));
        if let Some(credentials) = self.credentials()? {
            builder = builder.credentials(credentials);
        }
        Ok(builder.build())
    }

    fn message(&self, notice: &Notice, setting: &Setting) -> Result<Message, String> {
        let domain = self.from.email.domain();
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(title(notice))
            .message_id(Some(format!("<{}@{domain}>", notice.id)));
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        let body = MultiPart::alternative_plain_html(text(notice, setting), html(notice, setting));
        builder.multipart(body).map_err(|error| format!("the mail cannot be made: {error}"))
    }

    pub(super) async fn send(&self, notice: &Notice, setting: &Setting) -> Answer {
        let made = self.transport().and_then(|it| Ok((it, self.message(notice, setting)?)));
        let (transport, message) = match made {
            Ok(made) => made,
            Err(why) => return Answer::rejected(why),
        };
        // The timeout of the transport is one for each step.
        let sending = tokio::time::timeout(self.config.timeout(), transport.send(message));
        match sending.await {
            Ok(Ok(response)) => {
                let said: Vec<&str> = response.message().collect();
                let code = response.code();
                Answer::new(super::Outcome::Delivered, format!("{code} {}", said.join(" ")))
            }
            Ok(Err(error)) if error.is_permanent() => Answer::rejected(chain(&error)),
            Ok(Err(error)) => Answer::away(chain(&error)),
            Err(_) => Answer::away("the server does not answer in time"),
        }
    }
}

/// Trusts the system's authorities and those of `ca_file`.
fn trust(config: &ChannelConfig, host: &str) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = &config.ca_file {
        let wrong = |why: String| format!("ca_file: cannot use {}: {why}", path.display());
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        builder = builder.add_root_certificate(
            Certificate::from_pem(&pem).map_err(|error| wrong(chain(&error)))?,
        );
    }
    builder.build_rustls().map_err(|error| format!("server: {}", chain(&error)))
}

fn text(notice: &Notice, setting: &Setting) -> String {
    let (lines, more) = lines(notice, setting);
    let line = |line: &Line| {
        let link = if line.link.is_empty() { String::new() } else { format!("\n  {}", line.link) };
        format!("{} {}\n  {}{link}\n", line.word, line.text, line.detail)
    };
    let mut text: String = lines.iter().map(line).collect::<Vec<_>>().join("\n");
    if let Some(more) = more {
        text += &format!("\n{more}\n");
    }
    text
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}

fn html(notice: &Notice, setting: &Setting) -> String {
    let (lines, more) = lines(notice, setting);
    let mut html = format!(
        "<!doctype html><html><body style=\"font-family:sans-serif\"><h3>{}</h3>",
        escaped(&title(notice))
    );
    for line in &lines {
        let color = match line.word {
            "CRITICAL" => "#c4271b",
            "WARNING" => "#8a5300",
            "INFO" => "#2563a8",
            _ => "#2e7d4f",
        };
        let word = if line.link.is_empty() {
            line.word.to_owned()
        } else {
            format!("<a href=\"{}\" style=\"color:{color}\">{}</a>", escaped(&line.link), line.word)
        };
        html += &format!(
            "<p><b style=\"color:{color}\">{word}</b> {}<br><small>{}</small></p>",
            escaped(&line.text),
            escaped(&line.detail)
        );
    }
    if let Some(more) = more {
        html += &format!("<p>{}</p>", escaped(&more));
    }
    html + "</body></html>"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::testing::{notice, setting};
    use crate::config::ChannelType;

    #[test]
    fn servers_have_the_usual_ports() {
        let of =
            |text: &str, tls| server_of(text, tls).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(of("mail.example", MailTls::Starttls).as_deref(), Ok("mail.example 587"));
        assert_eq!(of("mail.example", MailTls::Tls).as_deref(), Ok("mail.example 465"));
        assert_eq!(of("mail.example:2525", MailTls::None).as_deref(), Ok("mail.example 2525"));
        assert_eq!(of("[::1]", MailTls::None).as_deref(), Ok("::1 25"));
        assert_eq!(of("[::1]:26", MailTls::None).as_deref(), Ok("::1 26"));
        assert!(of("", MailTls::Tls).is_err() && of("mail:x", MailTls::Tls).is_err());
    }

    #[test]
    fn a_mail_says_what_fires_and_nothing_in_it_is_markup() {
        let config = ChannelConfig {
            kind: Some(ChannelType::Email),
            server: Some("mail.example".to_owned()),
            tls: MailTls::None,
            from: Some("Bellwire <alerts@plant.example>".to_owned()),
            to: vec!["ada@plant.example".to_owned(), "Bo <bo@plant.example>".to_owned()],
            ..ChannelConfig::default()
        };
        let mailer = Mailer::new(&config).unwrap();
        let mail = mailer.message(&notice(), &setting()).unwrap().formatted();
        let mail = String::from_utf8_lossy(&mail).into_owned();
        assert!(mail.contains("Subject: [FIRING:1] hot (site=berlin)"), "{mail}");
        assert!(mail.contains("To: ada@plant.example, Bo <bo@plant.example>"), "{mail}");
        assert!(mail.contains("@plant.example>"), "{mail}");
        let html = html(&notice(), &setting());
        assert!(html.contains("95.5 °C &lt;&amp;&gt;&quot;*_"), "{html}");
    }
}
