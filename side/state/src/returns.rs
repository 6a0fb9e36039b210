//! Senders that mail left with, each for one recipient, and whom to tell of what comes back to them. Promise: a token that was not made here is never
//! taken for one; what is kept is bounded in number and age, and the oldest is forgotten first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use postern_mail::envelope::UnixMillis;
use postern_mail::return_token::{PROOF_BYTES, ReturnToken};
use postern_mail::{Mailbox, MessageId};
use serde::{Deserialize, Serialize};

use crate::backend::{Backend, Change, Durability, Keyspace, Order};
use crate::store::Store;
use crate::trouble::StateFailure;

/// So that the server's secret means something else wherever it is used.
const WHAT_FOR: &[u8] = b"postern return token 1";
/// Rows read at a time.
const PAGE: usize = 10_000;
/// Old rows that are forgotten with one that is kept, at most.
const FORGOTTEN_AT_ONCE: usize = 64;

/// Mail that left with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The sender it was handed in with.
    pub from: Mailbox,
    /// By whom.
    pub account: Arc<str>,
    /// For whom.
    pub to: Mailbox,
    /// When it first left.
    pub at: UnixMillis,
}

#[derive(Serialize, Deserialize)]
struct Row<'a> {
    from: &'a str,
    account: &'a str,
    to: &'a str,
    at: u64,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct ReturnSettings {
    /// A token is good for so long.
    pub good_for: Duration,
    /// Most there may be.
    pub entries_max: usize,
}

/// Tokens, and what they stand for.
pub struct Returns {
    backend: Arc<dyn Backend>,
    key: hmac::Key,
    count: AtomicUsize,
    /// Two that forget at once would count twice.
    forgetting: Mutex<()>,
}

fn key(id: MessageId, index: u16) -> Vec<u8> {
    [&id.0.to_be_bytes()[..], &index.to_be_bytes()[..]].concat()
}

/// A row is text of ours; quotes in local parts are why it is not split at a character.
fn read(value: &[u8]) -> Option<Sent> {
    #[derive(Deserialize)]
    struct Owned {
        from: String,
        account: String,
        to: String,
        at: u64,
    }
    let row: Owned = serde_json::from_slice(value).ok()?;
    let (from, to) = (Mailbox::parse(&row.from).ok()?, Mailbox::parse(&row.to).ok()?);
    Some(Sent { from, account: row.account.into(), to, at: UnixMillis(row.at) })
}

