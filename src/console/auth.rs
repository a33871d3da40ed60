//! Who may use the console: members with passwords, programs with tokens.
//!
//! Always: secrets are stored as hashes alone (argon2 for passwords, SHA-256 for random tokens). A wrong password is
//! counted for the address that it came from, before it is looked at; after too many none from there is looked at for a
//! while. One password is hashed at a time and few wait for it, so that guessing costs no more than a core.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::model::{Member, Role, Token, Who};
use super::store::Store;
use super::{Console, now_ms};
use crate::base::{limits, secret};

/// How long a browser's session lasts.
const SESSION: Duration = Duration::from_secs(12 * 3600);
/// Wrong passwords from one address within [`WINDOW`] after which none from there is looked at.
const WRONG_MAX: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// The first member's name.
pub const OPERATOR: &str = "operator";
/// The file of their password, as it was made.
pub const PASSWORD: &str = "operator-password";
/// The file of an administrator's API token.
pub const TOKEN: &str = "token";
/// The first organization.
pub const MAIN: &str = "main";
/// The least characters of a password that a member chooses.
pub const PASSWORD_MIN: usize = 12;
/// The most, so that hashing is bounded.
const PASSWORD_MAX: usize = 256;

/// Why nobody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The name or the password is wrong.
    Wrong,
    /// Too many were wrong; seconds until the next is looked at.
    TooMany(u64),
}

/// Counts wrong passwords and bounds how many are looked at.
pub struct Guard {
    wrong: Mutex<HashMap<IpAddr, (Instant, u32)>>,
    one: Semaphore,
    waiting: Semaphore,
    /// What is verified where there is no such member, so that both take as long.
    nobody: String,
}

impl Guard {
    /// A guard that has seen nobody.
    ///
    /// # Errors
    /// When nothing can be hashed.
    pub fn new() -> anyhow::Result<Guard> {
        Ok(Guard {
            wrong: Mutex::default(),
            one: Semaphore::new(1),
            waiting: Semaphore::new(limits::SIGN_INS_WAITING_MAX),
            nobody: hash(&secret::make())?,
        })
    }

    /// Counts an attempt from `from`, which is taken back where it was right.
    fn attempt(&self, from: IpAddr, now: Instant) -> Result<(), Refused> {
        let mut wrong = self.wrong.lock();
        if wrong.len() >= limits::SIGN_IN_ADDRESSES_MAX && !wrong.contains_key(&from) {
            wrong.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
            if wrong.len() >= limits::SIGN_IN_ADDRESSES_MAX {
                return Err(Refused::TooMany(WINDOW.as_secs()));
            }
        }
        let (since, count) = wrong.entry(from).or_insert((now, 0));
        match WINDOW.checked_sub(now.duration_since(*since)) {
            None => (*since, *count) = (now, 0),
            Some(left) if *count >= WRONG_MAX => return Err(Refused::TooMany(left.as_secs() + 1)),
            Some(_) => {}
        }
        *count += 1;
        Ok(())
    }

    fn right(&self, from: IpAddr) {
        self.wrong.lock().remove(&from);
    }
}

/// Makes the first member's password and a token where there are none yet, in files of `dir` that only its owner reads.
///
/// # Errors
/// When a file or the store cannot be written.
pub fn prepare(store: &Store, dir: &Path) -> anyhow::Result<()> {
    // A database that is new while the files are not was lost: what they say holds again.
    let kept = |name: &str| std::fs::read_to_string(dir.join(name)).ok();
    let kept = |name: &str| {
        kept(name)
            .map(|t| t.trim().to_string())
            .filter(|t| !t.is_empty())
    };
    let write = |name: &str, secret: &str| {
        let path = dir.join(name);
        secret::write(&path, secret).with_context(|| path.display().to_string())
    };
    let new = store.members(MAIN)?.is_empty();
    if new {
        let password = match kept(PASSWORD) {
            Some(password) => password,
            None => {
                let password = secret::make();
                write(PASSWORD, &password)?;
                password
            }
        };
        let operator = Member {
            name: OPERATOR.into(),
            role: Role::Admin,
        };
        let made = store.add_member(MAIN, &operator, &hash(&password)?, now_ms())?;
        made.map_err(|why| anyhow!(why.0))?;
    }
    if new || kept(TOKEN).is_none() {
        let known = kept(TOKEN);
        let secret = known.clone().unwrap_or_else(secret::make);
        let token = Token {
            id: new_token_id(),
            name: "token file".into(),
            role: Role::Admin,
            by: OPERATOR.into(),
            expires_ms: None,
        };
        let made = store.add_token(MAIN, &token, &hashed(&secret), now_ms())?;
        made.map_err(|why| anyhow!(why.0))?;
        if known.is_none() {
            write(TOKEN, &secret)?;
        }
    }
    Ok(())
}

