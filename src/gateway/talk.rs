//! An operator's session at a node: Redis's protocol over mutual TLS, on the port of peers. Policy refuses it no command.
//!
//! Always: one request at a time, bounded in time; a session that failed is not used again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::operator::{self, Error};
use crate::base::limits::OPERATOR_REPLY_LEN_MAX;
use crate::resp::{Value, parse_value, put_request};
use crate::tls::peer::{ALPN_RELAY, Credentials};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A session.
pub struct Talk {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

impl Talk {
    /// Connects to node `id`, whose peer listener is at `addr` (`host:port`), within `timeout`.
    ///
    /// # Errors
    /// When it cannot be reached in time or is not the one meant.
    pub async fn open(
        credentials: &Arc<Credentials>,
        addr: &str,
        id: u64,
        timeout: Duration,
    ) -> Result<Talk, Error> {
        let stream = operator::stream(credentials, addr, Some(id), ALPN_RELAY, timeout).await?;
        Ok(Talk {
            stream,
            read: Vec::new(),
        })
    }

    /// One command's reply, errors of the command included.
    ///
    /// # Errors
    /// When the session ends or takes too long: whether the command was carried out is not known then.
    pub async fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Value> {
        let answered = tokio::time::timeout(PATIENCE, self.exchange(words));
        answered.await.unwrap_or_else(|_| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {} s", PATIENCE.as_secs()),
            ))
        })
    }

    async fn exchange<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Value> {
        let mut out = Vec::new();
        put_request(&mut out, words);
        self.stream.write_all(&out).await?;
        loop {
            let parsed = parse_value(&self.read).map_err(io::Error::other)?;
            if let Some((value, taken)) = parsed {
                self.read.drain(..taken);
                return Ok(value);
            }
            if self.read.len() > OPERATOR_REPLY_LEN_MAX {
                return Err(io::Error::other("the answer is too long"));
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
