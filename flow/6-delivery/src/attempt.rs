//! One attempt, from the first connect to an outcome for every recipient. Promise: whatever the hosts do, there is one outcome per
//! recipient, in their order, after a bounded time; and no recipient whose reply we have read is ever tried again in the same attempt.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use postern_mail::{Outcome, TlsSession};
use tokio::time::timeout;

use crate::chosen::{Chosen, choose};
use crate::classify::{self, Failure, Stage};
use crate::connect::{self, Endpoint};
use crate::connection::{Connection, Introduction, Wire};
use crate::dialogue::Trouble;
use crate::dialogue::hello::Proof;
use crate::dialogue::transaction::{Content, Step, Transaction, breaks_require_tls, demands_tls, needs_body_facts, obstacle};
use crate::next_hop::{Credentials, Message, NextHop, Protocol, TlsPolicy};
use crate::reuse::Shelf;
use crate::send_body::{BodyTrouble, Prepared, last_words};
use crate::settings::Settings;
use crate::tally::{Board, Tally, Useless, lost, summary};
use crate::tls_policy::{TlsClient, TlsWish};

mod inquiry;

pub use inquiry::Inquiry;

/// What a connection can be used for again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    endpoint: Endpoint,
    protocol: Protocol,
    tls: TlsPolicy,
    user: Option<Box<str>>,
}

impl Key {
    fn of(hop: &NextHop, host: &Chosen) -> Self {
        let user = hop.credentials.as_ref().map(|credentials| credentials.user.clone());
        Self { endpoint: host.endpoint.clone(), protocol: hop.protocol, tls: host.tls.clone(), user }
    }
}

/// What happened since the start, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections opened.
    pub opened: u64,
    /// Messages that went over a kept connection.
    pub reused: u64,
    /// Kept connections that turned out to be dead when they were used.
    pub found_dead: u64,
    /// Times a handshake failed and the mail went in clear, as `opportunistic` allows.
    pub tls_fallbacks: u64,
}

#[derive(Debug, Default)]
struct Counters {
    opened: AtomicU64,
    reused: AtomicU64,
    found_dead: AtomicU64,
    tls_fallbacks: AtomicU64,
}

/// Delivers to next hops and keeps connections between messages. One per process, shared.
pub struct Delivery {
    settings: Settings,
    hostname: Arc<str>,
    tls: TlsClient,
    kept: Mutex<Shelf<Key, Connection>>,
    counters: Counters,
}

/// How a conversation ended.
enum End {
    /// Nobody is left.
    Full,
    /// The connection may carry no more messages, and somebody is left.
    Exhausted,
    /// Nothing came of it.
    Useless(Useless),
}

/// How a transaction ended.
enum Transacted {
    /// The connection can go on.
    Ended,
    /// The connection is over; what that means for those who had no turn.
    Over(Outcome),
    /// The connection was over before the host had answered anything.
    Unheard(Outcome),
}

impl Delivery {
    /// Ready to deliver; connects to nothing yet.
    #[must_use]
    pub fn new(settings: Settings, tls: TlsClient) -> Self {
        let kept = Mutex::new(Shelf::new(settings.kept_max, settings.kept_per_key_max, settings.kept_idle));
        let hostname = Arc::from(&*settings.hostname);
        Self { settings, hostname, tls, kept, counters: Counters::default() }
    }

    /// Delivers a message to a next hop. One outcome per recipient, in their order.
    pub async fn deliver(&self, hop: &NextHop, message: Message<'_>) -> Vec<Outcome> {
        self.deliver_and_tell(hop, message, &mut Vec::new()).await
    }

    /// The same, and how the TLS of each session went that was begun for it.
    pub async fn deliver_and_tell(&self, hop: &NextHop, message: Message<'_>, told: &mut Vec<TlsSession>) -> Vec<Outcome> {
        if message.recipients.is_empty() {
            return Vec::new();
        }
        let mut board = Board::of(message.recipients.len());
        let limit = self.settings.timeouts.attempt;
        let timed_out = timeout(limit, self.attempt(hop, message, &mut board, told)).await.is_err();
        let rest = if timed_out {
            classify::of_failure(Stage::Body, &Failure::TimedOut(limit), "")
        } else {
            // `attempt` settles everybody; this is what a mistake in it would look like.
            classify::of_failure(Stage::Connect, &Failure::Lost("the attempt ended without an outcome".to_owned()), "")
        };
        board.outcomes(&rest)
    }

    /// Closes connections that were idle for too long. To be called about once a second.
    pub async fn close_idle(&self) {
        let old = self.shelf(|shelf| shelf.expire(now()));
        for connection in old {
            connection.quit().await;
        }
    }

    /// Closes all kept connections, at the end.
    pub async fn close_all(&self) {
        for connection in self.shelf(Shelf::clear) {
            connection.quit().await;
        }
    }

