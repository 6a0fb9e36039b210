//! Bans, joined: offences go in, the book of `7-outcome` decides, the set at the door is told at once, the store as soon as it can, and open
//! sessions of who was banned end. Promise: what a person was told is banned or lifted is so after a kill; and a flood of offenders costs a bounded
//! memory and one write for all that came meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_config::{BanReply, Config};
use postern_listener::{Door, Full};
use postern_mail::ban::{Ban, BanChange, By};
use postern_mail::client::{ListenerKind, Subnet};
use postern_mail::envelope::UnixMillis;
use postern_mail::event::Event;
use postern_mail::fact::ClientFacts;
use postern_mail::tally::Tally;
use postern_mail::{HeloName, Offence, Reply};
use postern_outcome::{BanSettings, Bans, Crowd, Judged, Refused, Spared, SparedAs};
use postern_state::{BanSet, BanStore};
use tokio::sync::{Notify, oneshot, watch};

use crate::control::Answer;
use crate::control::bans::{BanOrder, Desk, Mirrored, RefusedView, widest};
use crate::own_addresses;
use crate::wire::{Server, clock, lists, live, stopped};

/// How often it is looked for what has ended. The door itself knows the very millisecond.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How long a mirror waits for news; less than an order may take.
const MIRROR_WAIT: Duration = Duration::from_secs(25);
/// Hosts of which it is remembered that it was told why they are not banned.
const TOLD_MAX: usize = 1024;
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Book {
    bans: Bans,
    /// What the store does not know yet: one entry a network, so no more than the book has and had.
    pending: HashMap<Subnet, BanChange>,
}

/// Sessions that a ban would end: by address, so that those of a network stand together.
type Sessions = Mutex<BTreeMap<(IpAddr, u64), oneshot::Sender<Reply>>>;

/// Who is banned, and whom that concerns.
pub(crate) struct Keeper {
    book: Mutex<Book>,
    set: BanSet,
    store: Arc<dyn BanStore>,
    /// One write at a time, so that they reach the store in their order.
    writing: Arc<tokio::sync::Mutex<()>>,
    dirty: Notify,
    crowd: Mutex<Crowd>,
    /// When a public client was seen last, of IPv4 and of IPv6; beside the lock, since there can be many thousands a second.
    seen_public: [AtomicU64; 2],
    sessions: Arc<Sessions>,
    /// Of the last session; no number comes twice.
    last_session: AtomicU64,
    /// Hosts that were not banned though they offended, so that each is told of once an hour.
    told: Mutex<Tally<Subnet>>,
    /// When it was last complained of a store that fails.
    complained: AtomicU64,
    /// Counts changes, for those who follow.
    revision: watch::Sender<u64>,
    hostname: Box<str>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session that is still a stranger's. Takes itself off the list when it ends or is let go.
#[derive(Default)]
pub(crate) struct Watched {
    place: Option<(Arc<Sessions>, (IpAddr, u64))>,
    waiting: Option<oneshot::Receiver<Reply>>,
}

impl Watched {
    /// What resolves when it is to end.
    pub(crate) fn waiting(&mut self) -> Option<oneshot::Receiver<Reply>> {
        self.waiting.take()
    }

