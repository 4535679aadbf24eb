//! A mail server: what of SMTP a client needs, STARTTLS and a login included (RFC 5321, 3207, 4954).

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::service::spawn;

/// A mail that was taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    /// What came behind `AUTH PLAIN`, if that came.
    pub(crate) login: String,
    pub(crate) is_encrypted: bool,
    pub(crate) text: String,
}

/// The server; it ends with the test.
#[derive(Clone, Debug)]
pub(crate) struct MailServer {
    pub(crate) port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl MailServer {
    /// One that takes nothing before STARTTLS.
    pub(crate) async fn start(tls: Arc<rustls::ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, mails: Arc::default() };
        let serving = server.clone();
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, acceptor) = (serving.clone(), TlsAcceptor::from(Arc::clone(&tls)));
                spawn(async move {
                    let _ = server.serve(stream, acceptor).await;
                });
            }
        });
        server
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    async fn serve(&self, stream: TcpStream, acceptor: TlsAcceptor) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 mail.test ESMTP\r\n").await?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let answer: &[u8] = match word(&line).as_str() {
                "EHLO" => b"250-mail.test\r\n250 STARTTLS\r\n",
                "STARTTLS" => {
                    stream.write_all(b"220 go\r\n").await?;
                    let stream = acceptor.accept(stream.into_inner()).await?;
                    return self.take(BufReader::new(stream)).await;
                }
                "QUIT" => return stream.write_all(b"221 bye\r\n").await,
                _ => b"530 STARTTLS first\r\n",
            };
            stream.write_all(answer).await?;
        }
    }

    async fn take<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: BufReader<S>,
    ) -> std::io::Result<()> {
        let mut mail = Mail { is_encrypted: true, ..Mail::default() };
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let rest = line.trim_end().to_owned();
            let answer: &[u8] = match word(&line).as_str() {
                "EHLO" => b"250-mail.test\r\n250 AUTH PLAIN\r\n",
                "AUTH" => {
                    mail.login = rest.split(' ').nth(2).unwrap_or_default().to_owned();
                    b"235 welcome\r\n"
                }
                "MAIL" => {
                    mail.from = rest;
                    b"250 ok\r\n"
                }
                "RCPT" => {
                    mail.to.push(rest);
                    b"250 ok\r\n"
                }
                "DATA" => {
                    stream.write_all(b"354 go\r\n").await?;
                    mail.text = body(&mut stream).await?;
                    self.mails.lock().unwrap().push(std::mem::take(&mut mail));
                    b"250 queued as 42\r\n"
                }
                "QUIT" => return stream.write_all(b"221 bye\r\n").await,
                _ => b"250 ok\r\n",
            };
            stream.write_all(answer).await?;
        }
    }
}

fn word(line: &str) -> String {
    line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase()
}

/// Everything up to the line with only a dot.
async fn body<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(text);
        }
        text.push_str(&line);
    }
}
