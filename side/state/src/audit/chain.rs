//! Head: an act as a line, bound to all lines before it. Promise: the hash of a line covers everything in it, and the hash of the line before.
//!
//! `{"v":1,"n":2,...,"prev":"HASH","hash":"HASH"}`: the second hash is the SHA-256 of the line as it stands up to, and without, `,"hash"`. So it can
//! be checked with nothing but a shell: see `docs/decisions/0026-audit-log-is-a-chain-of-lines.md`.

use aws_lc_rs::digest::{SHA256, digest};
use postern_mail::envelope::UnixMillis;
use serde::{Deserialize, Serialize};

/// Longer texts are cut here.
const CHARS_MAX: usize = 1_000;
const HASH_MARK: &str = ",\"hash\":\"";

/// Something a person, or a signal, had done.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// `uid:1000` over the control socket, `local:0` beside a server that does not run, `signal`, `server`.
    pub who: &'a str,
    /// What was done, to what.
    pub what: &'a str,
    /// Why, as given.
    pub reason: &'a str,
    /// What came of it.
    pub result: &'a str,
}

/// An act as it is kept. Texts are as they came: whoever prints them quotes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The layout.
    pub v: u8,
    /// Counted from 1.
    pub n: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    /// See [`Act`].
    pub who: String,
    /// See [`Act`].
    pub what: String,
    /// See [`Act`].
    pub reason: String,
    /// See [`Act`].
    pub result: String,
    /// The hash of the entry before; zeros for the first.
    pub prev: String,
}

/// The end of a chain, to which the next line is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    number: u64,
    hash: Option<String>,
}

const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn hash_of(text: &[u8]) -> String {
    digest(&SHA256, text).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn clip(text: &str) -> String {
    text.chars().take(CHARS_MAX).collect()
}

impl Link {
    /// Before the first line.
    pub const FIRST: Self = Self { number: 0, hash: None };

    /// The hash of the last line.
    #[must_use]
    pub fn hash(&self) -> &str {
        self.hash.as_deref().unwrap_or(ZEROS)
    }

    /// The number of the last line.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Before this line, as it says itself: that it was so, only what came before could show.
    #[must_use]
    pub fn before(line: &[u8]) -> Self {
        let entry = serde_json::from_slice::<Entry>(line).ok().filter(|entry| entry.n > 1);
        entry.map_or(Self::FIRST, |entry| Self { number: entry.n - 1, hash: Some(entry.prev) })
    }

    /// Behind this line, whether it is right or not: what is written from now on shows at least that it was there.
    #[must_use]
    pub fn behind(line: &[u8]) -> Self {
        let number = serde_json::from_slice::<Entry>(line).map_or(0, |entry| entry.n);
        let stated = std::str::from_utf8(line).ok().and_then(|line| line.rsplit_once(HASH_MARK)?.1.strip_suffix("\"}"));
        Self { number, hash: Some(stated.map_or_else(|| hash_of(line), str::to_owned)) }
    }

    /// The next line with its end, and the end of the chain behind it.
    #[must_use]
    pub fn next(&self, at: UnixMillis, act: Act<'_>) -> (String, Self) {
        let number = self.number.saturating_add(1);
        let entry = Entry {
            v: 1,
            n: number,
            at: at.0,
            who: clip(act.who),
            what: clip(act.what),
            reason: clip(act.reason),
            result: clip(act.result),
            prev: self.hash().to_owned(),
        };
        // Plain texts and numbers always make JSON.
        let mut line = serde_json::to_string(&entry).unwrap_or_default();
        line.truncate(line.len().saturating_sub(1));
        let hash = hash_of(line.as_bytes());
        line.push_str(&format!("{HASH_MARK}{hash}\"}}\n"));
        (line, Self { number, hash: Some(hash) })
    }

    /// Reads the next line, and tells why it is not the one that belongs here.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self, line: &[u8]) -> Result<(Entry, Self), String> {
        let text = std::str::from_utf8(line).map_err(|_| "it is not text".to_owned())?.trim_end_matches('\n');
        let entry: Entry = serde_json::from_str(text).map_err(|_| "it is not an entry".to_owned())?;
        let (body, stated) = text.rsplit_once(HASH_MARK).ok_or("it has no hash")?;
        let stated = stated.strip_suffix("\"}").ok_or("it has no hash")?;
        if hash_of(body.as_bytes()) != stated {
            return Err("it was changed after it was written".to_owned());
        }
        if entry.prev != self.hash() || entry.n != self.number.saturating_add(1) {
            return Err(format!(
                "it does not follow the entry before: entry {} stands here, and one is missing, moved or added",
                entry.n
            ));
        }
        Ok((entry, Self { number: self.number.saturating_add(1), hash: Some(stated.to_owned()) }))
    }
}
