//! Guessed passwords: what was seen of them, and which claims are verified at all.
//!
//! Promise: a client that proved an account from its network before is always heard for that account, whatever strangers do to it; no
//! account is ever locked; and everything here counts names as they were given, so that an account that does not exist fares like one that
//! does.
//!
//! Counted are **faults**: wrong passwords, where the same wrong password for the same account from the same network is one fault however
//! often it comes (a phone with an old password). A SCRAM proof does not show its password: those of one address for one account are one fault of
//! the address, and no more of them are verified than the address may make faults.
//!
//! | counted by | at the limit, strangers | reported as an offence |
//! |---|---|---|
//! | address (/32, /64), in the window and in a day | are not verified | yes |
//! | network (/24, /48) | are not verified | only an address with half of its own limit: the rest is the doing of its neighbours |
//! | account | are slowed from half of it on, then not verified for this account | no |
//! | account and address, proofs by SCRAM | are not verified for this account | no |
//! | password, by the accounts it was wrong for | are not verified with this password | whoever tries it on a few accounts |
//! | address, claims that are refused; the same one again is none | | yes, at the limit of a day |
//! | account and network, where the network is familiar | are slowed, a few at a time | no |
//! | address, where the network is familiar, in a day | are as slow as may be, one at a time | yes |
//!
//! A claim from a familiar network that has waited as long as anybody may for others of its address is verified, unless that address has used
//! up the day: so a neighbour who guesses cannot keep an owner out.
//!
//! Trusted networks are not counted by address and network, and never reported. How much of anything is remembered is bounded; what is
//! forgotten first is what [`Tally`] and `recent.rs` say.

mod pending;
mod recent;

use std::net::IpAddr;
use std::time::Duration;

use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::guess::{Ending, Guess, GuessRuling, Tag, Unheard};
use postern_mail::offence::Offence;
use postern_mail::tally::Tally;

use self::pending::Pending;
use self::recent::Recent;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A wrong password that comes again within this time is the same fault; each time it comes begins it anew.
const SAME_FAULT_FOR: Duration = DAY;
/// The first step of slowing; each further fault doubles it.
const SLOWED_FIRST: Duration = Duration::from_millis(500);
/// So many accounts may one address try a sprayed password on before it is an offender: more than a family behind one address has of them.
const SPRAY_TRIES: u32 = 3;
/// Where a familiar network has guessed too often, so many claims of one of its addresses for this account are verified at once.
const FAMILIAR_AT_ONCE: u32 = 2;
/// The shortest slowing of an address that has guessed for a whole day's worth in familiar networks, whatever the setting says.
const SLOWED_AT_LEAST: Duration = Duration::from_secs(2);
/// Of such an address, so many claims are verified at once for all accounts.
const SLOWED_AT_ONCE: u32 = 4;
/// Claims judged at once; far more than slow hashes and those that wait for one.
const PENDING_MAX: usize = 20_000;
/// When to ask again, where only the claims that are being verified stand in the way: about the time of a few slow hashes.
const AGAIN: Duration = Duration::from_millis(200);

/// What is counted, and up to where. The binary fills it from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardSettings {
    /// Faults of one address within the window.
    pub failures_per_address: u32,
    /// Faults of one address within a day, so that patience does not help.
    pub failures_per_address_daily: u32,
    /// Faults of one network within the window.
    pub failures_per_network: u32,
    /// Faults for one account by strangers within the window.
    pub failures_per_account: u32,
    /// How often one address may repeat what is known to be wrong within the window.
    pub repeats_per_address: u32,
    /// Accounts on which one password was wrong within the window before it counts as sprayed.
    pub spray_accounts: u32,
    /// The time in which faults are counted.
    pub window: Duration,
    /// The longest time a claim is slowed.
    pub slowed_longest: Duration,
}

/// An offence of a client, to be told to whoever bans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accusation {
    /// Who.
    pub client: IpAddr,
    /// Of what.
    pub offence: Offence,
    /// For a person to read; holds nothing a peer wrote.
    pub evidence: String,
}

/// What is known of one password, by its tag.
#[derive(Debug)]
struct Spray {
    /// Names it was wrong for; never more than it takes to call it sprayed.
    accounts: Vec<Tag>,
    began: UnixMillis,
    sprayed_until: UnixMillis,
}