/// An id for a new token.
pub fn new_token_id() -> String {
    format!("t-{:010x}", rand::random::<u64>() >> 24)
}

/// A random secret as it is stored.
pub fn hashed(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// A password as it is stored. Takes a core for a while.
///
/// # Errors
/// When it cannot be hashed.
pub fn hash(password: &str) -> anyhow::Result<String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    Ok(hash
        .map_err(|e| anyhow!("the password cannot be hashed: {e}"))?
        .to_string())
}

/// Whether a member may have that password; what would be right where not.
///
/// # Errors
/// For people.
pub fn fits(password: &str) -> Result<(), String> {
    let length = password.chars().count();
    if (PASSWORD_MIN..=PASSWORD_MAX).contains(&length) {
        return Ok(());
    }
    Err(format!(
        "a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters, and this one has {length}"
    ))
}

/// Checks a member's password, which came from `from`.
///
/// # Errors
/// When the store fails.
pub async fn check(
    console: &Arc<Console>,
    from: IpAddr,
    name: &str,
    password: &str,
) -> anyhow::Result<Result<Who, Refused>> {
    let guard = &console.guard;
    if let Err(refused) = guard.attempt(from, Instant::now()) {
        return Ok(Err(refused));
    }
    let Ok(_place) = guard.waiting.try_acquire() else {
        return Ok(Err(Refused::TooMany(1)));
    };
    let _one = guard.one.acquire().await?;
    let found = console.store.member(name)?;
    let stored = found.as_ref().map_or(&guard.nobody, |(_, hash)| hash);
    let (stored, password) = (stored.clone(), password.to_string());
    let verify = tokio::task::spawn_blocking(move || {
        let hash = PasswordHash::new(&stored).map_err(|e| anyhow!("a hash is damaged: {e}"))?;
        let right = password.chars().count() <= PASSWORD_MAX
            && Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok();
        anyhow::Ok(right)
    });
    match (found, verify.await??) {
        (Some((who, _)), true) => {
            guard.right(from);
            Ok(Ok(who))
        }
        _ => Ok(Err(Refused::Wrong)),
    }
}

/// Begins a browser's session: the cookie's value.
///
/// # Errors
/// When the store fails.
pub fn begin(store: &Store, who: &Who) -> anyhow::Result<String> {
    let (cookie, now) = (secret::make(), now_ms());
    let until = now + i64::try_from(SESSION.as_millis())?;
    store.add_session(&hashed(&cookie), &secret::make(), &who.name, now, until)?;
    Ok(cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_member_and_a_token_are_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db")).unwrap();
        prepare(&store, dir.path()).unwrap();
        let password = std::fs::read_to_string(dir.path().join(PASSWORD)).unwrap();
        prepare(&store, dir.path()).unwrap();
        let token = std::fs::read_to_string(dir.path().join(TOKEN)).unwrap();
        let who = store.token(&hashed(token.trim()), 0).unwrap().unwrap();
        assert_eq!((who.role, who.org.as_str()), (Role::Admin, MAIN));
        let (_, stored) = store.member(OPERATOR).unwrap().unwrap();
        let stored = PasswordHash::new(&stored).unwrap();
        let right = |p: &str| Argon2::default().verify_password(p.as_bytes(), &stored);
        assert!(right(password.trim()).is_ok());
        assert!(right("guess").is_err());
        // The database is lost, and the files are not.
        let store = Store::open(&dir.path().join("another")).unwrap();
        prepare(&store, dir.path()).unwrap();
        assert!(store.token(&hashed(token.trim()), 0).unwrap().is_some());
        let again = std::fs::read_to_string(dir.path().join(PASSWORD)).unwrap();
        assert_eq!(again, password);
    }

    #[test]
    fn wrong_passwords_are_counted_by_address() {
        let guard = Guard::new().unwrap();
        let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let now = Instant::now();
        for _ in 0..WRONG_MAX {
            guard.attempt(one, now).unwrap();
        }
        assert!(matches!(
            guard.attempt(one, now),
            Err(Refused::TooMany(1..=61))
        ));
        guard.attempt(other, now).unwrap();
        guard
            .attempt(one, now + WINDOW + Duration::from_secs(1))
            .unwrap();
        guard.right(one);
        for _ in 0..WRONG_MAX {
            guard.attempt(one, now).unwrap();
        }
    }

    #[test]
    fn the_addresses_that_are_counted_are_bounded() {
        let guard = Guard::new().unwrap();
        let now = Instant::now();
        let address = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        for n in 0..limits::SIGN_IN_ADDRESSES_MAX {
            guard.attempt(address(n), now).unwrap();
        }
        let next = address(limits::SIGN_IN_ADDRESSES_MAX);
        assert!(guard.attempt(next, now).is_err());
        guard.attempt(address(0), now).unwrap();
        guard.attempt(next, now + WINDOW).unwrap();
        assert_eq!(guard.wrong.lock().len(), 1);
    }
}
