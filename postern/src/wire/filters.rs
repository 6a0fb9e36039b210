//! Filters of others at the end of data: what they are told, and what they change. Promise: a recipient that a filter adds is admitted by the
//! same rules as one that a client names, a message that a filter takes all recipients from is held, and what a filter cannot be given is said in
//! the log.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postern_filters::{Change, Filters, Settings, Told};
use postern_mail::authenticity::AuthResult;
use postern_mail::envelope::DsnRequest;
use postern_mail::fact::ClientFacts;
use postern_mail::filter::{FilterSaid, FilterWord};
use postern_mail::{Envelope, Mailbox, Mode, Outage, Quoted, Recipient, ReversePath, Secret};
use postern_policy::Directory as _;
use postern_policy::facts::{Found, RecipientFacts};
use postern_policy::rules::filters::FILTER;
use postern_smtp::body::Cleanliness;
use postern_smtp::machine::TraceFacts;
use postern_spool::Writer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::wire::Live;
use crate::wire::directory::Directory;

/// The filters of a configuration.
///
/// # Errors
/// In words, for the operator: a password cannot be read.
pub(crate) fn of(config: &postern_config::Config) -> Result<Filters, String> {
    let policy = &config.policy;
    let with_password = |one: &postern_config::Rspamd| {
        let password = one.password_file.as_ref().map(|path| {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>(Secret::new(text.lines().next().unwrap_or_default().as_bytes().to_vec()))
        });
        Ok::<_, String>((one.clone(), password.transpose()?))
    };
    Ok(Filters::new(&Settings {
        clamav: policy.clamav.clone(),
        rspamd: policy.rspamd.iter().map(with_password).collect::<Result<_, _>>()?,
        milters: policy.milters.clone(),
        message_bytes_max: usize::try_from(config.limits.message_size.0).unwrap_or(usize::MAX),
    }))
}

/// How long a message waits for memory to be shown in; then its client is told to come again.
const ROOM_TIMEOUT: Duration = Duration::from_secs(60);

/// Memory for messages that are shown to filters, in KiB: as much again as `policy.examine_memory`, so that filters that are slow keep nobody from
/// being looked at. One client has half of it at most.
pub(crate) struct Rooms {
    all: Arc<Semaphore>,
    size: u32,
    of_clients: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
    timeout: Duration,
}

/// Room for one message.
pub(crate) struct Room {
    _of_client: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Rooms {
    /// As configured.
    pub(crate) fn new(config: &postern_config::Config) -> Self {
        Self::of(u32::try_from(config.policy.examine_memory.0 / 1024).unwrap_or(u32::MAX), ROOM_TIMEOUT)
    }

    fn of(size: u32, timeout: Duration) -> Self {
        let size = size.clamp(2, u32::MAX >> 4);
        let all = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(usize::MAX)));
        Self { all, size, of_clients: Mutex::default(), timeout }
    }

    /// Room for a message of so many octets in memory; one that is larger than a client's share has all of that.
    ///
    /// # Errors
    /// There is none in time.
    async fn room(&self, client: IpAddr, octets: u64) -> Result<Room, Outage> {
        let share = self.size / 2;
        let wanted = u32::try_from(octets / 1024 + 1).unwrap_or(u32::MAX).min(share);
        let own = {
            let mut of_clients = self.of_clients.lock().unwrap_or_else(PoisonError::into_inner);
            // Who has a message here, or waits with one, holds it too: there are no more of them than connections.
            of_clients.retain(|_, own| Arc::strong_count(own) > 1);
            let new = || Arc::new(Semaphore::new(usize::try_from(share).unwrap_or(usize::MAX)));
            Arc::clone(of_clients.entry(network(client)).or_insert_with(new))
        };
        let both = async {
            let of_client = own.acquire_many_owned(wanted).await;
            Some(Room { _of_client: of_client.ok()?, _of_all: Arc::clone(&self.all).acquire_many_owned(wanted).await.ok()? })
        };
        tokio::time::timeout(self.timeout, both).await.ok().flatten().ok_or(Outage::Overload)
    }
}