    /// It has shown who it is: a ban of its address, which others may share, ends it no more.
    pub(crate) fn let_go(&mut self) {
        if let Some((sessions, place)) = self.place.take() {
            lock(&sessions).remove(&place);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The rules of bans.
fn settings(config: &Config) -> BanSettings {
    let auth = &config.auth;
    BanSettings {
        first: auth.ban_first,
        factor: auth.ban_factor,
        longest: auth.ban_longest,
        memory: auth.ban_memory,
        widen_at: auth.ban_neighbours,
        bans_max: live::number(auth.bans_max),
    }
}

/// Who is never banned.
fn spared(config: &Config, own: &[SocketAddr]) -> Vec<Spared> {
    let network = |net: &ipnet::IpNet| Subnet::around(net.network(), net.prefix_len());
    let of = |reason| move |network| Spared { network, reason };
    let trusted = config.server.trusted_networks.iter().filter_map(network).map(of(SparedAs::Trusted));
    let proxies = config.listeners.iter().flat_map(|listener| &listener.proxy_protocol_from);
    let bound = own.iter().map(SocketAddr::ip).filter(|address| !address.is_unspecified());
    // Loopback is no exemption: anybody on this machine may come from there.
    let own = bound.chain(own_addresses::of_machine()).filter(|address| !address.is_loopback());
    let own = own.filter_map(|address| Subnet::around(address, if address.is_ipv4() { 32 } else { 128 }));
    trusted.chain(proxies.filter_map(network).map(of(SparedAs::Proxy))).chain(own.map(of(SparedAs::Own))).collect()
}

impl Keeper {
    /// Takes up what is kept. Blocks on the disk.
    ///
    /// # Errors
    /// In words, when the store cannot be read.
    pub(crate) fn open(store: Box<dyn BanStore>, config: &Config, own: &[SocketAddr]) -> Result<Self, String> {
        let spared = spared(config, own);
        let mut bans = Bans::new(settings(config), spared);
        let (kept, now) = (store.load().map_err(|failure| failure.to_string())?, clock());
        let changes = bans.load(now, kept);
        store.keep(&changes).map_err(|failure| failure.to_string())?;
        let keeper = Self {
            book: Mutex::new(Book { bans, pending: HashMap::new() }),
            set: BanSet::default(),
            store: Arc::from(store),
            writing: Arc::default(),
            dirty: Notify::new(),
            crowd: Mutex::default(),
            seen_public: [const { AtomicU64::new(0) }; 2],
            sessions: Arc::default(),
            last_session: AtomicU64::new(0),
            told: Mutex::new(Tally::new(TOLD_MAX)),
            complained: AtomicU64::new(0),
            // A mirror that followed the server before this one must not take its last revision for one of ours.
            revision: watch::Sender::new(now.0),
            hostname: config.server.hostname.as_str().into(),
        };
        {
            let book = lock(&keeper.book);
            keeper.spare(&book.bans);
            for ban in book.bans.list(now) {
                keeper.set.put(ban.of, ban.until);
            }
        }
        Ok(keeper)
    }

    fn spare(&self, bans: &Bans) {
        self.set.spare(bans.spared().iter().map(|spared| spared.network).collect());
    }

    /// How many networks are banned.
    pub(crate) fn active(&self) -> usize {
        self.set.len()
    }

    /// A client said EHLO. Of a private address the name says how many stand behind it; of a public one it does not matter.
    pub(crate) fn hello(&self, now: UnixMillis, client: IpAddr, name: &HeloName) {
        if postern_outcome::is_private(client) {
            lock(&self.crowd).hello(now, client, &name.to_string());
        } else {
            self.seen_public(now, client);
        }
    }

    /// What was seen of all clients, with the public ones.
    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        let mut crowd = lock(&self.crowd);
        let families = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])];
        for (at, any_public) in self.seen_public.iter().zip(families) {
            let at = at.swap(0, Ordering::Relaxed);
            if at > 0 {
                crowd.seen(UnixMillis(at), any_public);
            }
        }
        crowd
    }

    /// True where everybody seems to come from this address.
    pub(crate) fn is_everybodys(&self, now: UnixMillis, client: IpAddr) -> bool {
        // Nearly all addresses are public, and need no lock.
        postern_outcome::is_private(client) && self.crowd().is_shared(now, client)
    }

    fn seen_public(&self, now: UnixMillis, client: IpAddr) {
        let client = client.to_canonical();
        let [v4, v6] = &self.seen_public;
        if !postern_outcome::is_private(client) && !client.is_loopback() {
            (if client.is_ipv4() { v4 } else { v6 }).store(now.0, Ordering::Relaxed);
        }
    }

    /// What an operator should see to.
    pub(crate) fn warnings(&self, now: UnixMillis) -> Vec<String> {
        self.crowd().shared(now).map(everybody_is).into_iter().collect()
    }