/// Sees all claims and judges them.
#[derive(Debug)]
pub struct AuthGuard {
    settings: GuardSettings,
    hosts: Tally<Subnet>,
    hosts_daily: Tally<Subnet>,
    networks: Tally<Subnet>,
    accounts: Tally<Tag>,
    familiar: Tally<(Tag, Subnet)>,
    repeats: Tally<Subnet>,
    spraying: Tally<Subnet>,
    /// Wrong passwords from familiar networks, for all accounts together, within a day.
    familiar_hosts: Tally<Subnet>,
    /// Claims that were not even verified, equal ones once, within a day.
    refused: Tally<Subnet>,
    /// Wrong proofs by SCRAM for one account, in the window and in a day.
    proofs: Tally<(Tag, Subnet)>,
    proofs_daily: Tally<(Tag, Subnet)>,
    /// When a wrong password for an account last came from a network.
    wrong: Recent<(Tag, Tag, Subnet), UnixMillis>,
    /// The same for sprayed passwords, which are not verified.
    unverified: Recent<(Tag, Tag, Subnet), UnixMillis>,
    passwords: Recent<Tag, Spray>,
    pending: Pending,
}

/// Whether it is new, and remembers it from now on.
fn is_first(seen: &mut Recent<(Tag, Tag, Subnet), UnixMillis>, now: UnixMillis, claim: (Tag, Tag, Subnet)) -> bool {
    let mut is_new = false;
    let last = seen.touch(claim, || {
        is_new = true;
        now
    });
    let is_stale = now.since(*last) >= SAME_FAULT_FOR;
    *last = now;
    is_new || is_stale
}

fn guessing(guess: &Guess, evidence: String) -> Accusation {
    Accusation { client: guess.client, offence: Offence::AuthGuess, evidence }
}

fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds.is_multiple_of(60) { format!("{} min", seconds / 60) } else { format!("{seconds} s") }
}

impl AuthGuard {
    /// Remembers up to `entries` of each kind. Memory is some hundred octets for each.
    #[must_use]
    pub fn new(settings: GuardSettings, entries: usize) -> Self {
        Self {
            settings,
            hosts: Tally::new(entries),
            hosts_daily: Tally::new(entries),
            networks: Tally::new(entries / 2),
            accounts: Tally::new(entries),
            familiar: Tally::new(entries / 4),
            repeats: Tally::new(entries / 4),
            spraying: Tally::new(entries / 4),
            familiar_hosts: Tally::new(entries / 4),
            refused: Tally::new(entries / 4),
            proofs: Tally::new(entries / 4),
            proofs_daily: Tally::new(entries / 4),
            wrong: Recent::new(entries),
            unverified: Recent::new(entries / 2),
            passwords: Recent::new(entries / 2),
            pending: Pending::default(),
        }
    }

    /// Other settings from now on; what was seen stays.
    pub fn adjust(&mut self, settings: GuardSettings) {
        self.settings = settings;
    }

    /// Before a claim is verified. For each [`GuessRuling::Verify`], and for no other, [`AuthGuard::after`] must be told how it ended.
    pub fn before(&mut self, now: UnixMillis, guess: &Guess, is_trusted: bool) -> (GuessRuling, Option<Accusation>) {
        if self.pending.len() >= PENDING_MAX {
            return (GuessRuling::Refuse(Unheard::Crowd), None);
        }
        let (ruling, mut accusation) =
            if guess.is_familiar { (self.familiar(now, guess), None) } else { self.stranger(now, guess, is_trusted) };
        if let GuessRuling::Refuse(why) = ruling
            && !is_trusted
        {
            accusation = accusation.or_else(|| self.hammers(now, guess, why));
        }
        if let GuessRuling::Verify { .. } = ruling {
            self.pending.enter(guess);
        }
        (ruling, accusation)
    }

