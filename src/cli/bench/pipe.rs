//! A TLS connection driven by hand: no task, no copy and no lock beyond what TLS itself needs.
//!
//! It is what the generator and the server that it is measured against have in common.

use std::io::{self, Read, Write};
use std::ops::DerefMut;

use rustls::ConnectionCommon;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::replies::{Counter, NotResp};

/// Bytes taken from the socket, and from TLS, at once.
const CHUNK: usize = 32 * 1024;

/// One established connection.
pub struct Pipe<T> {
    tcp: TcpStream,
    tls: T,
    cipher: Box<[u8]>,
    plain: Box<[u8]>,
}

/// Writes to a socket as far as it takes it now.
struct Now<'a>(&'a TcpStream);

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T, D> Pipe<T>
where
    T: DerefMut<Target = ConnectionCommon<D>>,
{
    /// Takes over a connection whose handshake is done.
    pub fn new(tcp: TcpStream, mut tls: T) -> Self {
        // What is sent is one batch, whose size its maker bounds.
        tls.set_buffer_limit(None);
        Pipe {
            tcp,
            tls,
            cipher: vec![0; CHUNK].into(),
            plain: vec![0; CHUNK].into(),
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.writer().write_all(bytes)?;
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Now(&self.tcp)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.tcp.writable().await?,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Waits for bytes and answers how many replies they completed: perhaps none.
    ///
    /// # Errors
    /// When the connection ended, or what came is no RESP.
    pub async fn receive(&mut self, counter: &mut Counter) -> io::Result<u64> {
        // What came together with the end of the handshake lies in the TLS session already.
        let whole = self.decrypted(counter)?;
        if whole > 0 {
            return Ok(whole);
        }
        let n = self.tcp.read(&mut self.cipher).await?;
        if n == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ));
        }
        let (mut from, mut whole) = (0, 0);
        while from < n {
            let mut came = &self.cipher[from..n];
            from += self.tls.read_tls(&mut came)?;
            self.tls.process_new_packets().map_err(io::Error::other)?;
            whole += self.decrypted(counter)?;
        }
        Ok(whole)
    }

    /// Counts what the TLS session holds decrypted.
    fn decrypted(&mut self, counter: &mut Counter) -> io::Result<u64> {
        let mut whole = 0;
        loop {
            match self.tls.reader().read(&mut self.plain) {
                Ok(0) => return Ok(whole),
                Ok(n) => {
                    let wrong = |e: NotResp| io::Error::new(io::ErrorKind::InvalidData, e);
                    whole += counter.feed(&self.plain[..n]).map_err(wrong)?;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(whole),
                Err(e) => return Err(e),
            }
        }
    }
}
