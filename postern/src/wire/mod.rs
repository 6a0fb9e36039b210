//! Joins the steps. What is decided here is only who is asked, in which order; the answers come from heads.

pub(crate) mod acme;
pub(crate) mod admit;
pub(crate) mod auth_guard;
pub(crate) mod authenticity;
pub(crate) mod bans;
pub(crate) mod call_ahead;
pub(crate) mod control;
pub(crate) mod deliver;
pub(crate) mod directory;
pub(crate) mod dispatch;
pub(crate) mod dnsbl;
pub(crate) mod examine;
mod filters;
pub(crate) mod greylist;
pub(crate) mod guard;
pub(crate) mod inbound;
pub(crate) mod lists;
pub(crate) mod live;
pub(crate) mod login;
pub(crate) mod names;
mod outward;
pub(crate) mod reload;
pub(crate) mod report;
pub(crate) mod reports;
pub(crate) mod returns;
pub(crate) mod routing;
pub(crate) mod scope;
pub(crate) mod sealing;
pub(crate) mod signing;
pub(crate) mod strangers;
pub(crate) mod sts;
pub(crate) mod suppression;
pub(crate) mod tls_reports;
pub(crate) mod trail;
pub(crate) mod unused;
pub(crate) mod what_if;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use postern_delivery::Maildirs;
use postern_listener::{Ceiling, CertificateSlot};
use postern_mail::client::ListenerKind;
use postern_mail::envelope::UnixMillis;
use postern_mail::event::Event;
use postern_mail::fact::Fact;
use postern_mail::scope::AccountScope;
use postern_mail::session_id::SessionIds;
use postern_mail::{Envelope, MessageId, Quoted};
use postern_policy::facts::OwnedAddresses;
use postern_spool::Spool;
use postern_state::audit::chain::Act;
use postern_state::{Accounts, Audit, Authenticator, History, Lists, Owned, Quotas, Returns};
use tokio::sync::{Mutex, MutexGuard, mpsc, watch};

use crate::privilege::Confinement;
use crate::telemetry::{log, metrics::Metrics};
use crate::wire::dispatch::Order;
pub(crate) use crate::wire::live::Live;

/// Messages whose progress is being changed at the same time share this many locks.
const PROGRESS_LOCKS: usize = 64;

/// What all parts of the running server share.
pub(crate) struct Server {
    /// The configuration in force and what was made of it.
    pub live: ArcSwap<Live>,
    /// Accepted mail.
    pub spool: Spool,
    /// Who may submit mail.
    pub accounts: Arc<Accounts>,
    /// Verifies that.
    pub authenticator: Arc<Authenticator>,
    /// Networks, AS numbers and countries that have something said of them.
    pub lists: Arc<Lists>,
    /// Says which claims are verified.
    pub auth_guard: Arc<auth_guard::AuthGuard>,
    /// Lists that are asked by DNS.
    pub dnsbl: dnsbl::Keeper,
    /// Who is not let in.
    pub bans: Arc<bans::Keeper>,
    /// How much each account has sent.
    pub quotas: Arc<Quotas>,
    /// Keys of signatures.
    pub signing: signing::Keeper,
    /// What is counted for reports to others.
    pub reports: reports::Reporting,
    /// What other domains ask for on the way to them.
    pub sts: sts::Policies,
    /// How their TLS went.
    pub tls_reports: tls_reports::TlsReports,
    /// Stories of messages.
    pub history: History,
    /// Names of sessions.
    pub session_ids: SessionIds,
    /// Administrative acts.
    pub audit: Arc<Audit>,
    /// The scheduler's owner.
    pub dispatcher: mpsc::Sender<Order>,
    /// Mailboxes of this machine.
    pub maildirs: Maildirs,
    /// TLS for clients.
    pub tls: login::TlsByKind,
    /// The certificate in it.
    pub certificate: Arc<CertificateSlot>,
    /// Ceilings on connections.
    pub ceiling: Arc<Ceiling>,
    /// What strangers have sent and done wrong of late.
    pub strangers: strangers::Strangers,
    /// Who was told to come again.
    pub greylist: greylist::Keeper,
    /// Senders that mail left with.
    pub returns: Arc<Returns>,
    /// Who is not written to.
    pub suppression: suppression::Keeper,
    /// What each account did, against which it is measured.
    pub guard: guard::Keeper,
    /// Counters.
    pub metrics: Metrics,
    /// See [`Server::lock_progress`].
    pub progress_locks: [Mutex<()>; PROGRESS_LOCKS],
    /// What could be had of this kernel.
    pub confinement: Confinement,
    /// Files this process may have open.
    pub open_files_max: usize,
    /// When it began.
    pub began: Instant,
    /// Where it listens.
    pub listeners: Vec<(ListenerKind, SocketAddr)>,
}

