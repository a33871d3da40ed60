//! MONITOR: what is executed, told to clients that watch. Always: passwords are never shown, a client
//! that does not read is disconnected at its bound, and it costs one atomic load while nobody watches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::base::limits::MONITORS_MAX;
use crate::command::args::is;

use super::clients::Client;

/// The clients that monitor.
#[derive(Default)]
pub struct Monitors {
    clients: Mutex<BTreeMap<u64, Arc<Client>>>,
    count: AtomicUsize,
}

impl Monitors {
    /// Adds a client; says whether there was room.
    pub fn add(&self, client: &Arc<Client>) -> bool {
        let mut clients = self.clients.lock();
        if clients.len() >= MONITORS_MAX {
            return false;
        }
        clients.insert(client.id, client.clone());
        self.count.store(clients.len(), Relaxed);
        true
    }

    /// A client left or was reset.
    pub fn remove(&self, id: u64) {
        let mut clients = self.clients.lock();
        clients.remove(&id);
        self.count.store(clients.len(), Relaxed);
    }

    /// Whether somebody watches.
    pub fn watched(&self) -> bool {
        self.count.load(Relaxed) != 0
    }

    /// Tells of a command: its time in microseconds since 1970, its database, and who sent it.
    pub fn tell(&self, at_us: u64, db: u32, addr: &str, args: &[&[u8]]) {
        let (s, us) = (at_us / 1_000_000, at_us % 1_000_000);
        let mut line = format!("+{s}.{us:06} [{db} {addr}]").into_bytes();
        for arg in args {
            line.push(b' ');
            quote(arg, &mut line);
        }
        line.extend_from_slice(b"\r\n");
        let line = Bytes::from(line);
        for client in self.clients.lock().values() {
            client.send(line.clone());
        }
    }
}

/// A text in quotes, as Redis escapes one.
pub fn quote(text: &[u8], into: &mut Vec<u8>) {
    into.push(b'"');
    for &byte in text {
        match byte {
            b'\\' | b'"' => into.extend_from_slice(&[b'\\', byte]),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            b'\t' => into.extend_from_slice(b"\\t"),
            7 => into.extend_from_slice(b"\\a"),
            8 => into.extend_from_slice(b"\\b"),
            b' '..=b'~' => into.push(byte),
            _ => into.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    into.push(b'"');
}

const REDACTED: &[u8] = b"(redacted)";

/// The arguments of a command with its secrets hidden, for MONITOR and the slow log; `None`: it has none.
pub fn redacted<'a>(name: &str, args: &[&'a [u8]]) -> Option<Vec<&'a [u8]>> {
    let mut args = args.to_vec();
    match name {
        "auth" => args[1..].fill(REDACTED),
        "hello" => {
            let at = args.iter().position(|a| is(a, "auth"))?;
            args.iter_mut()
                .skip(at + 1)
                .take(2)
                .for_each(|a| *a = REDACTED);
        }
        "config|set" => {
            for pair in args[2..].chunks_mut(2) {
                let secret = [
                    "masteruser",
                    "masterauth",
                    "requirepass",
                    "tls-key-file-pass",
                ];
                if pair.len() == 2 && secret.iter().any(|s| is(pair[0], s)) {
                    pair[1] = REDACTED;
                }
            }
        }
        "acl|setuser" => args[2..].fill(REDACTED),
        "migrate" => {
            for at in 0..args.len() {
                let secrets = if is(args[at], "auth") {
                    1
                } else if is(args[at], "auth2") {
                    2
                } else {
                    continue;
                };
                args.iter_mut()
                    .skip(at + 1)
                    .take(secrets)
                    .for_each(|a| *a = REDACTED);
            }
        }
        _ => return None,
    }
    Some(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted() {
        let mut out = Vec::new();
        quote(b"a\"\\\n\x01\xff", &mut out);
        assert_eq!(out, br#""a\"\\\n\x01\xff""#);
    }

    #[test]
    fn secrets_are_hidden() {
        let args: [&[u8]; 5] = [b"hello", b"3", b"AUTH", b"u", b"p"];
        assert_eq!(redacted("hello", &args).unwrap()[3..], [REDACTED, REDACTED]);
        let args: [&[u8]; 6] = [b"config", b"set", b"hz", b"9", b"requirepass", b"x"];
        let hidden = redacted("config|set", &args).unwrap();
        assert_eq!((hidden[3], hidden[5]), (&b"9"[..], REDACTED));
        assert!(redacted("get", &[b"get", b"auth"]).is_none());
    }
}