    /// A claim that was to be verified has come to its end.
    pub fn after(&mut self, now: UnixMillis, guess: &Guess, is_trusted: bool, ending: Ending) -> Option<Accusation> {
        self.pending.leave(guess);
        if ending != Ending::Wrong {
            return None;
        }
        let (host, network) = (Subnet::host(guess.client), Subnet::network(guess.client));
        let GuardSettings { window, failures_per_address, failures_per_address_daily, failures_per_network, .. } = self.settings;
        if let Some(password) = guess.password {
            if !is_first(&mut self.wrong, now, (guess.account, password, network)) {
                self.repeats.add(now, host, 1, window);
                return None;
            }
            self.note_password(now, guess.account, password);
        }
        if guess.is_familiar {
            self.familiar.add(now, (guess.account, network), 1, window);
            let of_day = self.familiar_hosts.add(now, host, 1, DAY);
            // Said once: those after it are the same offence.
            let is_news = of_day == failures_per_address_daily && !is_trusted;
            return is_news.then(|| {
                guessing(guess, format!("{of_day} wrong passwords from {host} within a day, for accounts that are known there"))
            });
        }
        self.accounts.add(now, guess.account, 1, window);
        if guess.password.is_none() {
            self.proofs.add(now, (guess.account, host), 1, window);
            if self.proofs_daily.add(now, (guess.account, host), 1, DAY) > 1 {
                return None;
            }
        }
        if is_trusted {
            return None;
        }
        let of_host = self.hosts.add(now, host, 1, window);
        let of_day = self.hosts_daily.add(now, host, 1, DAY);
        let of_network = self.networks.add(now, network, 1, window);
        let evidence = if of_host >= failures_per_address {
            format!("{of_host} wrong passwords from {host} within {}", minutes(window))
        } else if of_day >= failures_per_address_daily {
            format!("{of_day} wrong passwords from {host} within a day")
        } else if of_network >= failures_per_network && of_host >= failures_per_address.div_ceil(2) {
            format!("{of_network} wrong passwords from {network} within {}, {of_host} of them from {host}", minutes(window))
        } else {
            return None;
        };
        Some(guessing(guess, evidence))
    }

    /// A claim that was told to ask again has waited for as long as anybody may. As with [`AuthGuard::before`], [`AuthGuard::after`] must be told.
    pub fn at_last(&mut self, now: UnixMillis, guess: &Guess) -> GuessRuling {
        let is_heard = guess.is_familiar && !self.is_worn_out(now, guess) && self.pending.len() < PENDING_MAX;
        if !is_heard {
            return GuessRuling::Refuse(Unheard::Crowd);
        }
        self.pending.enter(guess);
        GuessRuling::Verify { after: Duration::ZERO }
    }

    /// A person says it was wrong to ban these: nothing of them is held against them any more.
    pub fn pardon(&mut self, of: Subnet) {
        for tally in [
            &mut self.hosts,
            &mut self.hosts_daily,
            &mut self.networks,
            &mut self.repeats,
            &mut self.spraying,
            &mut self.familiar_hosts,
            &mut self.refused,
        ] {
            tally.forget_where(|key| of.covers(key));
        }
        for tally in [&mut self.proofs, &mut self.proofs_daily] {
            tally.forget_where(|(_, host)| of.covers(host));
        }
        // A single address is held back by the count of its network too; that one stays, since it is its neighbours' as well.
    }

    /// What is held against a client, for a person to read.
    #[must_use]
    pub fn held(&self, now: UnixMillis, client: IpAddr) -> Vec<String> {
        let (host, network) = (Subnet::host(client), Subnet::network(client));
        let window = self.settings.window;
        let counts = [
            (self.hosts.get(now, host, window), format!("wrong passwords from {host} within {}", minutes(window))),
            (self.hosts_daily.get(now, host, DAY), format!("wrong passwords from {host} within a day")),
            (self.networks.get(now, network, window), format!("wrong passwords from {network} within {}", minutes(window))),
            (
                self.familiar_hosts.get(now, host, DAY),
                format!("wrong passwords from {host} within a day, for accounts that are known there"),
            ),
            (self.refused.get(now, host, DAY), format!("attempts from {host} that were not verified within a day")),
        ];
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
    }

    /// It has guessed for a whole day's worth from where its accounts are known.
    fn is_worn_out(&self, now: UnixMillis, guess: &Guess) -> bool {
        self.familiar_hosts.get(now, Subnet::host(guess.client), DAY) >= self.settings.failures_per_address_daily
    }