    /// Connections idle now.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.shelf(|shelf| shelf.len())
    }

    /// What happened since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { opened, reused, found_dead, tls_fallbacks } = &self.counters;
        Counts { opened: read(opened), reused: read(reused), found_dead: read(found_dead), tls_fallbacks: read(tls_fallbacks) }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn tls(&self) -> &TlsClient {
        &self.tls
    }

    fn shelf<T>(&self, work: impl FnOnce(&mut Shelf<Key, Connection>) -> T) -> T {
        work(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn attempt(&self, hop: &NextHop, message: Message<'_>, board: &mut Board, told: &mut Vec<TlsSession>) {
        let endpoints = match connect::endpoints(hop, &self.settings) {
            Ok(endpoints) => endpoints,
            Err(outcome) => return board.settle_rest(&outcome),
        };
        let relayed_safely = demands_tls(message.envelope, hop.protocol);
        let (chosen, mut useless) = choose(endpoints, &hop.tls, relayed_safely, told);
        let key = |host: &Chosen| Key::of(hop, host);
        for key in chosen.iter().map(key) {
            let Some(connection) = self.take_kept(&key).await else { continue };
            self.count(|counters| &counters.reused);
            match self.converse(connection, key, message, board).await {
                End::Full => return,
                End::Exhausted => {}
                // It died while it was kept: a fresh one shows what the host thinks.
                End::Useless(_) => self.count(|counters| &counters.found_dead),
            }
            break;
        }
        for host in &chosen {
            loop {
                match self.open_and_converse(hop, host, key(host), (message, &mut *board, &mut *told)).await {
                    End::Full => return,
                    End::Exhausted => {}
                    End::Useless(host) => {
                        useless.push(host);
                        break;
                    }
                }
            }
        }
        if let Some(outcome) = summary(useless, relayed_safely) {
            board.settle_rest(&outcome);
        }
    }

    async fn open_and_converse(
        &self,
        hop: &NextHop,
        host: &Chosen,
        key: Key,
        (message, board, told): (Message<'_>, &mut Board, &mut Vec<TlsSession>),
    ) -> End {
        match self.open_as_allowed(hop, host, told).await {
            Ok(connection) => self.converse(connection, key, message, board).await,
            Err(trouble) => End::Useless(Useless::because(&trouble, &host.by())),
        }
    }

    async fn open_as_allowed(&self, hop: &NextHop, host: &Chosen, told: &mut Vec<TlsSession>) -> Result<Connection, Trouble> {
        let wish = host.tls.wish();
        let opened = self.open(hop, host, wish).await;
        host.note(&opened, told);
        // RFC 7435 §3: mail that may go in clear is not held up by a handshake that fails. An injected reply is no failed handshake.
        if let Err(Trouble::Failure(Stage::StartTls, Failure::Handshake(why))) = &opened
            && wish == TlsWish::IfOffered
            && hop.credentials.is_none()
        {
            tracing::info!(host = %host.endpoint, why, "the TLS handshake failed; sending in clear, as `opportunistic` allows");
            self.count(|counters| &counters.tls_fallbacks);
            return self.open(hop, host, TlsWish::Never).await;
        }
        opened
    }

    async fn open(&self, hop: &NextHop, host: &Chosen, wish: TlsWish) -> Result<Connection, Trouble> {
        let Chosen { endpoint, tls, .. } = host;
        let Settings { egress, timeouts, messages_per_connection_max, .. } = &self.settings;
        let dialed = connect::connect(endpoint, egress, timeouts.connect).await;
        let dialed = dialed.map_err(|failure| Trouble::Failure(Stage::Connect, failure))?;
        self.count(|counters| &counters.opened);
        let introduction = Introduction {
            hostname: Arc::clone(&self.hostname),
            protocol: hop.protocol,
            wish,
            tls,
            credentials: hop.credentials.as_ref().map(proof),
            name: match endpoint {
                Endpoint::Tcp { name, .. } => name,
                Endpoint::Unix(_) => "",
            },
            by: host.by(),
            messages_max: *messages_per_connection_max,
        };
        Connection::begin(dialed, introduction, &self.tls, timeouts).await
    }

    /// A kept connection that looks alive.
    async fn take_kept(&self, key: &Key) -> Option<Connection> {
        loop {
            let mut connection = self.shelf(|shelf| shelf.take(now(), key))?;
            if connection.is_quiet().await {
                return Some(connection);
            }
            self.count(|counters| &counters.found_dead);
        }
    }

    /// Sends the message to everybody still open, in as many transactions as the host's limits ask for.
    async fn converse(&self, mut connection: Connection, key: Key, message: Message<'_>, board: &mut Board) -> End {
        if breaks_require_tls(&connection.peer, message.envelope) {
            let trouble = Trouble::Failure(Stage::Hello, Failure::RequireTlsNotOffered);
            let useless = Useless::because(&trouble, &connection.by);
            self.keep(key, connection).await;
            return End::Useless(useless);
        }
        let facts_needed = needs_body_facts(&connection.peer, message.envelope);
        let body = match Prepared::new(message.body, self.settings.at_once_bytes_max, facts_needed).await {
            Ok(body) => body,
            Err(trouble) => {
                board.settle_rest(&trouble.outcome(message.id));
                self.keep(key, connection).await;
                return End::Full;
            }
        };
        let by = Arc::clone(&connection.by);
        if let Some(outcome) = obstacle(&connection.peer, message.envelope, body.bytes(), body.facts(), &by) {
            board.settle_rest(&outcome);
        }
        // RFC 9422 §4.2: no more recipients in one transaction than RCPTMAX.
        let offered =
            connection.peer.offered.recipients_max.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let recipients_max = self.settings.recipients_max.min(offered).max(1);
        let mut worked = false;
        loop {
            let some: Vec<usize> = board.open().take(recipients_max).collect();
            if some.is_empty() {
                self.keep(key, connection).await;
                return End::Full;
            }
            if connection.messages_left == 0 {
                connection.quit().await;
                return End::Exhausted;
            }
            connection.messages_left -= 1;
            match self.transact(&mut connection, message, &body, &some, board).await {
                Transacted::Ended => worked = true,
                Transacted::Over(outcome) => {
                    board.settle_rest(&outcome);
                    return End::Full;
                }
                // It took some and closed between two messages, as it may; a fresh connection takes more.
                Transacted::Unheard(_) if worked => return End::Exhausted,
                Transacted::Unheard(outcome) => {
                    return End::Useless(Useless { outcome, about_tls: false, lacks_require_tls: false });
                }
            }
        }
    }

    /// One transaction. Its outcomes go to the board as they come, so that none is lost if the attempt runs out of time.
    async fn transact(
        &self,
        connection: &mut Connection,
        message: Message<'_>,
        body: &Prepared<'_>,
        some: &[usize],
        board: &mut Board,
    ) -> Transacted {
        let timeouts = &self.settings.timeouts;
        let Connection { wire, peer, by, dirty, .. } = connection;
        let content = Content { envelope: message.envelope, bytes: body.bytes(), at_once: body.is_at_once() };
        let recipients = some.iter().filter_map(|at| message.recipients.get(*at).map(|recipient| (*at, recipient)));
        let mut transaction = Transaction::new(peer, by, content, recipients, *dirty);
        let mut tally = Tally::default();
        let mut step = transaction.begin(&mut wire.out);
        while !matches!(step, Step::Done | Step::Close) {
            step = match step {
                Step::Body(form) => match body.send(wire, form, timeouts.data_piece).await {
                    Ok(()) => transaction.after_body(),
                    Err(BodyTrouble::Wire(failure)) => {
                        last_words(wire, &mut transaction, failure).await;
                        Step::Close
                    }
                    Err(trouble) => {
                        transaction.abandon(&trouble.outcome(message.id));
                        Step::Close
                    }
                },
                _ => self.exchange(wire, &mut transaction).await,
            };
            if transaction.was_heard() {
                tally.take(transaction.take_settled(), board);
            }
        }
        *dirty = transaction.left_dirty();
        let unheard = step == Step::Close && !transaction.was_heard();
        // The last one: those before it may be about single recipients that were never asked for.
        if unheard && let Some((_, outcome)) = transaction.take_settled().next_back() {
            return Transacted::Unheard(outcome);
        }
        tally.take(transaction.take_settled(), board);
        let reason = tally.end(board);
        if step == Step::Done { Transacted::Ended } else { Transacted::Over(reason.unwrap_or_else(|| lost(by))) }
    }

    /// Sends what is to be sent, and takes the next reply.
    async fn exchange(&self, wire: &mut Wire, transaction: &mut Transaction<'_>) -> Step {
        let timeouts = &self.settings.timeouts;
        let stage = transaction.awaited().unwrap_or(Stage::Body);
        if let Err(failure) = wire.flush(timeouts.data_piece).await {
            last_words(wire, transaction, failure).await;
            return Step::Close;
        }
        match wire.reply(timeouts.of(stage)).await {
            Ok(reply) => transaction.on_reply(&reply, &mut wire.out),
            Err(failure) => {
                transaction.lost(failure);
                Step::Close
            }
        }
    }

    async fn keep(&self, key: Key, mut connection: Connection) {
        connection.rest();
        if connection.messages_left > 0 && !connection.holds_unread() {
            match self.shelf(|shelf| shelf.put(now(), key, connection)) {
                None => return,
                Some(back) => connection = back,
            }
        }
        connection.quit().await;
    }

    fn count(&self, which: impl FnOnce(&Counters) -> &AtomicU64) {
        which(&self.counters).fetch_add(1, Ordering::Relaxed);
    }
}

/// Credentials with a nonce for this connection.
fn proof(credentials: &Arc<Credentials>) -> Proof {
    let mut random = [0; 18];
    // Without chance the nonce is all zeros: the host's own still keeps a recorded login from being played again.
    let _ = aws_lc_rs::rand::fill(&mut random);
    Proof { credentials: Arc::clone(credentials), nonce: postern_smtp::sasl::encode(&random) }
}

#[expect(clippy::disallowed_methods, reason = "idle connections are counted by the clock, and this crate is a hand")]
fn now() -> Instant {
    Instant::now()
}