/// The time, as it is written to disk.
#[expect(clippy::disallowed_methods, reason = "the one calendar of the server")]
#[must_use]
pub(crate) fn clock() -> UnixMillis {
    UnixMillis::from_system(SystemTime::now())
}

/// Resolves when the server is told to stop.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that whoever could tell is gone, which is a stop as well.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Locks for [`Server::progress_locks`].
#[must_use]
pub(crate) fn progress_locks() -> [Mutex<()>; PROGRESS_LOCKS] {
    std::array::from_fn(|_| Mutex::new(()))
}

impl Server {
    /// Something happened: log, metrics, history.
    pub(crate) fn emit(&self, event: Event) {
        log::write(&event);
        self.metrics.count(&event);
        self.history.record(clock(), event);
    }

    /// An administrative act was carried out, or failed: it goes into the audit log, and its hash into the server's own, so that it is kept in two
    /// places.
    ///
    /// # Errors
    /// When it could not be written, in words for whoever ordered it.
    pub(crate) async fn audit(&self, who: String, what: String, reason: String, result: String) -> Result<(), String> {
        let audit = Arc::clone(&self.audit);
        let written = tokio::task::spawn_blocking(move || {
            let act = Act { who: &who, what: &what, reason: &reason, result: &result };
            let hash = audit.append(clock(), act);
            if let Ok(hash) = &hash {
                tracing::info!(%who, what = %Quoted::text(&what), reason = %Quoted::text(&reason), result = %Quoted::text(&result), hash, "ordered by hand");
            }
            hash
        });
        let written = written.await.map_err(|error| error.to_string()).and_then(|done| done.map_err(|error| error.to_string()));
        written.map(drop).map_err(|error| {
            tracing::error!(error, "the audit log could not be written");
            format!("it could not be written into the audit log: {error}")
        })
    }

    /// A message is durable: tell the scheduler, then the world. When the scheduler cannot take it (it is full, or stopping), the
    /// message is as safe as before and is scheduled after the next start.
    pub(crate) async fn accepted(
        &self,
        id: MessageId,
        envelope: Envelope,
        size: u64,
        (held, not_before): (Option<String>, Option<UnixMillis>),
    ) {
        let live = self.live.load_full();
        let open = envelope.recipients.iter().map(|recipient| recipient.address());
        let tickets = routing::tickets(&live.config, id, &envelope, open, (not_before.unwrap_or(envelope.received), 0));
        self.emit(Event::Accepted {
            id,
            from: envelope.from,
            recipients: envelope.recipients.into_iter().map(|recipient| recipient.address().clone()).collect(),
            account: envelope.account,
            client: envelope.client,
            size,
        });
        let order = match held {
            None => Order::Insert(tickets),
            Some(reason) => {
                self.emit(Event::Ordered { id, what: "hold", reason });
                Order::InsertHeld(tickets)
            }
        };
        let _ = self.dispatcher.send(order).await;
    }

    /// The addresses an account may send as. One that was disabled or removed has none, so that sessions which logged in before send
    /// nothing more.
    #[must_use]
    pub(crate) fn owned_addresses(&self, account: &str) -> Fact<OwnedAddresses> {
        owned_addresses(&self.accounts, account)
    }

    /// Two lanes of one message may end at the same time; whoever changes its progress reads and writes it under this lock.
    pub(crate) async fn lock_progress(&self, id: MessageId) -> MutexGuard<'_, ()> {
        let [first, rest @ ..] = &self.progress_locks;
        let index = usize::try_from(id.0).unwrap_or(0) % PROGRESS_LOCKS;
        index.checked_sub(1).and_then(|index| rest.get(index)).unwrap_or(first).lock().await
    }
}

/// See [`Server::owned_addresses`].
#[must_use]
pub(crate) fn owned_addresses(accounts: &Accounts, account: &str) -> Fact<OwnedAddresses> {
    let mut owned = OwnedAddresses::default();
    if let Some(account) = accounts.find(account).filter(|account| !account.disabled) {
        for address in &account.addresses {
            match address {
                Owned::Address(mailbox) => owned.exact.push(mailbox.clone()),
                Owned::Domain(domain) => owned.domains.push(domain.clone()),
            }
        }
    }
    Fact::Known(owned)
}

/// What the rules are told of an account: its addresses and its scope.
#[must_use]
pub(crate) fn account_facts(accounts: &Accounts, account: &str) -> (Fact<OwnedAddresses>, AccountScope) {
    let scope = accounts.find(account).map(|account| account.scope.clone()).unwrap_or_default();
    (owned_addresses(accounts, account), scope)
}

impl postern_web::Source for Server {
    fn metrics(&self) -> String {
        self.metrics.text()
    }

    fn sts_policy(&self, host: &str) -> Option<String> {
        outward::own_policy(&self.live.load().config, host)
    }

    fn health(&self) -> Result<(), String> {
        self.spool.check_room().map_err(|outage| outage.to_string())
    }
}

#[cfg(test)]
mod tests;
