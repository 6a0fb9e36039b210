//! Filters of others at the end of data: what they are told, and what they change of the message. Promise: a message that cannot be read back
//! is taken by nobody unseen, one that filters made unfit to be sent is not taken, and who is not shown one because of its size says so.

mod recipients;

pub(crate) use self::recipients::Recipients;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postern_filters::{Filters, Settings, Told};
use postern_mail::authenticity::AuthResult;
use postern_mail::fact::ClientFacts;
use postern_mail::filter::FilterSaid;
use postern_mail::{Mode, Outage, Secret};
use postern_policy::facts::Found;
use postern_policy::rules::filters::FILTER;
use postern_smtp::body::Cleanliness;
use postern_smtp::machine::TraceFacts;
use postern_spool::Writer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::wire::{Live, Server};

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
    pub(crate) recipients: Recipients<'a>,
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
pub(crate) async fn ask(server: &Server, live: &Live, whole: Whole<'_>) -> Result<Vec<FilterSaid>, Outage> {
    let Whole { client, recipients, trace, writer, ours, found } = whole;
    let mode = live.policy.modes.of(FILTER);
    if mode == Mode::Off {
        return Ok(Vec::new());
    }
    let size = writer.size().saturating_sub(ours as u64);
    if !live.filters.want(client.listener, size) {
        return Ok(live.filters.unshown(client.listener, size));
    }
    let named = recipients.named();
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
        from: &recipients.envelope.from,
        recipients: &named,
        message,
    };
    let mut came = live.filters.ask(&told, mode).await;
    let rewritten = came.message.take().map(|message| [front, &message].concat());
    drop(written);
    if let Some(rewritten) = rewritten {
        sendable(&rewritten)?;
        writer.rewrite(&rewritten).await?;
    }
    recipients.change((server, live), (client, trace), &mut came).await;
    Ok(came.said)
}

/// What is accepted can be sent on, whatever filters made of it.
fn sendable(message: &[u8]) -> Result<(), Outage> {
    let mut clean = Cleanliness::new();
    let scanned = clean.scan(message).and_then(|()| clean.finish());
    scanned.map_err(|fault| Outage::Service(format!("filters made a message that cannot be sent: {fault}")))
}

/// The client's name, where one was found that leads back to it.
fn client_name(found: &Found) -> Option<&str> {
    let iprev = found.authenticity.as_ref()?.iprev.as_ref()?;
    (iprev.result == AuthResult::Pass).then(|| iprev.name.as_str()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
