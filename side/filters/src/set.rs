//! The filters of a configuration, asked about a message one after the other. Promise: each has its time and no more, and all together have
//! [`ALL_MAX`]; who was down again and again is not waited for; who is only observed changes nothing, and who is slow costs no other filter its
//! time or its name; once somebody refuses and that counts, nobody else is asked; and who a message is too large for is among those that said
//! something.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use postern_config::{Clamav, LmtpAddress, Milter, OnFound, Rspamd, RspamdUse, Size};
use postern_mail::client::ListenerKind;
use postern_mail::filter::{FILTERS_MAX, FilterSaid, FilterWord, OnFailure, bounded};
use postern_mail::{Mode, Reply, Secret, Status};
use tokio::sync::Semaphore;

use crate::breaker::Breaker;
use crate::changes::has_too_many_fields;
use crate::{Change, Opinion, Told, apply, clamav, milter, rspamd};

/// Messages that are shown to one filter at the same time; more wait, no longer than the filter may take.
const AT_ONCE_MAX: usize = 64;
/// What all filters together may take of a client's time: RFC 5321 §4.5.3.2.6 gives it ten minutes for the reply, and who gave up sends again.
const ALL_MAX: Duration = Duration::from_secs(240);

/// Whether a filter has been shown something of a message: what goes wrong later may be the message's fault.
#[derive(Debug, Default)]
pub(crate) struct Shown(AtomicBool);

impl Shown {
    pub(crate) fn begins(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the binary takes from the configuration. The passwords it has read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// `[[policy.clamav]]`.
    pub clamav: Vec<Clamav>,
    /// `[[policy.rspamd]]`, with their passwords.
    pub rspamd: Vec<(Rspamd, Option<Secret>)>,
    /// `[[policy.milter]]`.
    pub milters: Vec<Milter>,
    /// The largest body a filter may write.
    pub message_bytes_max: usize,
}

/// What came of asking them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Came {
    /// What each said, in order.
    pub said: Vec<FilterSaid>,
    /// The changes of all that count, in the order in which they are to be made.
    pub changes: Vec<Change>,
    /// The message with these changes, where they change it.
    pub message: Option<Vec<u8>>,
}

enum Kind {
    Clamav(OnFound),
    Rspamd(RspamdUse, Option<Secret>),
    Milter,
}

struct Filter {
    /// `milter unix:/run/opendkim.sock`.
    name: Arc<str>,
    kind: Kind,
    address: LmtpAddress,
    on_failure: OnFailure,
    timeout: Duration,
    observed: bool,
    listeners: Vec<ListenerKind>,
    message_bytes_max: u64,
    breaker: Mutex<Breaker>,
    turns: Semaphore,
}

/// The filters there are.
pub struct Filters {
    filters: Vec<Filter>,
    body_bytes_max: usize,
    all_max: Duration,
}

macro_rules! filter {
    ($one:expr, $name:literal, $kind:expr) => {
        Filter {
            name: format!(concat!($name, " {}"), $one.address).into(),
            kind: $kind,
            address: $one.address.0.clone(),
            on_failure: $one.on_failure,
            timeout: $one.timeout,
            observed: $one.mode == Mode::Observe,
            listeners: $one.listeners.clone(),
            message_bytes_max: $one.message_size.0,
            breaker: Mutex::default(),
            turns: Semaphore::new(AT_ONCE_MAX),
        }
    };
}

impl Filters {
    /// Those that are not off; `ClamAV` first, since it keeps the others from what would hurt them, milters last, since they sign what they see.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let clamav = settings.clamav.iter().filter(|one| one.mode != Mode::Off);
        let rspamd = settings.rspamd.iter().filter(|(one, _)| one.mode != Mode::Off);
        let milters = settings.milters.iter().filter(|one| one.mode != Mode::Off);
        let filters = clamav
            .map(|one| filter!(one, "clamav", Kind::Clamav(one.found)))
            .chain(rspamd.map(|(one, password)| filter!(one, "rspamd", Kind::Rspamd(one.usage, password.clone()))))
            .chain(milters.map(|one| filter!(one, "milter", Kind::Milter)))
            .take(FILTERS_MAX)
            .collect();
        Self { filters, body_bytes_max: settings.message_bytes_max, all_max: ALL_MAX }
    }

    /// Whether any of them wants to see a message of this listener and size: whoever asks reads it back only then.
    #[must_use]
    pub fn want(&self, listener: ListenerKind, size: u64) -> bool {
        self.filters.iter().any(|filter| filter.wants(listener, size))
    }

    /// Those that a message is too large for, in what the trail has of them: who looks for the reason why a virus came through finds it there.
    #[must_use]
    pub fn unshown(&self, listener: ListenerKind, size: u64) -> Vec<FilterSaid> {
        let too_large = |filter: &&Filter| filter.listeners.contains(&listener) && size > filter.message_bytes_max;
        let said = |filter: &Filter| {
            tracing::info!(filter = %filter.name, size, "a message was not shown to a filter: it is larger than message_size");
            FilterSaid {
                filter: Arc::clone(&filter.name),
                word: FilterWord::Pass,
                words: format!("not shown: larger than {}", Size(filter.message_bytes_max)),
                observed: filter.observed,
            }
        };
        self.filters.iter().filter(too_large).map(said).collect()
    }

    /// Asks them. `mode` is that of the rule which judges what they say: where it observes, nobody is kept from being asked by what another
    /// wants, and of what they want changed only fields of theirs are put in ([`Filter::adds`]).
    pub async fn ask(&self, told: &Told<'_>, mode: Mode) -> Came {
        let enforced = mode == Mode::Enforce;
        let mut came = Came { said: self.unshown(told.listener, told.message.len() as u64), ..Came::default() };
        let end = now() + self.all_max;
        for filter in self.filters.iter().filter(|filter| filter.wants(told.listener, told.message.len() as u64)) {
            let message = came.message.take();
            let opinion = {
                let told = Told { message: message.as_deref().unwrap_or(told.message), ..*told };
                if has_too_many_fields(told.message) {
                    too_many_fields()
                } else {
                    filter.ask(&told, self.body_bytes_max, end).await
                }
            };
            let counts = !filter.observed;
            let is_over =
                counts && enforced && matches!(opinion.word, FilterWord::Refuse(_) | FilterWord::Defer(_) | FilterWord::Discard);
            came.said.push(FilterSaid {
                filter: Arc::clone(&filter.name),
                word: opinion.word,
                words: opinion.words,
                observed: filter.observed,
            });
            // What is held and given back by a person is what the filters before this one made of it.
            came.message = message;
            if is_over {
                break;
            }
            if counts {
                let mut changes = opinion.changes;
                changes.retain(|change| enforced || filter.adds(change));
                let changed = apply(came.message.as_deref().unwrap_or(told.message), &changes);
                if let std::borrow::Cow::Owned(changed) = changed {
                    came.message = Some(changed);
                }
                // Those of the message are made: nobody needs another copy of a body.
                came.changes.extend(changes.into_iter().filter(Change::is_of_envelope));
            }
        }
        came
    }
}