/// What one client may have of addresses.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}

/// A message that is all there.
pub(crate) struct Whole<'a> {
    pub(crate) client: &'a ClientFacts,
    pub(crate) envelope: &'a mut Envelope,
    pub(crate) trace: &'a TraceFacts,
    pub(crate) writer: &'a mut Writer,
    /// Octets of ours before what came.
    pub(crate) ours: usize,
    /// What was found out about it.
    pub(crate) found: &'a Found,
}

/// Asks the filters that want to see it, and changes it as they want.
///
/// # Errors
/// As the spool says: the message cannot be read back, or not be written as it was changed.
pub(crate) async fn ask(live: &Live, whole: Whole<'_>) -> Result<Vec<FilterSaid>, Outage> {
    let Whole { client, envelope, trace, writer, ours, found } = whole;
    let mode = live.policy.modes.of(FILTER);
    if mode == Mode::Off || !live.filters.want(client.listener, writer.size()) {
        return Ok(Vec::new());
    }
    let mut recipients: Vec<Mailbox> = envelope.recipients.iter().map(|to| to.address().clone()).collect();
    let mut seen = BTreeSet::new();
    recipients.retain(|to| seen.insert(to.to_string()));
    let id = writer.id().to_string();
    let helo = trace.helo.to_string();
    // What came, what a filter makes of it, and what is sent to it.
    let _room = live.filter_rooms.room(client.address, writer.size().saturating_mul(3)).await?;
    let written = writer.read_back(usize::MAX).await?;
    let (front, message) = written.split_at_checked(ours).unwrap_or((&[], &written));
    let told = Told {
        hostname: &live.hostname,
        id: &id,
        client: client.address,
        port: client.port,
        client_name: client_name(found),
        listener: client.listener,
        helo: &helo,
        tls: trace.tls.as_ref().map(|tls| (tls.version, &*tls.cipher)),
        // A relay network has an account that is counted, and nobody logged in for it.
        account: trace.who.as_ref().map(|who| &**who.account()),
        from: &envelope.from,
        recipients: &recipients,
        message,
    };
    let mut came = live.filters.ask(&told).await;
    if mode == Mode::Observe {
        return Ok(came.said);
    }
    let rewritten = came.message.map(|message| [front, &message].concat());
    drop(written);
    if let Some(rewritten) = rewritten {
        let mut clean = Cleanliness::new();
        if let Err(fault) = clean.scan(&rewritten).and_then(|()| clean.finish()) {
            return Err(Outage::Service(format!("filters made a message that cannot be sent: {fault}")));
        }
        writer.rewrite(&rewritten).await?;
    }
    let before = envelope.recipients.clone();
    for change in &came.changes {
        change_envelope(live, client, (envelope, trace), change);
    }
    if envelope.recipients.is_empty() {
        envelope.recipients = before;
        hold(&mut came.said);
    }
    Ok(came.said)
}

/// A message that filters took all recipients from goes to nobody, and is not lost: a person looks at it.
fn hold(said: &mut [FilterSaid]) {
    let passed = |one: &&mut FilterSaid| !one.observed && matches!(one.word, FilterWord::Pass | FilterWord::Points(_));
    if let Some(one) = said.iter_mut().rev().find(passed) {
        one.word = FilterWord::Hold;
        "nobody is left to deliver it to".clone_into(&mut one.words);
    }
}

/// The client's name, where one was found that leads back to it.
fn client_name(found: &Found) -> Option<&str> {
    let iprev = found.authenticity.as_ref()?.iprev.as_ref()?;
    (iprev.result == AuthResult::Pass).then(|| iprev.name.as_str()).filter(|name| !name.is_empty())
}

/// `<a@b>` with whatever parameters behind it.
fn in_brackets(text: &str) -> &str {
    text.trim().strip_prefix('<').and_then(|rest| rest.split('>').next()).unwrap_or(text.trim())
}

