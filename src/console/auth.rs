//! Who may use the console: the operator's password for people, tokens for programs.
//!
//! Always: secrets are stored as hashes alone (argon2 for the password, SHA-256 for random tokens); a wrong password is
//! counted, and after too many none is looked at for a while; every form carries its session's token.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::store::Store;
use crate::base::secret;

/// How long a browser's session lasts.
const SESSION: Duration = Duration::from_secs(12 * 3600);
/// Wrong passwords within [`WINDOW`] after which none is looked at.
const WRONG_MAX: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// The file of the operator's password, as it was made.
pub const PASSWORD: &str = "operator-password";
/// The file of an administrator's API token.
pub const TOKEN: &str = "token";

/// Why nobody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The password is wrong.
    Wrong,
    /// Too many were wrong; seconds until the next is looked at.
    TooMany(u64),
}

/// Counts wrong passwords.
#[derive(Default)]
pub struct Guard(Mutex<Option<(Instant, u32)>>);

/// Makes the operator's password and a token where there are none yet, in files of `dir` that only its owner reads.
///
/// # Errors
/// When a file or the store cannot be written.
pub fn prepare(store: &Store, dir: &Path) -> anyhow::Result<()> {
    if store.setting("password")?.is_none() {
        let password = secret::make();
        let hash = Argon2::default()
            .hash_password(password.as_bytes())
            .map_err(|e| anyhow!("the password cannot be hashed: {e}"))?;
        let path = dir.join(PASSWORD);
        secret::write(&path, &password).with_context(|| path.display().to_string())?;
        store.set("password", &hash.to_string())?;
    }
    if !dir.join(TOKEN).exists() {
        let token = secret::make();
        store.add_token(&hashed(&token), "admin")?;
        let path = dir.join(TOKEN);
        secret::write(&path, &token).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// A random secret as it is stored.
pub fn hashed(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// A browser's session that began: the cookie's value.
pub fn sign_in(
    store: &Store,
    guard: &Guard,
    password: &str,
    now_ms: i64,
) -> anyhow::Result<Result<String, Refused>> {
    // Held while the hash is computed, so that guesses come one after the other.
    let mut wrong = guard.0.lock();
    if let Some((since, count)) = *wrong {
        match WINDOW.checked_sub(since.elapsed()) {
            None => *wrong = None,
            Some(left) if count >= WRONG_MAX => {
                return Ok(Err(Refused::TooMany(left.as_secs() + 1)));
            }
            Some(_) => {}
        }
    }
    let stored = store.setting("password")?.context("there is no password")?;
    let hash =
        PasswordHash::new(&stored).map_err(|e| anyhow!("the stored password is damaged: {e}"))?;
    if Argon2::default()
        .verify_password(password.as_bytes(), &hash)
        .is_err()
    {
        let (since, count) = wrong.unwrap_or((Instant::now(), 0));
        *wrong = Some((since, count + 1));
        return Ok(Err(Refused::Wrong));
    }
    *wrong = None;
    let cookie = secret::make();
    let until = now_ms + i64::try_from(SESSION.as_millis())?;
    store.add_session(&hashed(&cookie), &secret::make(), now_ms, until)?;
    Ok(Ok(cookie))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_lets_in_and_guesses_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db")).unwrap();
        prepare(&store, dir.path()).unwrap();
        let password = std::fs::read_to_string(dir.path().join(PASSWORD)).unwrap();
        // Prepared again, both stay what they are.
        prepare(&store, dir.path()).unwrap();
        let token = std::fs::read_to_string(dir.path().join(TOKEN)).unwrap();
        let role = store.token(&hashed(token.trim()), 0).unwrap();
        assert_eq!(role.as_deref(), Some("admin"));

        let guard = Guard::default();
        let enter = |password: &str| sign_in(&store, &guard, password, 1000).unwrap();
        assert_eq!(enter("guess"), Err(Refused::Wrong));
        let cookie = enter(password.trim()).unwrap();
        assert!(store.session(&hashed(&cookie), 1001).unwrap().is_some());
        for _ in 0..WRONG_MAX {
            assert_eq!(enter("guess"), Err(Refused::Wrong));
        }
        assert!(matches!(
            enter(password.trim()),
            Err(Refused::TooMany(1..=60))
        ));
    }
}
