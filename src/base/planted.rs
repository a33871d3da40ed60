//! Planted bugs, which the safety tests must find, and staged mishaps, which a right node survives: the rare
//! events under which a bug shows. Compiled in by a feature that no shipped build has; chosen at run time by
//! `PONTOON_PLANTED_BUG` and `PONTOON_STAGED_MISHAP`.

/// Whether this bug is planted.
#[cfg(feature = "planted-bugs")]
pub fn is(name: &str) -> bool {
    chosen().as_deref() == Some(name)
}

/// Whether this mishap is staged. Nothing may go wrong under it.
#[cfg(feature = "planted-bugs")]
pub fn staged(name: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("PONTOON_STAGED_MISHAP").ok());
    CHOSEN.as_deref() == Some(name)
}

/// Whether any bug is planted.
#[cfg(feature = "planted-bugs")]
pub fn any() -> bool {
    chosen().is_some()
}

#[cfg(feature = "planted-bugs")]
fn chosen() -> &'static Option<String> {
    static CHOSEN: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("PONTOON_PLANTED_BUG").ok());
    &CHOSEN
}

#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub fn is(_name: &str) -> bool {
    false
}

#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub fn staged(_name: &str) -> bool {
    false
}

#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub fn any() -> bool {
    false
}
