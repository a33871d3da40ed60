//! Bugs put in on purpose, so that the chaos tests can prove that they would find them. Compiled in
//! only with the feature `planted-bugs`, and chosen by PONTOON_PLANTED_BUG.

#[cfg(feature = "planted-bugs")]
fn chosen(name: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| std::env::var("PONTOON_PLANTED_BUG").unwrap_or_default());
    *CHOSEN == name
}

#[cfg(not(feature = "planted-bugs"))]
const fn chosen(_: &str) -> bool {
    false
}

/// How long an entry may stay unsynced that was reported durable too early.
pub(super) const SYNC_EVERY: std::time::Duration = std::time::Duration::from_millis(500);

/// Entries are reported durable before they are written, and are synced some time later.
pub(super) fn reply_before_sync() -> bool {
    chosen("reply-before-sync")
}

/// A vote is reported durable at once, and written with the next entries.
pub(super) fn vote_not_synced() -> bool {
    chosen("vote-not-synced")
}
