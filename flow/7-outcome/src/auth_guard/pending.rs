//! Claims that are being verified at this moment, by everything they are counted by. Promise: what is being verified counts as if it were
//! wrong already, so that no number of connections at once gets more guesses through than one after the other would.
//!
//! Equal claims count once: twenty workers that start with one password are one claim.

use std::collections::HashMap;

use postern_mail::client::Subnet;
use postern_mail::guess::{Guess, Tag};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Host(Subnet),
    Network(Subnet),
    Account(Tag),
    Password(Tag),
    /// Of one address, for one account and for all.
    Familiar(Tag, Subnet),
    FamiliarHost(Subnet),
    /// By whether it is familiar too, since that decides what else it is counted by.
    Claim(Tag, Tag, Subnet, bool),
}

/// Counts of what is being verified; bounded by the callers' [`Pending::len`].
#[derive(Debug, Default)]
pub(super) struct Pending {
    counts: HashMap<Key, u32>,
    claims: usize,
}

fn claim(guess: &Guess) -> Option<Key> {
    guess.password.map(|password| Key::Claim(guess.account, password, Subnet::network(guess.client), guess.is_familiar))
}

fn keys(guess: &Guess) -> [Option<Key>; 4] {
    let network = Subnet::network(guess.client);
    let password = guess.password.map(Key::Password);
    let host = Subnet::host(guess.client);
    if guess.is_familiar {
        [Some(Key::Familiar(guess.account, host)), Some(Key::FamiliarHost(host)), password, None]
    } else {
        [Some(Key::Host(host)), Some(Key::Network(network)), Some(Key::Account(guess.account)), password]
    }
}

impl Pending {
    fn add(&mut self, key: Key) -> u32 {
        let count = self.counts.entry(key).or_default();
        *count += 1;
        *count
    }

    /// What is left of it.
    fn take(&mut self, key: Key) -> u32 {
        let Some(count) = self.counts.get_mut(&key) else { return 0 };
        *count = count.saturating_sub(1);
        let left = *count;
        if left == 0 {
            self.counts.remove(&key);
        }
        left
    }

    fn count(&self, key: Key) -> u32 {
        self.counts.get(&key).copied().unwrap_or_default()
    }

    pub(super) fn enter(&mut self, guess: &Guess) {
        self.claims += 1;
        if claim(guess).is_none_or(|claim| self.add(claim) == 1) {
            keys(guess).into_iter().flatten().for_each(|key| {
                self.add(key);
            });
        }
    }

    pub(super) fn leave(&mut self, guess: &Guess) {
        self.claims = self.claims.saturating_sub(1);
        if claim(guess).is_none_or(|claim| self.take(claim) == 0) {
            keys(guess).into_iter().flatten().for_each(|key| {
                self.take(key);
            });
        }
    }

    pub(super) fn len(&self) -> usize {
        self.claims
    }

    /// An equal one is being verified.
    pub(super) fn holds(&self, guess: &Guess) -> bool {
        claim(guess).is_some_and(|claim| self.count(claim) > 0)
    }

    pub(super) fn of_host(&self, guess: &Guess) -> u32 {
        self.count(Key::Host(Subnet::host(guess.client)))
    }

    pub(super) fn of_network(&self, guess: &Guess) -> u32 {
        self.count(Key::Network(Subnet::network(guess.client)))
    }

    pub(super) fn of_account(&self, guess: &Guess) -> u32 {
        self.count(Key::Account(guess.account))
    }

    pub(super) fn of_familiar(&self, guess: &Guess) -> u32 {
        self.count(Key::Familiar(guess.account, Subnet::host(guess.client)))
    }

    pub(super) fn of_familiar_host(&self, guess: &Guess) -> u32 {
        self.count(Key::FamiliarHost(Subnet::host(guess.client)))
    }

    pub(super) fn of_password(&self, guess: &Guess) -> u32 {
        guess.password.map_or(0, |password| self.count(Key::Password(password)))
    }
}
