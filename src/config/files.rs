//! The limit on open files: each client is one, and a process that runs into the limit stops accepting.
//!
//! A node that could not keep its promise of maxclients refuses to start instead of failing at the worst time.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most files this process may have open now. The soft limit is first raised to the hard one.
#[must_use]
pub fn open_files_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let (soft, hard) = (
        limit.current.unwrap_or(u64::MAX),
        limit.maximum.unwrap_or(u64::MAX),
    );
    if soft < hard {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return hard;
        }
    }
    soft
}

/// Makes sure that `needed` files can be open: the soft limit is raised as far as the hard one, and the hard one
/// where this process may.
///
/// # Errors
/// A text that says what to change.
pub fn ensure_open_files(needed: u64, purpose: &str) -> Result<(), String> {
    let has = open_files_limit();
    if has >= needed {
        return Ok(());
    }
    let wanted = Rlimit {
        current: Some(needed),
        maximum: Some(needed),
    };
    if setrlimit(Resource::Nofile, wanted).is_ok() {
        return Ok(());
    }
    Err(format!(
        "this process may open {has} files and needs {needed} for {purpose}: raise the limit \
         (`ulimit -n {needed}` as root, LimitNOFILE={needed} in a systemd unit, \
         `--ulimit nofile={needed}` in Docker, or nofile in /etc/security/limits.conf)"
    ))
}