    /// Of a client that proved the account from here before. It is always heard; guessing within a familiar network is made slow.
    fn familiar(&self, now: UnixMillis, guess: &Guess) -> GuessRuling {
        let (host, window) = (Subnet::host(guess.client), self.settings.window);
        if self.is_repeat(now, guess) {
            return if self.repeats.get(now, host, window) >= self.settings.repeats_per_address {
                GuessRuling::Refuse(Unheard::Repeated)
            } else {
                GuessRuling::Verify { after: Duration::ZERO }
            };
        }
        if self.is_worn_out(now, guess) {
            if self.pending.of_familiar(guess) >= 1 || self.pending.of_familiar_host(guess) >= SLOWED_AT_ONCE {
                return GuessRuling::AskAgain { after: AGAIN };
            }
            return GuessRuling::Verify { after: self.settings.slowed_longest.max(SLOWED_AT_LEAST) };
        }
        let wrong = self.familiar.get(now, (guess.account, Subnet::network(guess.client)), window);
        let over = wrong.saturating_sub(self.settings.failures_per_address);
        if over == 0 {
            return GuessRuling::Verify { after: Duration::ZERO };
        }
        if self.pending.of_familiar(guess) >= FAMILIAR_AT_ONCE {
            return GuessRuling::AskAgain { after: AGAIN };
        }
        GuessRuling::Verify { after: self.slowed(over) }
    }

    /// A claim that is refused costs nothing, and who makes one after the other is an offender all the same. The same one again is not counted.
    fn hammers(&mut self, now: UnixMillis, guess: &Guess, why: Unheard) -> Option<Accusation> {
        let is_counted = matches!(why, Unheard::Account | Unheard::Address | Unheard::Network | Unheard::Repeated);
        // Proofs by SCRAM for one account are one claim: they cannot be told apart.
        let password = guess.password.unwrap_or(guess.account);
        if !is_counted || !is_first(&mut self.unverified, now, (guess.account, password, Subnet::network(guess.client))) {
            return None;
        }
        let host = Subnet::host(guess.client);
        let count = self.refused.add(now, host, 1, DAY);
        let evidence = format!("{count} attempts from {host} within a day that were not even verified");
        (count >= self.settings.failures_per_address_daily).then(|| guessing(guess, evidence))
    }

    fn stranger(&mut self, now: UnixMillis, guess: &Guess, is_trusted: bool) -> (GuessRuling, Option<Accusation>) {
        let window = self.settings.window;
        let (host, network) = (Subnet::host(guess.client), Subnet::network(guess.client));
        let refuse = |why| (GuessRuling::Refuse(why), None);
        let of_host = self.hosts.get(now, host, window);
        let of_day = self.hosts_daily.get(now, host, DAY);
        let of_network = self.networks.get(now, network, window);
        let of_account = self.accounts.get(now, guess.account, window);
        if !is_trusted {
            if of_host >= self.settings.failures_per_address || of_day >= self.settings.failures_per_address_daily {
                return refuse(Unheard::Address);
            }
            if of_network >= self.settings.failures_per_network {
                return refuse(Unheard::Network);
            }
        }
        // Before the account is looked at, so that who sprays is known by it also where the accounts are under attack already.
        if self.is_sprayed(now, guess) {
            let accusation = self.sprayer(now, guess).filter(|_| !is_trusted);
            return (GuessRuling::Refuse(Unheard::Sprayed), accusation);
        }
        if of_account >= self.settings.failures_per_account {
            return refuse(Unheard::Account);
        }
        if guess.password.is_none() && self.proofs_exceed(now, guess, 0) {
            return refuse(Unheard::Repeated);
        }
        let is_repeat = self.is_repeat(now, guess);
        if is_repeat && !is_trusted && self.repeats.get(now, host, window) >= self.settings.repeats_per_address {
            return refuse(Unheard::Repeated);
        }
        if !is_repeat && self.would_exceed(now, guess, is_trusted, [of_host, of_day, of_network, of_account]) {
            return (GuessRuling::AskAgain { after: AGAIN }, None);
        }
        let over = of_account.saturating_sub(self.settings.failures_per_account / 2);
        let after = if is_repeat { Duration::ZERO } else { self.slowed(over) };
        (GuessRuling::Verify { after }, None)
    }

