//! Asks the host of a domain who exists there, while the sender is waiting. Promise: no question is asked twice at the same time or while its answer is
//! remembered; a client waits no longer than the deadline; and what cannot be found out is never a no for good.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use postern_config::{CallAhead, Config, Recipients, Resolution, WhenDown};
use postern_delivery::Inquiry;
use postern_mail::attempt::Destination;
use postern_mail::envelope::UnixMillis;
use postern_mail::trouble::Outage;
use postern_mail::{Domain, Mailbox, Quoted};
use postern_policy::Directory as _;
use postern_policy::facts::HostedAnswer;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use crate::wire::directory::Directory;
use crate::wire::routing::{self, Way};
use crate::wire::{Live, Server, clock, live};

/// Recipients that are asked about at the same time share this many locks.
const TURNS: usize = 64;

/// What is remembered of each domain whose host is asked. It begins anew with each reload: the host may be another.
pub(crate) struct Keeper(HashMap<Domain, Book>);

struct Book {
    known: StdMutex<Known>,
    /// One question at a time for each recipient.
    turns: [Mutex<()>; TURNS],
    hasher: RandomState,
    at_once: Semaphore,
}

/// What the host has said.
#[derive(Default)]
struct Known {
    said: HashMap<Box<str>, (bool, UnixMillis)>,
    /// It gave no answer, and is not asked before this.
    paused: Option<(UnixMillis, Arc<str>)>,
}

impl Known {
    fn remembered(&self, name: &str, now: UnixMillis) -> Option<bool> {
        self.said.get(name).filter(|(_, until)| *until > now).map(|(exists, _)| *exists)
    }

    /// Makes room by what is over, and where nothing is, by an arbitrary one: a flood of names costs questions, not memory.
    fn remember(&mut self, name: &str, exists: bool, (now, keep): (UnixMillis, Duration), most: usize) {
        if keep.is_zero() {
            return;
        }
        if self.said.len() >= most && !self.said.contains_key(name) {
            self.said.retain(|_, (_, until)| *until > now);
            if self.said.len() >= most {
                // An eighth at once, so that the next ones find room without looking through all of them.
                let mut over = (most / 8).max(1);
                self.said.retain(|_, _| {
                    let goes = over > 0;
                    over = over.saturating_sub(1);
                    !goes
                });
            }
        }
        self.said.insert(name.into(), (exists, now.plus(keep)));
    }
}

impl Keeper {
    /// Nothing is known yet.
    #[must_use]
    pub(crate) fn new(config: &Config) -> Self {
        let of = |settings: &CallAhead| Book {
            known: StdMutex::default(),
            turns: std::array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
            at_once: Semaphore::new(live::number(settings.at_once)),
        };
        let books = config.domains.iter().filter_map(|domain| match &domain.recipients {
            Recipients::CallAhead(settings) => Some((domain.name.clone(), of(settings))),
            _ => None,
        });
        Self(books.collect())
    }
}

/// Whether a recipient is ours and exists: by the configuration, and where that leaves it to the host of the domain, by the host.
pub(crate) async fn hosted(server: &Server, live: &Live, to: &Mailbox) -> HostedAnswer {
    let by_config = Directory(&live.config).hosted(to);
    if live.call_ahead.0.is_empty() || !matches!(by_config, HostedAnswer::Exists) {
        return by_config;
    }
    // What an alias names elsewhere is the operator's word.
    let Some(Resolution::Deliver(mailbox)) = live.config.resolve(to) else { return by_config };
    let Some(domain) = live.config.domain_of(&mailbox) else { return by_config };
    let (Recipients::CallAhead(settings), Some(book)) = (&domain.recipients, live.call_ahead.0.get(&domain.name)) else {
        return by_config;
    };
    let asked_at = AtomicU64::new(u64::MAX);
    // A whole delivery as far as RCPT: not to be set aside for each recipient that needs none.
    let asking = Box::pin(book.ask((server, live), (settings, &asked_at), &domain.name, &mailbox));
    let answer = match timeout(settings.deadline, asking).await {
        Ok(answer) => answer,
        Err(_) => {
            // Of the time, a question may have spent most waiting for its turn, which says nothing about the host.
            let asking = clock().0.saturating_sub(asked_at.into_inner());
            if u128::from(asking) >= settings.deadline.as_millis() / 2 {
                book.pause(settings, "no answer in time");
            }
            Err("no answer in time".into())
        }
    };
    match answer {
        Ok(true) => HostedAnswer::Exists,
        Ok(false) => HostedAnswer::Unknown,
        Err(_) if settings.when_down == WhenDown::Accept => HostedAnswer::Exists,
        Err(why) => HostedAnswer::Unavailable(Outage::Service(format!("the host of {} cannot say: {why}", domain.name))),
    }
}