    /// Puts a new session on the list of those that a ban would end.
    pub(crate) fn watch(&self, now: UnixMillis, client: IpAddr) -> Watched {
        let client = client.to_canonical();
        let (cut, waiting) = oneshot::channel();
        // Never one that was in use: a session that ends takes its entry out by it, and must not take another's.
        let place = (client, self.last_session.fetch_add(1, Ordering::Relaxed));
        lock(&self.sessions).insert(place, cut);
        let watched = Watched { place: Some((Arc::clone(&self.sessions), place)), waiting: Some(waiting) };
        // A ban that began between the door and here.
        if let Some(of) = self.set.covers(now, client) {
            self.cut_off(of);
        }
        watched
    }

    fn cut_off(&self, of: Subnet) {
        let mut sessions = lock(&self.sessions);
        let places = sessions.range((of.address(), 0)..).map(|(place, _)| *place);
        let places: Vec<_> = places.take_while(|(address, _)| of.contains(*address)).collect();
        for place in places {
            // Of a wide network, what is spared stays.
            if self.set.covers(clock(), place.0).is_some()
                && let Some(session) = sessions.remove(&place)
            {
                let _ = session.send(Reply::banned(&self.hostname, place.0, of, false));
            }
        }
    }

    fn open_sessions(&self, client: IpAddr) -> usize {
        let client = client.to_canonical();
        lock(&self.sessions).range((client, 0)..=(client, u64::MAX)).count()
    }

    /// Acts on changes of the book, whose lock is held. Gives what is to be told.
    fn act(&self, book: &mut Book, now: UnixMillis, changes: Vec<BanChange>, because: &str) -> Vec<Event> {
        let mut events = Vec::new();
        if changes.is_empty() {
            return events;
        }
        for change in changes {
            match &change {
                BanChange::Put(ban) => {
                    if ban.is_active(now) {
                        self.set.put(ban.of, ban.until);
                        self.cut_off(ban.of);
                    } else {
                        self.set.remove(ban.of);
                    }
                    // One whose end was only moved is no news.
                    if ban.is_active(now) && ban.since == now {
                        events.push(Event::Banned(ban.clone()));
                    }
                }
                BanChange::Forget(of) => {
                    if self.set.remove(*of) {
                        events.push(Event::BanLifted { of: *of, because: because.to_owned() });
                    }
                }
            }
            book.pending.insert(change.of(), change);
        }
        self.revision.send_modify(|revision| *revision = revision.wrapping_add(1));
        self.dirty.notify_one();
        events
    }

    /// Writes what the store does not know yet; done when it is on disk. Whoever stops waiting does not stop the write, and the next begins after it.
    pub(crate) async fn persist(self: &Arc<Self>) -> bool {
        let turn = Arc::clone(&self.writing).lock_owned().await;
        if lock(&self.book).pending.is_empty() {
            return true;
        }
        let keeper = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            let _until_written = turn;
            keeper.write()
        });
        written.await.unwrap_or_else(|error| {
            tracing::error!(%error, "bans could not be kept");
            false
        })
    }

    /// Blocks on the disk.
    fn write(&self) -> bool {
        let changes: Vec<BanChange> = lock(&self.book).pending.drain().map(|(_, change)| change).collect();
        if changes.is_empty() {
            return true;
        }
        let mut unwritten = Unwritten { keeper: self, changes };
        match self.store.keep(&unwritten.changes) {
            Ok(()) => {
                unwritten.changes.clear();
                true
            }
            Err(failure) => {
                // Tried again each second, and told once a minute.
                let (now, last) = (clock(), UnixMillis(self.complained.load(Ordering::Relaxed)));
                if now.since(last) >= MINUTE {
                    self.complained.store(now.0, Ordering::Relaxed);
                    tracing::error!(%failure, "bans could not be kept; they are in force until the server ends");
                }
                false
            }
        }
    }

    fn lift_automatic(&self, now: UnixMillis, client: IpAddr, because: &str) -> Vec<Event> {
        let mut book = lock(&self.book);
        let lifted: Vec<Subnet> = book
            .bans
            .about(client)
            .into_iter()
            .filter(|ban| ban.is_active(now) && ban.by() == By::Automatic)
            .map(|ban| ban.of)
            .collect();
        let changes = lifted.into_iter().flat_map(|of| book.bans.lift(of)).collect();
        self.act(&mut book, now, changes, because)
    }

    fn sweep(&self, now: UnixMillis) -> Vec<Event> {
        let mut book = lock(&self.book);
        let (ended, forgotten) = book.bans.sweep(now);
        let mut events = self.act(&mut book, now, forgotten, "forgotten");
        for of in &ended {
            // One that was banned anew at this very moment is not over.
            if book.bans.liftable(now, *of, false).is_empty() && self.set.remove(*of) {
                events.push(Event::BanLifted { of: *of, because: "its time is over".to_owned() });
            }
        }
        if !ended.is_empty() {
            self.revision.send_modify(|revision| *revision = revision.wrapping_add(1));
        }
        events
    }
}