impl Filter {
    fn wants(&self, listener: ListenerKind, size: u64) -> bool {
        self.listeners.contains(&listener) && size <= self.message_bytes_max
    }

    /// A field of a milter's own, or a signature: no verdict, and what is tried out must not turn off the signing of what leaves. The other
    /// fields of an rspamd say what it thinks of a message.
    fn adds(&self, change: &Change) -> bool {
        let (Change::Add { name, .. } | Change::Insert { name, .. }) = change else { return false };
        match self.kind {
            Kind::Milter => true,
            Kind::Rspamd(..) => name.eq_ignore_ascii_case(b"DKIM-Signature"),
            Kind::Clamav(_) => false,
        }
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        // It is replaced as a whole.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, told: &Told<'_>, body_bytes_max: usize, end: Instant) -> Opinion {
        let left = |start: Instant| end.saturating_duration_since(start).min(self.timeout);
        // Waiting is not the filter's time, and that it has too much to do is not its failure.
        let Ok(Ok(_turn)) = tokio::time::timeout(left(now()), self.turns.acquire()).await else {
            return self.down("too many messages wait for it");
        };
        let start = now();
        let time = left(start);
        if time.is_zero() {
            return self.down("those before it took all the time there is");
        }
        if !self.breaker().ask(start) {
            return self.down("it failed again and again, and is left alone for a while");
        }
        let shown = Shown::default();
        let asked = async {
            match &self.kind {
                Kind::Clamav(found) => clamav::ask(&self.address, told, *found, &shown).await,
                Kind::Rspamd(usage, password) => rspamd::ask(&self.address, told, (*usage, password.as_ref()), &shown).await,
                Kind::Milter => milter::ask(&self.address, told, body_bytes_max, &shown).await,
            }
        };
        // Boxed, so that a connection that is not about a message does not carry the room for it.
        let asked = tokio::time::timeout(time, Box::pin(asked)).await;
        if asked.is_err() && time < self.timeout {
            self.breaker().untried(now());
            return self.down("those before it took nearly all the time there is");
        }
        match asked.unwrap_or_else(|_| Err(format!("it did not answer within {} ms", time.as_millis()))) {
            Ok(opinion) => {
                self.breaker().succeeded();
                opinion
            }
            Err(why) => {
                let why = bounded(&why);
                let client = shown.0.load(Ordering::Relaxed).then_some(told.client);
                if self.breaker().failed(now(), client) {
                    tracing::error!(filter = %self.name, why = %postern_mail::Quoted::text(&why), "a filter fails again and again and is left alone for a while");
                } else {
                    tracing::warn!(filter = %self.name, why = %postern_mail::Quoted::text(&why), "a filter failed");
                }
                self.down(&why)
            }
        }
    }

    fn down(&self, why: &str) -> Opinion {
        Opinion::of(FilterWord::Down(self.on_failure), why)
    }
}

/// It cannot be shown, and is not taken unseen.
fn too_many_fields() -> Opinion {
    // RFC 3463 §3.7: 6.0 other media error.
    let reply = Reply::of_filter(554, Some(Status::new(5, 6, 0)), "The message has too many header fields".to_owned());
    Opinion::of(
        FilterWord::Refuse(reply.unwrap_or_else(Reply::refused_by_policy)),
        "it has more header fields than a filter is shown",
    )
}

#[expect(clippy::disallowed_methods, reason = "a filter that was down is left alone for a time, which nobody hands us")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
