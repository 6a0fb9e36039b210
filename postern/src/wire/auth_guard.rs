//! The one owner of what was seen of guessed passwords, asked before each is verified. Promise: its lock is held for moments, never over a
//! hash, a disk or a wait.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use ipnet::IpNet;
use postern_config::Config;
use postern_mail::Reply;
use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::Answer;
use postern_mail::guess::{Ending, Guess, GuessRuling, Unheard};
use postern_outcome::{Accusation, AuthGuard as Head, GuardSettings};
use postern_state::Guard;

use crate::wire::{Server, clock, live};

/// Guards the accounts.
pub(crate) struct AuthGuard {
    head: Mutex<Head>,
    trusted: RwLock<Vec<IpNet>>,
    /// Who bans.
    server: OnceLock<Weak<Server>>,
}

fn settings(config: &Config) -> GuardSettings {
    let auth = &config.auth;
    GuardSettings {
        failures_per_address: auth.failures_per_address,
        failures_per_address_daily: auth.failures_per_address_daily,
        failures_per_network: auth.failures_per_network,
        failures_per_account: auth.failures_per_account,
        repeats_per_address: auth.repeats_per_address,
        spray_accounts: auth.spray_accounts,
        window: auth.window,
        slowed_longest: auth.slowed_longest,
    }
}

impl AuthGuard {
    pub(crate) fn new(config: &Config) -> Self {
        let head = Head::new(settings(config), live::number(config.auth.remembered_failures));
        let trusted = RwLock::new(config.server.trusted_networks.clone());
        Self { head: Mutex::new(head), trusted, server: OnceLock::new() }
    }

    /// From now on, who has guessed too often is banned by this server.
    pub(crate) fn report_to(&self, server: &Arc<Server>) {
        let _ = self.server.set(Arc::downgrade(server));
    }

    /// A reload. What was seen stays.
    pub(crate) fn adjust(&self, config: &Config) {
        self.head().adjust(settings(config));
        self.trusted.write().unwrap_or_else(PoisonError::into_inner).clone_from(&config.server.trusted_networks);
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_trusted(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.trusted.read().unwrap_or_else(PoisonError::into_inner).iter().any(|network| network.contains(&client))
    }

    fn server(&self) -> Option<Arc<Server>> {
        self.server.get().and_then(Weak::upgrade)
    }

    fn accuse(&self, accusation: Option<Accusation>) {
        let Some(Accusation { client, offence, evidence }) = accusation else { return };
        if let Some(server) = self.server() {
            // A claim may have waited for long since its time was taken: a ban begins now.
            server.offence(clock(), client, offence, evidence);
        }
    }

    /// Nothing of these is held against them any more.
    pub(crate) fn pardon(&self, of: Subnet) {
        self.head().pardon(of);
    }

    /// What is held against a client, for a person to read.
    pub(crate) fn held(&self, now: UnixMillis, client: IpAddr) -> Vec<String> {
        self.head().held(now, client)
    }
}

impl Guard for AuthGuard {
    fn before(&self, now: UnixMillis, guess: &Guess) -> GuessRuling {
        // Counting by an address that is everybody's would refuse everybody.
        let is_trusted = self.is_trusted(guess.client) || self.is_everybodys(now, guess.client);
        let (ruling, accusation) = self.head().before(now, guess, is_trusted);
        self.accuse(accusation);
        ruling
    }

    fn after(&self, now: UnixMillis, guess: &Guess, ending: Ending) {
        let is_trusted = self.is_trusted(guess.client) || self.is_everybodys(now, guess.client);
        let accusation = self.head().after(now, guess, is_trusted, ending);
        self.accuse(accusation);
    }

    fn at_last(&self, now: UnixMillis, guess: &Guess) -> GuessRuling {
        self.head().at_last(now, guess)
    }

    fn is_everybodys(&self, now: UnixMillis, client: IpAddr) -> bool {
        self.server().is_some_and(|server| server.bans.is_everybodys(now, client))
    }
}

/// What an unheard client is told: that it may come again, and nothing of the account. Who has used up what its address may do is sent away.
pub(crate) fn unheard(why: Unheard, hostname: &str) -> (Answer, Reply) {
    match why {
        Unheard::Address | Unheard::Network => {
            let reply = Reply::too_many_faults(hostname);
            (Answer::Hangup(reply.clone()), reply)
        }
        // RFC 4954 §6: 454, so that the owner's program keeps the password and comes again.
        Unheard::Account | Unheard::Sprayed | Unheard::Repeated | Unheard::Crowd => {
            let reply = Reply::authentication_unavailable();
            (Answer::Refuse(reply.clone()), reply)
        }
    }
}