impl Returns {
    /// Those of a store. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub fn open(store: &Store) -> Result<Self, StateFailure> {
        let backend = Arc::clone(store.backend());
        let (mut count, mut from) = (0, Vec::new());
        loop {
            let rows = backend.scan(Keyspace::Returns, &from, None, Order::Ascending, PAGE)?;
            count += rows.len();
            match rows.into_iter().next_back() {
                Some((key, _)) if count % PAGE == 0 => {
                    from = key;
                    from.push(0);
                }
                _ => break,
            }
        }
        // A key of its own, made of the secret of the server.
        let secret = hmac::Key::new(hmac::HMAC_SHA256, store.secret().expose());
        let key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, WHAT_FOR).as_ref());
        Ok(Self { backend, key, count: AtomicUsize::new(count), forgetting: Mutex::new(()) })
    }

    /// The token of a recipient.
    #[must_use]
    pub fn token(&self, id: MessageId, index: u16) -> ReturnToken {
        let tag = hmac::sign(&self.key, &key(id, index));
        let proof = tag.as_ref().first_chunk::<PROOF_BYTES>().copied().unwrap_or_default();
        ReturnToken { id, index, proof }
    }

    /// What a token stands for; none for one that was not made here, is too old, or forgotten. Blocks on the disk, for a right token only.
    ///
    /// # Errors
    /// When the store fails.
    pub fn find(&self, now: UnixMillis, settings: &ReturnSettings, token: &ReturnToken) -> Result<Option<Sent>, StateFailure> {
        if verify_slices_are_equal(&self.token(token.id, token.index).proof, &token.proof).is_err() {
            return Ok(None);
        }
        let row = self.backend.read(Keyspace::Returns, &key(token.id, token.index))?;
        Ok(row.and_then(|value| read(&value)).filter(|sent| now.since(sent.at) <= settings.good_for))
    }

    /// Keeps what a token will stand for; what is kept already stays. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub fn keep(&self, settings: &ReturnSettings, (id, index): (MessageId, u16), sent: &Sent) -> Result<(), StateFailure> {
        let row_key = key(id, index);
        if self.backend.read(Keyspace::Returns, &row_key)?.is_some() {
            return Ok(());
        }
        let (from, to) = (sent.from.to_string(), sent.to.to_string());
        let row = Row { from: &from, account: &sent.account, to: &to, at: sent.at.0 };
        let value = serde_json::to_vec(&row).map_err(|error| StateFailure::Corrupt(error.to_string()))?;
        let guard = self.forgetting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changes = self.old(sent.at, settings)?;
        self.count.fetch_sub(changes.len(), Ordering::Relaxed);
        changes.push(Change::Put(Keyspace::Returns, row_key, value));
        self.backend.write(changes, Durability::Buffered)?;
        self.count.fetch_add(1, Ordering::Relaxed);
        drop(guard);
        Ok(())
    }

    /// Names of messages grow, so the first rows are the oldest.
    fn old(&self, now: UnixMillis, settings: &ReturnSettings) -> Result<Vec<Change>, StateFailure> {
        let count = self.count.load(Ordering::Relaxed);
        let too_many = (count + 1).saturating_sub(settings.entries_max.max(1));
        // Most of the time the first is enough to see that there is nothing to do.
        let looked_at = if too_many > 0 { FORGOTTEN_AT_ONCE } else { 2 };
        let first = self.backend.scan(Keyspace::Returns, b"", None, Order::Ascending, looked_at)?;
        let is_old = |value: &[u8]| read(value).is_none_or(|sent| now.since(sent.at) > settings.good_for);
        let gone = first.into_iter().enumerate().take_while(|(place, (_, value))| *place < too_many || is_old(value));
        Ok(gone.map(|(_, (key, _))| Change::Remove(Keyspace::Returns, key)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn settings(entries_max: usize) -> ReturnSettings {
        ReturnSettings { good_for: Duration::from_secs(3600), entries_max }
    }

    fn sent(to: &str, at: UnixMillis) -> Sent {
        let address = |text: &str| Mailbox::parse(text).unwrap();
        Sent { from: address("\"a b\"@here.example"), account: "alice@here.example".into(), to: address(to), at }
    }

    #[test]
    fn a_token_leads_to_its_recipient_over_a_restart_and_a_forged_or_old_one_to_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let mail = sent("x@b.example", NOW);
        let token = {
            let returns = Returns::open(&Store::open(folder.path()).unwrap()).unwrap();
            returns.keep(&settings(10), (MessageId(7), 3), &mail).unwrap();
            returns.keep(&settings(10), (MessageId(7), 3), &sent("other@b.example", NOW)).unwrap();
            returns.token(MessageId(7), 3)
        };
        let returns = Returns::open(&Store::open(folder.path()).unwrap()).unwrap();
        assert_eq!(returns.find(NOW, &settings(10), &token).unwrap(), Some(mail));
        for place in 0..PROOF_BYTES {
            let mut forged = token;
            forged.proof[place] ^= 1;
            assert_eq!(returns.find(NOW, &settings(10), &forged).unwrap(), None);
        }
        assert_eq!(returns.find(NOW, &settings(10), &ReturnToken { index: 4, ..token }).unwrap(), None);
        let later = NOW.plus(Duration::from_secs(3601));
        assert_eq!(returns.find(later, &settings(10), &token).unwrap(), None);
        let elsewhere = Returns::open(&Store::open(tempfile::tempdir().unwrap().path()).unwrap()).unwrap();
        assert_ne!(elsewhere.token(MessageId(7), 3), token, "another server has another secret");
    }

    #[test]
    fn there_are_never_more_than_the_most_and_the_oldest_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let returns = Returns::open(&Store::open(folder.path()).unwrap()).unwrap();
        for id in 0..50 {
            returns.keep(&settings(10), (MessageId(id), 0), &sent("x@b.example", NOW)).unwrap();
        }
        let rows = returns.backend.scan(Keyspace::Returns, b"", None, Order::Ascending, 100).unwrap();
        assert_eq!(rows.len(), 10);
        assert!(returns.find(NOW, &settings(10), &returns.token(MessageId(49), 0)).unwrap().is_some());
        assert!(returns.find(NOW, &settings(10), &returns.token(MessageId(39), 0)).unwrap().is_none());
        // What is too old goes with each new one.
        let later = NOW.plus(Duration::from_secs(4000));
        for id in 50..60 {
            returns.keep(&settings(100), (MessageId(id), 0), &sent("x@b.example", later)).unwrap();
        }
        let rows = returns.backend.scan(Keyspace::Returns, b"", None, Order::Ascending, 100).unwrap();
        assert_eq!(rows.len(), 10);
    }
}
