//! Passwords: making them, refusing weak ones, hashing and verifying. Promise: a generated password holds at least 128 bits of chance, and
//! no password is ever printed by this crate.

use std::sync::atomic::{AtomicU64, Ordering};

use postern_mail::Secret;

use crate::store::random;
use crate::trouble::StateFailure;

/// A password somebody thought up must be at least this long.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// More would only be work for us.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// Crockford's base 32 in lower case: no letter that reads as a digit or as another one.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const GROUP: usize = 4;
/// 28 characters of 5 bits: 140 bits.
const PASSWORD_GROUPS: usize = 7;
/// 32 characters, of which the selector is no secret: 130 bits.
const APP_PASSWORD_GROUPS: usize = 8;
/// The first characters of an app password, kept in clear, so that one hash has to be tried and not one per app password.
pub(crate) const SELECTOR_CHARS: usize = 6;

/// The passwords of at least [`PASSWORD_CHARS_MIN`] characters that are found most often in published collections; guessing begins with
/// them.
const COMMONEST: &[&str] = &[
    "0123456789",
    "0987654321",
    "1029384756",
    "123123123123",
    "1234554321",
    "1234567890",
    "12345678910",
    "123456789a",
    "1234567891",
    "123456789q",
    "123qweasdzxc",
    "1q2w3e4r5t",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "9876543210",
    "abcdefghij",
    "administrator",
    "asdfghjkl123",
    "asdfghjkl;",
    "basketball",
    "changeme123",
    "chocolate1",
    "correcthorse",
    "google123456",
    "helloworld",
    "iloveyou12",
    "iloveyou123",
    "letmein123",
    "motdepasse",
    "mypassword",
    "p@ssw0rd12",
    "passw0rd123",
    "password01",
    "password10",
    "password11",
    "password12",
    "password123",
    "password123!",
    "password1234",
    "password12345",
    "passwort123",
    "postmaster",
    "princess12",
    "q1w2e3r4t5",
    "q1w2e3r4t5y6",
    "qazwsxedcrfv",
    "qwe123qwe123",
    "qwerasdfzxcv",
    "qwerty1234",
    "qwerty12345",
    "qwerty123456",
    "qwertyuiop",
    "qwertzuiop",
    "sunshine12",
    "superman12",
    "welcome123",
    "welcome1234",
    "zxcvbnm123",
];

/// Says what is wrong with a password somebody thought up for the account `name`, if anything is.
///
/// # Errors
/// The reason, in words.
pub fn check(password: &Secret, name: &str) -> Result<(), &'static str> {
    let text = std::str::from_utf8(password.expose()).map_err(|_| "it is not valid text")?;
    if text.len() > PASSWORD_BYTES_MAX {
        return Err("it is longer than 256 octets");
    }
    if text.chars().any(char::is_control) {
        return Err("it holds a control character");
    }
    if text.chars().count() < PASSWORD_CHARS_MIN {
        return Err("it is shorter than 10 characters");
    }
    let lower = text.to_lowercase();
    let local = name.rsplit_once('@').map_or(name, |(local, _)| local);
    if lower == name.to_lowercase() || lower == local.to_lowercase() {
        return Err("it is the name of the account");
    }
    let mut distinct: Vec<char> = lower.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < 4 || COMMONEST.contains(&lower.as_str()) {
        return Err("it is among the first that anybody would guess");
    }
    Ok(())
}

fn groups(count: usize) -> Result<Secret, StateFailure> {
    let bytes = random::<{ APP_PASSWORD_GROUPS * GROUP }>()?;
    let mut text = Vec::with_capacity(count * (GROUP + 1));
    for (place, group) in bytes.chunks(GROUP).take(count).enumerate() {
        if place > 0 {
            text.push(b'-');
        }
        // 32 divides 256, so every character is as likely as any other.
        text.extend(group.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 31))));
    }
    Ok(Secret::new(text))
}

/// A new password of 140 bits.
pub(crate) fn generate() -> Result<Secret, StateFailure> {
    groups(PASSWORD_GROUPS)
}

/// A new app password of 130 bits behind its selector.
pub(crate) fn generate_for_app() -> Result<Secret, StateFailure> {
    groups(APP_PASSWORD_GROUPS)
}

/// The selector of what has the shape of an app password.
pub(crate) fn selector(password: &[u8]) -> Option<String> {
    let mut plain = String::with_capacity(APP_PASSWORD_GROUPS * GROUP);
    let mut count = 0;
    for group in password.split(|byte| *byte == b'-') {
        count += 1;
        if group.len() != GROUP || count > APP_PASSWORD_GROUPS || !group.iter().all(|byte| ALPHABET.contains(byte)) {
            return None;
        }
        plain.extend(group.iter().copied().map(char::from));
    }
    plain.truncate(SELECTOR_CHARS);
    (count == APP_PASSWORD_GROUPS).then_some(plain)
}

