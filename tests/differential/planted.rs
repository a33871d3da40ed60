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
    asked("XCLAIM loses JUSTID", |r| without(r, "XCLAIM", "JUSTID")),
    asked("a waiting client is served from the wrong end", |r| {
        if is(r, "BLPOP") {
            r[0] = b"BRPOP".to_vec();
        }
    }),
    asked("ACL SETUSER ignores a rule", |r| without(r, "ACL", "+get")),
    asked("CONFIG SET does nothing", |r| {
        if is(r, "CONFIG") && r.get(1).is_some_and(|w| w == b"SET") && r.len() == 4 {
            r[3] = b"128".to_vec();
        }
    }),
    answered("SCAN leaves one out", |q, r| {
        if is(q, "SCAN")
            && let Some(keys) = r.items.get_mut(1)
        {
            keys.items.pop();
        }
    }),
    answered("a function's library has another name", |q, r| {
        if is(q, "FUNCTION") && r.text == b"lib1" {
            r.text = b"lib9".to_vec();
        }
    }),
];
