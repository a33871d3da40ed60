//! The PROXY protocol, version 2, as a gateway speaks it to nodes: who the client is, before the client's own bytes.
//! <https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt>, section 2.2.
//!
//! Always: a header is believed only with a proof (HMAC-SHA256 under a key that gateways and nodes share, over the header and
//! the time), in a TLV of the type that the protocol leaves to applications. One without it, or with another, ends the connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use ring::hmac;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// How a header begins. No TLS client begins so.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, a proxied connection.
const PROXIED: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// The type of the proof, in the range for applications.
const PROOF: u8 = 0xE1;
/// The time, Unix milliseconds, and the HMAC.
const PROOF_LEN: usize = 8 + 32;
/// How far a header's time may be from this host's.
const SKEW: Duration = Duration::from_secs(60);
/// A header beyond that is none of ours.
const LEN_MAX: usize = 256;

/// What gateways and nodes share.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// From its bytes.
    pub fn of(bytes: &[u8; 32]) -> Key {
        Key(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Reads a file of 64 hexadecimal digits.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn read(path: &Path) -> anyhow::Result<Key> {
        let at = || path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(at)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes)
            .context("64 hexadecimal digits are expected (openssl rand -hex 32)")
            .with_context(at)?;
        Ok(Key::of(&bytes))
    }

    /// A key as a file has it.
    pub fn make() -> String {
        hex::encode(rand::random::<[u8; 32]>())
    }

    /// The header for a client at `from` that is connected to `to`.
    pub fn header(&self, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
        self.header_at(from, to, now_ms())
    }

    fn header_at(&self, from: SocketAddr, to: SocketAddr, now_ms: u64) -> Vec<u8> {
        let (from_ip, to_ip) = match (from.ip().to_canonical(), to.ip().to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (IpAddr::V4(a), IpAddr::V4(b)),
            // Of two families both are written as the longer.
            (a, b) => (IpAddr::V6(wide(a)), IpAddr::V6(wide(b))),
        };
        let mut body = Vec::with_capacity(128);
        for ip in [from_ip, to_ip] {
            match ip {
                IpAddr::V4(ip) => body.extend(ip.octets()),
                IpAddr::V6(ip) => body.extend(ip.octets()),
            }
        }
        body.extend(from.port().to_be_bytes());
        body.extend(to.port().to_be_bytes());
        body.push(PROOF);
        body.extend((PROOF_LEN as u16).to_be_bytes());
        body.extend(now_ms.to_be_bytes());
        let mut header = SIGNATURE.to_vec();
        header.extend([PROXIED, if from_ip.is_ipv4() { TCP4 } else { TCP6 }]);
        header.extend(((body.len() + 32) as u16).to_be_bytes());
        header.extend(body);
        let proof = hmac::sign(&self.0, &header);
        header.extend(proof.as_ref());
        header
    }

    /// Who the client is by a whole header.
    fn client(&self, header: &[u8], now_ms: u64) -> Result<SocketAddr, &'static str> {
        let (signed, proof) = header
            .split_at_checked(header.len() - 32)
            .ok_or("it is too short")?;
        // The proof before anything of it is looked at.
        hmac::verify(&self.0, signed, proof).map_err(|_| "it has no valid proof")?;
        let (head, body) = signed.split_at_checked(16).ok_or("it is too short")?;
        let width = match head[13] {
            TCP4 => 4,
            TCP6 => 16,
            _ => return Err("it is of no address family that is known"),
        };
        if head[12] != PROXIED || body.len() != 2 * width + 4 + 3 + 8 {
            return Err("it is not as a gateway writes it");
        }
        let ip: IpAddr = match width {
            4 => <[u8; 4]>::try_from(&body[..4]).map(IpAddr::from),
            _ => <[u8; 16]>::try_from(&body[..16]).map(IpAddr::from),
        }
        .map_err(|_| "it is too short")?;
        let port = u16::from_be_bytes([body[2 * width], body[2 * width + 1]]);
        let time = <[u8; 8]>::try_from(&body[body.len() - 8..]).map_err(|_| "it is too short")?;
        if u64::from_be_bytes(time).abs_diff(now_ms) > SKEW.as_millis() as u64 {
            return Err(
                "its time is more than a minute from this host's: the clocks differ, or it is an old one",
            );
        }
        Ok(SocketAddr::new(ip.to_canonical(), port))
    }

    /// Takes the header from a connection that begins with one; `None` where it does not. The connection's own bytes stay.
    ///
    /// # Errors
    /// When a header is not one of a gateway with this key, or the connection ends.
    pub async fn take(&self, tcp: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
        let wrong = |why: &str| {
            let text = format!("a PROXY header is refused: {why}");
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let mut head = [0; 16];
        loop {
            let seen = tcp.peek(&mut head).await?;
            let same = seen.min(SIGNATURE.len());
            if seen == 0 || head[..same] != SIGNATURE[..same] {
                return Ok(None);
            }
            if seen >= SIGNATURE.len() {
                break;
            }
            // A few bytes of it, and no event when more come: a gateway writes it at once.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tcp.read_exact(&mut head).await?;
        let len = usize::from(u16::from_be_bytes([head[14], head[15]]));
        if !(32..=LEN_MAX).contains(&len) {
            return Err(wrong("its length is none of a gateway's"));
        }
        let mut header = head.to_vec();
        header.resize(16 + len, 0);
        tcp.read_exact(&mut header[16..]).await?;
        self.client(&header, now_ms()).map(Some).map_err(wrong)
    }
}

fn wide(ip: IpAddr) -> std::net::Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_header_says_who_the_client_is() {
        let key = Key::of(&[7; 32]);
        let to = addr("10.0.0.9:6379");
        for (from, told) in [
            ("192.0.2.1:4711", "192.0.2.1:4711"),
            ("[2001:db8::1]:9", "[2001:db8::1]:9"),
            ("[::ffff:192.0.2.1]:9", "192.0.2.1:9"),
        ] {
            let header = key.header_at(addr(from), to, 1_000_000);
            assert_eq!(key.client(&header, 1_000_500), Ok(addr(told)), "{from}");
        }
    }

    #[test]
    fn what_is_forged_changed_or_old_is_refused() {
        let key = Key::of(&[7; 32]);
        let (from, to) = (addr("192.0.2.1:4711"), addr("10.0.0.9:6379"));
        let header = key.header_at(from, to, 1_000_000);
        let other = Key::of(&[8; 32]).header_at(from, to, 1_000_000);
        assert!(key.client(&other, 1_000_000).unwrap_err().contains("proof"));
        for at in 0..header.len() {
            let mut changed = header.clone();
            changed[at] ^= 1;
            assert!(key.client(&changed, 1_000_000).is_err(), "byte {at}");
        }
        for now in [1_000_000 + 60_001, 1_000_000 - 60_001] {
            assert!(key.client(&header, now).unwrap_err().contains("clocks"));
        }
        assert!(key.client(&header[..40], 1_000_000).is_err());
    }

    #[tokio::test]
    async fn the_connection_goes_on_after_its_header_and_without_one() {
        let key = Key::of(&[7; 32]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let from = addr("192.0.2.1:4711");
        for (header, told) in [(key.header(from, at), Some(from)), (Vec::new(), None)] {
            let mut client = TcpStream::connect(at).await.unwrap();
            client.write_all(&header).await.unwrap();
            client.write_all(b"\x16\x03\x01hello").await.unwrap();
            let (mut tcp, _) = listener.accept().await.unwrap();
            assert_eq!(key.take(&mut tcp).await.unwrap(), told);
            let mut rest = [0; 8];
            tcp.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"\x16\x03\x01hello");
        }
        let mut client = TcpStream::connect(at).await.unwrap();
        let mut forged = key.header(from, at);
        forged.truncate(28);
        forged[14..16].copy_from_slice(&12u16.to_be_bytes());
        client.write_all(&forged).await.unwrap();
        let (mut tcp, _) = listener.accept().await.unwrap();
        assert!(key.take(&mut tcp).await.is_err());
    }
}
