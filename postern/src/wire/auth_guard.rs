//! The one owner of what was seen of guessed passwords, asked before each is verified. Promise: its lock is held for moments, never over a
//! hash, a disk or a wait.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use ipnet::IpNet;
use postern_config::Config;
use postern_mail::Reply;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::Answer;
use postern_mail::guess::{Ending, Guess, GuessRuling, Unheard};
use postern_outcome::{Accusation, AuthGuard as Head, GuardSettings};
use postern_state::Guard;

use crate::wire::{Server, live};

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

    fn accuse(&self, now: UnixMillis, accusation: Option<Accusation>) {
        let Some(Accusation { client, offence, evidence }) = accusation else { return };
        tracing::warn!(%client, %offence, "{evidence}");
        if let Some(server) = self.server.get().and_then(Weak::upgrade) {
            server.offence(now, client, offence, evidence);
        }
    }
}

impl Guard for AuthGuard {
    fn before(&self, now: UnixMillis, guess: &Guess) -> GuessRuling {
        let is_trusted = self.is_trusted(guess.client);
        let (ruling, accusation) = self.head().before(now, guess, is_trusted);
        self.accuse(now, accusation);
        ruling
    }

    fn after(&self, now: UnixMillis, guess: &Guess, ending: Ending) {
        let is_trusted = self.is_trusted(guess.client);
        let accusation = self.head().after(now, guess, is_trusted, ending);
        self.accuse(now, accusation);
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