/// Changes on their way to the store. What is left when it is dropped, be it by a panic, is to be written again.
struct Unwritten<'a> {
    keeper: &'a Keeper,
    changes: Vec<BanChange>,
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        let mut book = lock(&self.keeper.book);
        for change in self.changes.drain(..) {
            // What has changed since is newer.
            book.pending.entry(change.of()).or_insert(change);
        }
    }
}

fn everybody_is(address: IpAddr) -> String {
    format!(
        "all clients seem to come from the one private address {address}: their own addresses are lost on the way, as behind the address \
         translation of a container host, and nobody can be told from anybody else. That address is not banned automatically. Use the network \
         of the host, or a proxy with proxy_protocol_from"
    )
}

/// Whether a client may come in. Nothing is logged for one that may not: there can be many thousands a second.
pub(crate) fn door(server: &Server, client: &ClientFacts) -> Door {
    // Before the clock is asked, which most servers need not do most of the time.
    if server.bans.set.is_empty() {
        return Door::Open;
    }
    let now = clock();
    let Some((of, is_told)) = server.bans.set.refuses(now, client.address) else { return Door::Open };
    server.metrics.turned_away("banned");
    if !is_told {
        return Door::Reset;
    }
    server.bans.seen_public(now, client.address);
    if client.listener == ListenerKind::Submissions {
        // Behind implicit TLS nothing can be said, so nothing is put into words.
        return Door::Shut(None);
    }
    let live = server.live.load();
    let word = |for_good| Some(Reply::banned(&live.hostname, client.address, of, for_good));
    Door::Shut(match live.config.auth.ban_reply {
        BanReply::Later => word(false),
        BanReply::Never => word(true),
        BanReply::Silence => None,
    })
}

/// New settings.
pub(crate) fn adjust(server: &Server, config: &Config, own: &[SocketAddr]) {
    let (now, keeper) = (clock(), &server.bans);
    let events = {
        let mut book = lock(&keeper.book);
        let changes = book.bans.adjust(now, settings(config), spared(config, own));
        keeper.spare(&book.bans);
        let events = keeper.act(&mut book, now, changes, "it is never banned by the new configuration");
        // Also where no ban has changed: what is spared and the ports may have.
        keeper.revision.send_modify(|revision| *revision = revision.wrapping_add(1));
        events
    };
    for event in events {
        server.emit(event);
    }
}

