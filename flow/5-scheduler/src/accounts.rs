//! The names of accounts with mail in the queue, once each. Promise: a name is forgotten with its last ticket.

use std::collections::HashMap;
use std::sync::Arc;

use crate::store::{Slab, Slot};

/// The number of mail that belongs to no account: from other servers, and reports.
pub(crate) const NO_ACCOUNT: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Accounts {
    known: Slab<Account>,
    by_name: HashMap<Arc<str>, Slot>,
}

#[derive(Debug)]
struct Account {
    name: Arc<str>,
    tickets: u32,
}

impl Accounts {
    pub(crate) fn new() -> Self {
        Self { known: Slab::new(), by_name: HashMap::new() }
    }

    /// Counts one ticket more for an account and gives its number.
    pub(crate) fn enter(&mut self, name: Option<Arc<str>>) -> u32 {
        let Some(name) = name else { return NO_ACCOUNT };
        if let Some((slot, account)) = self.by_name.get(&name).and_then(|slot| Some((*slot, self.known.get_mut(*slot)?))) {
            account.tickets = account.tickets.saturating_add(1);
            return slot;
        }
        let Some(slot) = self.known.insert(Account { name: name.clone(), tickets: 1 }) else { return NO_ACCOUNT };
        self.by_name.insert(name, slot);
        slot
    }

    /// Counts one ticket less.
    pub(crate) fn leave(&mut self, number: u32) {
        let Some(account) = self.known.get_mut(number) else { return };
        account.tickets = account.tickets.saturating_sub(1);
        if account.tickets > 0 {
            return;
        }
        if let Some(account) = self.known.remove(number) {
            self.by_name.remove(&account.name);
            if self.by_name.is_empty() {
                self.by_name.shrink_to_fit();
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}