fn change_envelope(live: &Live, client: &ClientFacts, (envelope, trace): (&mut Envelope, &TraceFacts), change: &Change) {
    let not_done = |what: &str, text: &str| {
        tracing::warn!(client = %client.address, address = %Quoted::text(text), "a filter {what}, which is not done");
    };
    match change {
        Change::From(text) => match in_brackets(text) {
            "" => envelope.from = ReversePath::Null,
            address => match Mailbox::parse(address) {
                Ok(mailbox) => envelope.from = ReversePath::Mailbox(mailbox),
                Err(_) => not_done("wants a sender that is no address", text),
            },
        },
        Change::RemoveRecipient(text) => {
            let Ok(mailbox) = Mailbox::parse(in_brackets(text)) else { return };
            envelope.recipients.retain(|to| *to.address() != mailbox);
        }
        Change::AddRecipient(text) => {
            let Ok(to) = Mailbox::parse(in_brackets(text)) else {
                return not_done("adds a recipient that is no address", text);
            };
            if envelope.recipients.iter().any(|there| *there.address() == to) {
                return;
            }
            let facts = RecipientFacts {
                client,
                to: &to,
                who: trace.who.as_ref(),
                scope: None,
                listed: &[],
                greylist: None,
                suppressed: None,
            };
            let hosted = Directory(&live.config).hosted(&to);
            match live.policy.recipient(&facts, &hosted).1 {
                Some(admission) if envelope.recipients.len() < RECIPIENTS_MAX => {
                    let added = Recipient::admitted(to, &admission, DsnRequest::default());
                    let mut alone = Envelope { recipients: vec![added], ..envelope.clone() };
                    crate::wire::routing::expand_aliases(&mut alone, &live.config);
                    // Whom an alias leads to may be there already.
                    let there: HashSet<Mailbox> = envelope.recipients.iter().map(|to| to.address().clone()).collect();
                    envelope.recipients.extend(alone.recipients.into_iter().filter(|to| !there.contains(to.address())));
                }
                _ => not_done("adds a recipient that the client could not have named", text),
            }
        }
        Change::Add { .. } | Change::Insert { .. } | Change::Replace { .. } | Change::RemoveAll { .. } | Change::Body(_) => {}
    }
}

/// Recipients of a message that filters add to.
const RECIPIENTS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_client_leaves_room_for_others_and_who_finds_none_is_told_to_come_again() {
        let rooms = Rooms::of(100, Duration::from_millis(50));
        let client = |text: &str| text.parse::<IpAddr>().unwrap();
        let large = rooms.room(client("2001:db8::1"), 1 << 30).await.unwrap();
        assert!(matches!(rooms.room(client("2001:db8::2"), 10).await, Err(Outage::Overload)), "its share is used");
        let other = rooms.room(client("192.0.2.7"), 40 << 10).await.unwrap();
        assert!(matches!(rooms.room(client("192.0.2.8"), 40 << 10).await, Err(Outage::Overload)), "all is used");
        drop((large, other));
        assert!(rooms.room(client("2001:db8::2"), 10).await.is_ok());
        assert_eq!(rooms.of_clients.lock().unwrap().len(), 1, "who has nothing here is forgotten");
    }

    #[test]
    fn only_a_name_that_leads_back_to_the_client_is_told() {
        use postern_mail::authenticity::{Authenticity, Iprev};
        for (result, told) in [(AuthResult::Pass, Some("mail.there.example")), (AuthResult::Fail, None)] {
            let iprev = Some(Iprev { result, name: "mail.there.example".into() });
            let found =
                Found { authenticity: Some(Box::new(Authenticity { iprev, ..Authenticity::default() })), ..Found::default() };
            assert_eq!(client_name(&found), told);
        }
    }

    #[test]
    fn a_message_without_recipients_is_held_by_the_last_that_had_nothing_against_it() {
        let one = |word, observed| FilterSaid { filter: "f".into(), word, words: String::new(), observed };
        let mut said = [one(FilterWord::Pass, false), one(FilterWord::Pass, true)];
        hold(&mut said);
        assert_eq!((&said[0].word, &said[1].word), (&FilterWord::Hold, &FilterWord::Pass));
    }
}
