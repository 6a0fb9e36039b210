//! The manual of settings.

/// `docs/config.md`.
#[must_use]
pub fn markdown() -> String {
    String::new()
}