impl Server {
    /// A client has done so much of this that it is not to be let in for a while; whoever counts calls it once the count is full. True when it
    /// is banned now. What is seen is kept as evidence: text of peers in it is raw, a secret must not be in it.
    pub(crate) fn offence(&self, now: UnixMillis, client: IpAddr, offence: Offence, evidence: String) -> bool {
        let client = client.to_canonical();
        let is_home = self.authenticator.is_somebodys_home(now, client);
        if let Some(why) = self.unbanned(now, client, offence, is_home) {
            self.spared(now, client, offence, &evidence, why);
            return false;
        }
        let (judged, events) = {
            let mut book = lock(&self.bans.book);
            let (judged, changes) = if is_home {
                book.bans.offence_of_one(now, client, offence, evidence.clone())
            } else {
                book.bans.offence(now, client, offence, evidence.clone())
            };
            (judged, self.bans.act(&mut book, now, changes, "there is no room for more: [auth] bans_max"))
        };
        for event in events {
            self.emit(event);
        }
        if let Judged::Spared(reason) = judged {
            self.spared(now, client, offence, &evidence, reason.as_str());
        }
        !matches!(judged, Judged::Spared(_))
    }

    /// Why a client would not be banned for this now, where that is not for what the configuration says of it. One answer for who offends and for
    /// a person who asks.
    fn unbanned(&self, now: UnixMillis, client: IpAddr, offence: Offence, is_home: bool) -> Option<&'static str> {
        if self.bans.crowd().may_be_everybodys(now, client) {
            return Some("it is private, and everybody may come from there: no public address was seen lately");
        }
        // The guard does not hear who guesses; whoever shares its address with customers would be shut out with them.
        let is_guess = matches!(offence, Offence::AuthGuess | Offence::Spray);
        (is_home && is_guess).then_some("accounts log in from its network; what it guesses is refused all the same")
    }

    /// Tells once an hour of a host that it is not banned.
    fn spared(&self, now: UnixMillis, client: IpAddr, offence: Offence, evidence: &str, why: &str) {
        if lock(&self.bans.told).add(now, Subnet::host(client), 1, HOUR) == 1 {
            let evidence = postern_mail::Quoted::text(evidence);
            tracing::warn!(%client, %offence, %evidence, "not banned: {why}");
        }
    }
}

/// Keeps the store up with the book, ends what is over, and warns. One task.
pub(crate) async fn upkeep(server: Arc<Server>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = server.bans.dirty.notified() => {
                // What could not be written is tried again with the next tick, not at once.
                let _ = server.bans.persist().await;
            }
            _ = ticks.tick() => {
                let now = clock();
                let mut events = server.bans.sweep(now);
                let (shared, told) = {
                    let mut crowd = server.bans.crowd();
                    (crowd.shared(now), crowd.to_be_told(now))
                };
                if let Some(address) = told {
                    tracing::warn!("{}", everybody_is(address));
                }
                if let Some(address) = shared {
                    let lifted = server.bans.lift_automatic(now, address, "everybody seems to come from there");
                    pardon(&server, &lifted);
                    events.extend(lifted);
                }
                for event in events {
                    server.emit(event);
                }
                let _ = server.bans.persist().await;
            }
            () = stopped(&mut stopping) => return,
        }
    }
}

/// What a client that was turned away before its greeting is not let in by, in words.
fn turned_away(server: &Server, now: UnixMillis, address: IpAddr) -> Vec<String> {
    let in_words =
        |(full, times, limit): (Full, u32, u64)| format!("{times} in the last hour, by [limits] {} = {limit}", full.as_str());
    server.ceiling.turned_away(now, address).into_iter().map(in_words).collect()
}