/// A slow hash of passwords. A trait, so that tests can count what it is asked to do.
pub trait Hashing: Send + Sync {
    /// A new hash with a new salt, as text.
    fn hash(&self, password: &[u8]) -> String;

    /// True when the hash is of this password. Costs the same whatever the answer.
    fn matches(&self, password: &[u8], hash: &str) -> bool;
}

/// Argon2id (RFC 9106) with 19 MiB, two passes and one lane.
#[derive(Default)]
pub struct Argon2id {
    runs: AtomicU64,
}

impl Argon2id {
    /// How often it ran since the start: the figure to watch when guessing goes on.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }
}

impl Hashing for Argon2id {
    fn hash(&self, password: &[u8]) -> String {
        self.runs.fetch_add(1, Ordering::Relaxed);
        password_auth::generate_hash(password)
    }

    fn matches(&self, password: &[u8], hash: &str) -> bool {
        self.runs.fetch_add(1, Ordering::Relaxed);
        password_auth::verify_password(password, hash).is_ok()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Costs nothing and is no secret: for tests that count.
    #[derive(Default)]
    pub(crate) struct Counted {
        pub(crate) hashed: AtomicU64,
        pub(crate) compared: AtomicU64,
    }

    impl Counted {
        pub(crate) fn compared(&self) -> u64 {
            self.compared.load(Ordering::SeqCst)
        }
    }

    impl Hashing for Counted {
        fn hash(&self, password: &[u8]) -> String {
            self.hashed.fetch_add(1, Ordering::SeqCst);
            format!("counted:{}", String::from_utf8_lossy(password))
        }

        fn matches(&self, password: &[u8], hash: &str) -> bool {
            self.compared.fetch_add(1, Ordering::SeqCst);
            hash.strip_prefix("counted:").is_some_and(|rest| rest.as_bytes() == password)
        }
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn weak_passwords_are_refused_with_the_reason() {
        for (weak, reason) in [
            ("short", "shorter"),
            ("neuf.cars", "shorter"),
            ("alice.liddell@example.org", "name"),
            ("Alice.Liddell", "name"),
            ("PassWord123", "guess"),
            ("aaaaaaaaaaaaa", "guess"),
            ("1212121212", "guess"),
            ("with\nline end", "control"),
        ] {
            let said = check(&secret(weak), "alice.liddell@example.org").unwrap_err();
            assert!(said.contains(reason), "{weak}: {said}");
        }
        assert!(check(&secret(&"long".repeat(100)), "a@b").is_err());
        assert!(check(&Secret::new(vec![0xff; 12]), "a@b").is_err());
        assert_eq!(check(&secret("a plain sentence"), "a@b"), Ok(()));
    }

    #[test]
    fn the_list_of_the_commonest_holds_only_what_the_length_lets_through() {
        for common in COMMONEST {
            assert!(common.chars().count() >= PASSWORD_CHARS_MIN && *common == common.to_lowercase(), "{common}");
        }
    }

    #[test]
    fn generated_passwords_differ_are_grouped_and_pass_the_check() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert!(one != other);
        let text = String::from_utf8(one.expose().to_vec()).unwrap();
        assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [GROUP; PASSWORD_GROUPS]);
        assert_eq!(check(&one, "a@b"), Ok(()));
        assert_eq!(selector(one.expose()), None, "only app passwords have a selector");
    }

    #[test]
    fn only_the_shape_of_an_app_password_has_a_selector() {
        let app = generate_for_app().unwrap();
        let text = String::from_utf8(app.expose().to_vec()).unwrap();
        assert_eq!(selector(app.expose()), Some(text.replace('-', "")[..SELECTOR_CHARS].to_owned()));
        for wrong in ["", "-------", &text[1..], &format!("{text}-abcd"), &text.to_uppercase(), &text.replace('-', "")] {
            if *wrong != text {
                assert_eq!(selector(wrong.as_bytes()), None, "{wrong}");
            }
        }
    }

    #[test]
    fn argon2id_verifies_its_own_hash_only_and_counts() {
        let argon2 = Argon2id::default();
        let hash = argon2.hash(b"the right one");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(argon2.matches(b"the right one", &hash));
        assert!(!argon2.matches(b"a wrong one", &hash));
        assert_eq!(argon2.runs(), 3);
    }
}
