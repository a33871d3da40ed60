//! Differences planted between the wire and the comparison, to show that each would be found.
//!
//! Always: a plant changes only what Pontoon is sent or what it answered, never Redis's side.

use super::wire::{Reply, Request};

/// A planted difference.
pub struct Plant {
    pub name: &'static str,
    /// Changes what Pontoon is sent.
    pub request: fn(&mut Request),
    /// Changes what it answered to this request.
    pub reply: fn(&[Vec<u8>], &mut Reply),
}

const fn asked(name: &'static str, request: fn(&mut Request)) -> Plant {
    Plant {
        name,
        request,
        reply: |_, _| {},
    }
}

const fn answered(name: &'static str, reply: fn(&[Vec<u8>], &mut Reply)) -> Plant {
    Plant {
        name,
        request: |_| {},
        reply,
    }
}

fn is(request: &[Vec<u8>], name: &str) -> bool {
    request[0] == name.as_bytes()
}

fn without(request: &mut Request, name: &str, option: &str) {
    if is(request, name) {
        request.retain(|w| w != option.as_bytes());
    }
}

/// All of them.
pub const PLANTS: &[Plant] = &[
    asked("SET loses NX", |r| without(r, "SET", "NX")),
    asked("SET loses KEEPTTL", |r| without(r, "SET", "KEEPTTL")),
    asked("ZADD loses CH", |r| without(r, "ZADD", "CH")),
    asked("ZADD loses GT", |r| without(r, "ZADD", "GT")),
    asked("COPY loses REPLACE", |r| without(r, "COPY", "REPLACE")),
    asked("ZRANGE loses REV", |r| without(r, "ZRANGE", "REV")),
    asked("PERSIST does nothing", |r| {
        if is(r, "PERSIST") {
            r[0] = b"EXISTS".to_vec();
        }
    }),
    asked("RPUSH pushes left", |r| {
        if is(r, "RPUSH") {
            r[0] = b"LPUSH".to_vec();
        }
    }),
    answered("SCARD is one more", |q, r| {
        if is(q, "SCARD") && r.kind == b':' {
            r.text = b"99".to_vec();
        }
    }),
    answered("a status for a bulk string", |q, r| {
        if is(q, "GET") && r.kind == b'$' {
            r.kind = b'+';
        }
    }),
    answered("another error", |q, r| {
        if is(q, "INCR") && r.kind == b'-' {
            r.text = b"ERR wrong".to_vec();
        }
    }),
    answered("an element less", |q, r| {
        if is(q, "LRANGE") {
            r.items.pop();
        }
    }),
    answered("nil for an empty list", |q, r| {
        if is(q, "HGETALL") && r.kind == b'*' && r.items.is_empty() {
            r.text = b"-1".to_vec();
        }
    }),
    answered("the time to live is kept from an hour ago", |q, r| {
        if is(q, "TTL") && r.text.len() > 2 {
            r.text = b"4600".to_vec();
        }
    }),
];