impl Book {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known without asking.
    fn look(&self, name: &str) -> Option<Result<bool, Arc<str>>> {
        let (now, known) = (clock(), self.known());
        let paused = || known.paused.as_ref().filter(|(until, _)| *until > now).map(|(_, why)| Err(Arc::clone(why)));
        known.remembered(name, now).map(Ok).or_else(paused)
    }

    fn pause(&self, settings: &CallAhead, why: &str) {
        self.known().paused = Some((clock().plus(settings.pause), why.into()));
    }

    async fn ask(
        &self,
        (server, live): (&Server, &Live),
        (settings, asked_at): (&CallAhead, &AtomicU64),
        domain: &Domain,
        mailbox: &Mailbox,
    ) -> Result<bool, Arc<str>> {
        // Upper and lower case are the same in a domain of ours.
        let name = mailbox.local.to_string().to_lowercase();
        if let Some(said) = self.look(&name) {
            return said;
        }
        let turn = usize::try_from(self.hasher.hash_one(&name)).unwrap_or(usize::MAX) % TURNS;
        let _turn = match self.turns.get(turn) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let _place = self.at_once.acquire().await;
        // Whoever was before us may have asked the same, or found nobody there.
        if let Some(said) = self.look(&name) {
            return said;
        }
        asked_at.store(clock().0, Ordering::Relaxed);
        let destination = Destination::Hosted(domain.clone());
        let inquiry = match routing::way(live, &server.sts, &destination).await {
            Ok(Way::Hop(hop)) => live.delivery.ask(&hop, mailbox).await,
            Ok(_) => return Ok(true),
            Err(outcome) => Inquiry::Trouble(outcome.evidence().text.to_string()),
        };
        let most = live::number(settings.remembered);
        match inquiry {
            Inquiry::Taken => {
                self.known().remember(&name, true, (clock(), settings.known_for), most);
                Ok(true)
            }
            Inquiry::Refused(said) => {
                tracing::debug!(recipient = %Quoted::text(&mailbox.to_string()), said = %Quoted::text(&said), "the host knows nobody of this name");
                self.known().remember(&name, false, (clock(), settings.unknown_for), most);
                Ok(false)
            }
            Inquiry::NotNow(said) => Err(said.into()),
            Inquiry::Trouble(why) => {
                tracing::warn!(%domain, why = %Quoted::text(&why), "the host that knows the recipients gives no answer");
                self.pause(settings, &why);
                Err(why.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_ends_in_time_and_never_grows_over_its_limit() {
        let mut known = Known::default();
        let (begin, keep) = (UnixMillis(1_000), Duration::from_secs(10));
        known.remember("alice", true, (begin, keep), 16);
        assert_eq!(known.remembered("alice", UnixMillis(10_999)), Some(true));
        assert_eq!(known.remembered("alice", UnixMillis(11_000)), None);
        for number in 0..1_000 {
            known.remember(&format!("n{number}"), false, (begin, keep), 16);
            assert!(known.said.len() <= 16);
        }
        assert_eq!(known.remembered("n999", begin), Some(false), "the newest is there");
        while known.said.len() < 16 {
            known.remember(&format!("more{}", known.said.len()), false, (begin, keep), 16);
        }
        known.remember("later", true, (UnixMillis(20_000), keep), 16);
        assert_eq!(known.said.len(), 1, "what is over goes first");
    }
}
