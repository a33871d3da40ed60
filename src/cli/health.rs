//! `pontoon health`: whether a listener for clients answers. What a container's health check calls.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answer, Output, print};
use crate::tls;

/// Asks a listener for clients, over TLS, whether it answers.
///
/// Without a password, that one is asked for is an answer too: the listener lives. With one, PING must be answered:
/// through a gateway or a standby that is the primary's answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon health --addr localhost:6379 --ca ca.pem
  pontoon health --addr localhost:6379 --ca ca.pem --password-file password      a primary serves")]
pub struct Args {
    /// The listener; the host is verified against its certificate
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "localhost:6379",
        env = "PONTOON_HEALTH_ADDR"
    )]
    addr: String,
    /// The CA that its certificate is verified with, PEM
    #[arg(long, value_name = "FILE", env = "PONTOON_HEALTH_CA")]
    ca: PathBuf,
    /// A file whose first line is the password of the user `default`
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// How long it may take, ms
    #[arg(long, value_name = "MS", default_value_t = 2500)]
    timeout_ms: u64,
}

/// Carries it out.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    let timeout = Duration::from_millis(args.timeout_ms);
    let line = super::runtime(1)?
        .block_on(async { tokio::time::timeout(timeout, ask(args)).await })
        .map_err(|_| anyhow!("no answer within {} ms", args.timeout_ms))
        .and_then(|answer| answer)
        .with_context(|| format!("{} is not healthy", args.addr))?;
    print(
        Output::Text,
        || format!("{} answers {line}", args.addr),
        || serde_json::Value::Null,
    );
    Ok(Answer::Yes)
}

/// The first line of the answer to PING.
async fn ask(args: &Args) -> anyhow::Result<String> {
    let host = args
        .addr
        .rsplit_once(':')
        .map_or(args.addr.as_str(), |(host, _)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_string())?;
    let mut roots = rustls::RootCertStore::empty();
    for root in tls::files::certificates(&args.ca)? {
        roots.add(root)?;
    }
    let config = rustls::ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(&args.addr).await?;
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await?;
    if let Some(path) = &args.password_file {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let password = text.lines().next().unwrap_or("");
        let auth = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n", password.len());
        let line = exchange(&mut stream, auth.as_bytes()).await?;
        ensure!(line.starts_with('+'), "AUTH was answered {line}");
    }
    let line = exchange(&mut stream, b"*1\r\n$4\r\nPING\r\n").await?;
    let fits = line.starts_with('+') || args.password_file.is_none() && line.starts_with('-');
    ensure!(fits, "PING was answered {line:?}");
    Ok(line)
}

/// Sends a request and reads one line.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &[u8],
) -> anyhow::Result<String> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") {
        ensure!(answer.len() < 512, "the answer is no line of RESP");
        answer.push(
            stream
                .read_u8()
                .await
                .context("the connection ended without an answer")?,
        );
    }
    Ok(String::from_utf8_lossy(&answer).trim().to_string())
}
