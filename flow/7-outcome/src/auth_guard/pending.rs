//! Claims that are being verified at this moment, by everything they are counted by. Promise: what is being verified counts as if it were
//! wrong already, so that no number of connections at once gets more guesses through than one after the other would.
//!
//! Equal claims count once: twenty workers that start with one password are one claim.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

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
}

/// What is equal: by whether it is familiar too, since that decides what it is counted by.
type Claim = (Tag, Tag, Subnet, bool);

/// Counts of what is being verified; bounded by the callers' [`Pending::len`].
#[derive(Debug, Default)]
pub(super) struct Pending {
    counts: HashMap<Key, u32>,
    /// How many are equal, and the first of them: all are counted as its, wherever in the network the others come from and whichever is the last.
    equals: HashMap<Claim, (u32, Guess)>,
    claims: usize,
}

fn claim(guess: &Guess) -> Option<Claim> {
    guess.password.map(|password| (guess.account, password, Subnet::network(guess.client), guess.is_familiar))
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
    fn add(&mut self, guess: &Guess) {
        for key in keys(guess).into_iter().flatten() {
            *self.counts.entry(key).or_default() += 1;
        }
    }

    fn take(&mut self, guess: &Guess) {
        for key in keys(guess).into_iter().flatten() {
            if let Entry::Occupied(mut count) = self.counts.entry(key) {
                *count.get_mut() = count.get().saturating_sub(1);
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    fn count(&self, key: Key) -> u32 {
        self.counts.get(&key).copied().unwrap_or_default()
    }

    pub(super) fn enter(&mut self, guess: &Guess) {
        self.claims += 1;
        let Some(claim) = claim(guess) else { return self.add(guess) };
        let (equals, _) = self.equals.entry(claim).or_insert((0, *guess));
        *equals += 1;
        if *equals == 1 {
            self.add(guess);
        }
    }

    pub(super) fn leave(&mut self, guess: &Guess) {
        self.claims = self.claims.saturating_sub(1);
        let Some(claim) = claim(guess) else { return self.take(guess) };
        if let Entry::Occupied(mut known) = self.equals.entry(claim) {
            let (equals, first) = known.get_mut();
            *equals = equals.saturating_sub(1);
            if *equals == 0 {
                let first = *first;
                known.remove();
                self.take(&first);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.claims
    }

    /// An equal one is being verified.
    pub(super) fn holds(&self, guess: &Guess) -> bool {
        claim(guess).is_some_and(|claim| self.equals.contains_key(&claim))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(client: &str, is_familiar: bool) -> Guess {
        Guess { client: client.parse().unwrap(), account: Tag::new(1), password: Some(Tag::new(7)), is_familiar }
    }

    #[test]
    fn equal_claims_from_two_hosts_of_a_network_leave_nothing_counted_whoever_goes_last() {
        for is_familiar in [false, true] {
            let (a, b) = (guess("192.0.2.1", is_familiar), guess("192.0.2.2", is_familiar));
            for [first, second] in [[&a, &b], [&b, &a]] {
                let mut pending = Pending::default();
                pending.enter(&a);
                pending.enter(&b);
                assert!(pending.holds(&a) && pending.holds(&b));
                assert_eq!(pending.of_password(&a), 1, "equal ones are one");
                pending.leave(first);
                assert_eq!(pending.of_password(&a), 1, "the other is still being verified");
                pending.leave(second);
                assert!(pending.counts.is_empty() && pending.equals.is_empty() && pending.len() == 0, "{pending:?}");
            }
        }
    }
}