/// Carries out an order of a person.
pub(crate) async fn carry_out(server: &Server, order: BanOrder) -> Answer {
    let keeper = &server.bans;
    if let BanOrder::Mirror { after } = order {
        return mirror(server, after).await;
    }
    let now = clock();
    let shared = keeper.crowd().shared(now);
    let because = match &order {
        BanOrder::Remove { reason, .. } if !reason.is_empty() => format!("lifted by hand: {reason}"),
        _ => "lifted by hand".to_owned(),
    };
    let (mut answer, events) = {
        let mut book = lock(&keeper.book);
        let mut desk = Desk {
            bans: &mut book.bans,
            now,
            refused: &|of| keeper.set.refused(of),
            shared,
            open: &|client| keeper.open_sessions(client),
        };
        let (answer, changes) = desk.carry_out(&order);
        (answer, keeper.act(&mut book, now, changes, &because))
    };
    let refused_for = server.live.load().config.limits.refused_for;
    match (&mut answer, &order) {
        (Answer::BanExplained(explained), _) => {
            if let Ok(address) = explained.address.parse() {
                explained.held = server.auth_guard.held(now, address);
                explained.held.extend(server.strangers.held(now, address, refused_for));
                explained.turned_away = turned_away(server, now, address);
                explained.listed = lists::refusals(server, now, address);
                let is_home = server.authenticator.is_somebodys_home(now, address);
                explained.unbanned = server.unbanned(now, address, Offence::AuthGuess, is_home).map(str::to_owned);
            }
        }
        (Answer::Bans(answer), BanOrder::List { limit }) => {
            let mut refused = server.strangers.refused(now, refused_for);
            answer.more |= refused.len() > *limit;
            refused.truncate(*limit);
            answer.refused = refused.into_iter().map(view_refused).collect();
        }
        // It is not banned, but it may be refused for its faults.
        (Answer::Failed { .. }, BanOrder::Remove { network, dry_run, .. }) => {
            if let Ok(of) = network.trim().parse::<Subnet>() {
                if *dry_run && server.strangers.refused(now, refused_for).iter().any(|refused| refused.of == of) {
                    answer = Answer::Done { text: format!("{of} would no longer be refused for its faults") };
                } else if !*dry_run && server.strangers.pardon(now, of, refused_for) {
                    answer = Answer::Done { text: format!("{of} is no longer refused for its faults") };
                }
            }
        }
        _ => {}
    }
    pardon(server, &events);
    let changed = !events.is_empty();
    for event in events {
        server.emit(event);
    }
    if changed && !keeper.persist().await {
        return Answer::failed("it is so now, but could not be kept: it will be forgotten when the server ends; see its log");
    }
    answer
}

fn view_refused(refused: Refused) -> RefusedView {
    RefusedView { network: refused.of.to_string(), evidence: refused.why, until: refused.until.0 }
}

/// Whoever is let in again is heard again, too.
fn pardon(server: &Server, events: &[Event]) {
    let (now, refused_for) = (clock(), server.live.load().config.limits.refused_for);
    for event in events {
        if let Event::BanLifted { of, .. } = event {
            server.auth_guard.pardon(*of);
            server.strangers.pardon(now, *of, refused_for);
        }
    }
}

/// Waits until there is news for a mirror, or for a while.
async fn mirror(server: &Server, after: Option<u64>) -> Answer {
    let keeper = &server.bans;
    let mut revision = keeper.revision.subscribe();
    let news = revision.wait_for(|revision| Some(*revision) != after);
    let _ = tokio::time::timeout(MIRROR_WAIT, news).await;
    let revision = *keeper.revision.borrow();
    let book = lock(&keeper.book);
    let mut ports: Vec<u16> = server.listeners.iter().map(|(_, address)| address.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    Answer::BanMirror(Mirrored {
        revision,
        banned: widest(book.bans.list(clock())),
        spared: book.bans.spared().iter().map(|spared| spared.network.to_string()).collect(),
        ports,
    })
}

/// Carries out an order while no server runs.
pub(crate) fn carry_out_offline(store: &dyn BanStore, config: &Config, order: &BanOrder) -> Result<Answer, String> {
    let now = clock();
    let words = |failure: postern_state::StateFailure| failure.to_string();
    let mut bans = Bans::new(settings(config), spared(config, &[]));
    let kept: Vec<Ban> = store.load().map_err(words)?;
    let mut changes = bans.load(now, kept);
    let mut desk = Desk { bans: &mut bans, now, refused: &|_| 0, shared: None, open: &|_| 0 };
    let (answer, more) = desk.carry_out(order);
    if more.is_empty() {
        // Who only asks changes nothing. What was found to be put in order is put in order by the next start.
        return Ok(answer);
    }
    changes.extend(more);
    store.keep(&changes).map_err(words)?;
    Ok(answer)
}

#[cfg(test)]
mod tests;