    /// True where a limit would be passed if all that is being verified were wrong.
    fn would_exceed(&self, now: UnixMillis, guess: &Guess, is_trusted: bool, counts: [u32; 4]) -> bool {
        let [of_host, of_day, of_network, of_account] = counts;
        let settings = &self.settings;
        let over = |count: u32, pending: u32, limit: u32| count.saturating_add(pending) >= limit;
        if guess.password.is_none() && self.proofs_exceed(now, guess, self.pending.of_host(guess)) {
            return true;
        }
        let of_origin = !is_trusted
            && (over(of_host, self.pending.of_host(guess), settings.failures_per_address)
                || over(of_day, self.pending.of_host(guess), settings.failures_per_address_daily)
                || over(of_network, self.pending.of_network(guess), settings.failures_per_network));
        of_origin
            || over(of_account, self.pending.of_account(guess), settings.failures_per_account)
            || over(self.names_tried(now, guess), self.pending.of_password(guess), settings.spray_accounts)
    }

    /// True where no more proofs by SCRAM of this address for this account are verified, if these that are pending are wrong.
    fn proofs_exceed(&self, now: UnixMillis, guess: &Guess, pending: u32) -> bool {
        let key = (guess.account, Subnet::host(guess.client));
        let of_window = self.proofs.get(now, key, self.settings.window).saturating_add(pending);
        let of_day = self.proofs_daily.get(now, key, DAY).saturating_add(pending);
        of_window >= self.settings.failures_per_address || of_day >= self.settings.failures_per_address_daily
    }

    /// It can make no new fault: it is known to be wrong, or an equal one is being verified.
    fn is_repeat(&self, now: UnixMillis, guess: &Guess) -> bool {
        let known = guess.password.and_then(|password| {
            let seen = self.wrong.get(&(guess.account, password, Subnet::network(guess.client)))?;
            (now.since(*seen) < SAME_FAULT_FOR).then_some(())
        });
        known.is_some() || self.pending.holds(guess)
    }

    fn slowed(&self, over: u32) -> Duration {
        let Some(doublings) = over.checked_sub(1) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        SLOWED_FIRST.saturating_mul(factor).min(self.settings.slowed_longest)
    }

    /// A new fault with this password.
    fn note_password(&mut self, now: UnixMillis, account: Tag, password: Tag) {
        let (window, enough) = (self.settings.window, self.settings.spray_accounts);
        let spray = self.passwords.touch(password, || Spray { accounts: Vec::new(), began: now, sprayed_until: UnixMillis(0) });
        if now.since(spray.began) >= window && now >= spray.sprayed_until {
            *spray = Spray { accounts: Vec::new(), began: now, sprayed_until: UnixMillis(0) };
        }
        let has_room = u32::try_from(spray.accounts.len()).is_ok_and(|count| count < enough);
        if has_room && !spray.accounts.contains(&account) {
            spray.accounts.push(account);
        }
        if u32::try_from(spray.accounts.len()).is_ok_and(|count| count >= enough) {
            spray.sprayed_until = now.plus(window);
        }
    }

    /// Names this password was wrong for within the window.
    fn names_tried(&self, now: UnixMillis, guess: &Guess) -> u32 {
        let spray = guess.password.and_then(|password| self.passwords.get(&password));
        let spray = spray.filter(|spray| now.since(spray.began) < self.settings.window || now < spray.sprayed_until);
        spray.map_or(0, |spray| u32::try_from(spray.accounts.len()).unwrap_or(u32::MAX))
    }

    fn is_sprayed(&self, now: UnixMillis, guess: &Guess) -> bool {
        let spray = guess.password.and_then(|password| self.passwords.get(&password));
        spray.is_some_and(|spray| now < spray.sprayed_until)
    }

    /// A stranger came with a sprayed password: it stays sprayed for as long as it is tried on more accounts, and who tries it on a few is an
    /// offender. The same one again is neither.
    fn sprayer(&mut self, now: UnixMillis, guess: &Guess) -> Option<Accusation> {
        let password = guess.password?;
        let (host, window) = (Subnet::host(guess.client), self.settings.window);
        if !is_first(&mut self.unverified, now, (guess.account, password, Subnet::network(guess.client))) {
            return None;
        }
        self.note_password(now, guess.account, password);
        let tries = self.spraying.add(now, host, 1, window);
        let evidence = format!("tried sprayed passwords on {tries} accounts from {host} within {}", minutes(window));
        (tries >= SPRAY_TRIES).then_some(Accusation { client: guess.client, offence: Offence::Spray, evidence })
    }
}

#[cfg(test)]
mod tests;
