//! `postern serve`: from a configuration to a running server, and down again.
//!
//! Order matters: ports are bound as root, then root is dropped, then the sandbox stands, then the first thread starts, then the spool
//! is read, and only then is anybody greeted.

use std::io::{IsTerminal as _, Write as _};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use indicatif::{ProgressBar, ProgressStyle};
use postern_config::{Config, Deliver, LogFormat, Password, TlsVersion};
use postern_delivery::Maildirs;
use postern_listener::{Ceiling, CertificateSlot, Listener, OldestVersion, server_config};
use postern_mail::attempt::Ticket;
use postern_mail::client::ListenerKind;
use postern_mail::session_id::SessionIds;
use postern_scheduler::Scheduler;
use postern_spool::{RealDisk, RecoveredMessage, Spool};
use postern_state::audit::Keep;
use postern_state::password::Argon2id;
use postern_state::{
    Accounts, Audit, AuthenticationSettings, Authenticator, BanRows, Guard, History, HistorySettings, Lists, Quotas, ReportRows,
    Returns, Store,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::certs::{self, Files};
use crate::offline::Source;
use crate::privilege::{self, Confinement, Reach};
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;
use crate::wire::auth_guard::AuthGuard;
use crate::wire::bans::{self, Keeper};
use crate::wire::inbound::Gate;
use crate::wire::strangers::Strangers;
use crate::wire::{
    Live, Server, acme, clock, control, dispatch, dnsbl, greylist, guard, lists, live, login, progress_locks, reload, reports,
    signing, stopped, sts, suppression, tls_reports, unused,
};

/// How often metrics that are read rather than counted are taken.
const GAUGE_INTERVAL: Duration = Duration::from_secs(2);
/// At the end, threads that are still in a system call are waited for this long.
const THREADS_GRACE: Duration = Duration::from_secs(2);
/// Kept connections and other memory are swept this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// A socket with its listener's settings.
struct Bound {
    socket: StdListener,
    kind: ListenerKind,
    /// Its place in the configuration.
    number: u16,
    proxies: Arc<[ipnet::IpNet]>,
}

/// What was bound: for mail, for people and programs, for the authority's questions.
type Sockets = (Vec<Bound>, Vec<StdListener>, Vec<StdListener>);

/// Binds everything, or takes what a service manager bound for us, in the order of the configuration.
fn bind(config: &Config) -> Result<Sockets, String> {
    let mut given = listenfd::ListenFd::from_env();
    let given_count = given.len();
    let mut taken = 0;
    let mut listeners = Vec::new();
    for (number, listener) in (0..).zip(&config.listeners) {
        for address in &listener.bind {
            let socket = if taken < given_count {
                taken += 1;
                given.take_tcp_listener(taken - 1).ok().flatten().ok_or_else(|| {
                    format!("socket {taken} of the service manager is no TCP listener, where {address} should be")
                })?
            } else {
                postern_listener::bind(*address).map_err(|error| bind_failed(*address, &error))?
            };
            socket.set_nonblocking(true).map_err(|error| error.to_string())?;
            listeners.push(Bound { socket, kind: listener.kind, number, proxies: listener.proxy_protocol_from.clone().into() });
        }
    }
    let mut http = Vec::new();
    for address in &config.http.bind {
        http.push(postern_web::bind(*address).map_err(|error| bind_failed(*address, &error))?);
    }
    let proofs = acme::bind(config).map_err(|(address, error)| bind_failed(address, &error))?;
    Ok((listeners, http, proofs))
}

fn bind_failed(address: SocketAddr, error: &std::io::Error) -> String {
    let advice = match error.kind() {
        std::io::ErrorKind::AddrInUse => "something else listens there; `ss -ltnp` shows what",
        std::io::ErrorKind::PermissionDenied => "ports below 1024 need root, CAP_NET_BIND_SERVICE or socket activation",
        std::io::ErrorKind::AddrNotAvailable => "no interface of this machine has the address",
        _ => "it cannot be bound",
    };
    format!("cannot listen on {address}: {error} ({advice})")
}

/// The folder a Maildir template begins with, as far as it is the same for all mailboxes.
fn fixed_part(template: &str, data_dir: &Path) -> PathBuf {
    let filled = template.replace("{data_dir}", &data_dir.display().to_string());
    let fixed: PathBuf =
        Path::new(&filled).components().take_while(|part| !part.as_os_str().to_string_lossy().contains('{')).collect();
    fixed
}

/// What the process must still reach once it is locked in.
pub(crate) fn reach(config: &Config, source: &Source, data_dir: &Path) -> Reach {
    let parent =
        |path: &Path| path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
    let mut reach = Reach { write: vec![data_dir.to_path_buf()], read: vec![] };
    reach.write.extend(config.dkim.iter().filter_map(|own| own.keys.clone()));
    for domain in &config.domains {
        match &domain.deliver {
            Deliver::Maildir { path } => reach.write.push(fixed_part(path, data_dir)),
            Deliver::Webhook { secret_file, .. } => reach.read.push(parent(secret_file)),
            _ => {}
        }
    }
    // What /etc/resolv.conf is a link to differs from system to system.
    reach.read.extend(std::fs::canonicalize("/etc/resolv.conf").ok().map(|path| parent(&path)));
    // Name resolution, time zones and certificate authorities of the system.
    reach.read.extend(
        ["/etc", "/usr/share", "/usr/local/share", "/usr/lib/ssl", "/run/systemd/resolve", "/proc/self", "/dev/urandom"]
            .map(PathBuf::from),
    );
    if let Source::File(path) = source {
        reach.read.push(parent(path));
    }
    let tls = &config.tls;
    let acme_ca = tls.acme.as_ref().and_then(|acme| acme.ca_file.clone());
    for path in [&acme_ca, &tls.certificate, &tls.key, &config.arc.key, &config.outbound.ca_file]
        .into_iter()
        .flatten()
        .chain(login::files(config))
    {
        reach.read.push(parent(path));
        // Renewed certificates are often links to where the current ones are.
        reach.read.extend(std::fs::canonicalize(path).ok().map(|path| parent(&path)));
    }
    reach.read.extend(config.recipient_files().map(|(_, path)| parent(path)));
    let policy = &config.policy;
    for path in policy
        .lists
        .iter()
        .map(|list| &list.file.0)
        .chain(&policy.asn_file)
        .chain(&policy.country_file)
        .chain(policy.rspamd.iter().filter_map(|one| one.password_file.as_ref()))
    {
        reach.read.push(parent(path));
        reach.read.extend(std::fs::canonicalize(path).ok().map(|path| parent(&path)));
    }
    // Read for each delivery, so that a changed password is used at once.
    let relays = config.domains.iter().filter_map(|domain| match &domain.deliver {
        Deliver::Relay { credentials, .. } => credentials.as_ref(),
        _ => None,
    });
    for credentials in config.routes.iter().filter_map(|route| route.credentials.as_ref()).chain(relays) {
        if let Password::File(path) = &credentials.password {
            reach.read.push(parent(path));
        }
    }
    reach
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// In words, for the operator: why it could not start, or why it had to stop.
pub(crate) fn run(source: Source) -> Result<(), String> {
    let config = source.load()?;
    log::start(config.log.format == LogFormat::Json, config.log.level.as_str())?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let sockets = bind(&config)?;
    let data_dir = std::path::absolute(&config.server.data_dir).map_err(|error| error.to_string())?;
    let reach = reach(&config, &source, &data_dir);
    let open_files_max = privilege::open_files_max();
    let became = match privilege::drop_root(&config.server.user, &reach.write) {
        Ok(became) => became,
        Err(error) if source == Source::Development && error.kind() == std::io::ErrorKind::NotFound => {
            tracing::warn!(
                "started as root, and there is no user {:?} to become: root is kept, loopback only",
                config.server.user
            );
            None
        }
        Err(error) => return Err(format!("root could not be dropped to [server] user = {:?}: {error}", config.server.user)),
    };
    std::fs::create_dir_all(&data_dir).map_err(|error| format!("{}: {error}", data_dir.display()))?;
    for folder in &reach.write {
        // Landlock can only name folders that are there. One that cannot be made now is told of here, and deferred deliveries tell again.
        if let Err(error) = std::fs::create_dir_all(folder) {
            tracing::error!("Maildirs cannot be made in {}: {error}", folder.display());
        }
    }
    let confinement = privilege::confine(reach, became);
    tracing::info!(
        user = confinement.became.as_deref().unwrap_or("unchanged"),
        landlock = confinement.landlock,
        seccomp = confinement.seccomp,
        "locked in"
    );
    if !confinement.seccomp || confinement.landlock.starts_with("none") {
        tracing::warn!("the sandbox does not stand as a whole: an intruder could do more here than it should");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("postern")
        .build()
        .map_err(|error| format!("starting threads: {error}"))?;
    let result = runtime.block_on(serve(source, config, data_dir, sockets, (confinement, open_files_max)));
    // A thread that hangs on a mailbox's disk must not hold up the end: what it was writing is still in the spool.
    runtime.shutdown_timeout(THREADS_GRACE);
    result
}

/// Shows how far reading the spool is, on a terminal.
fn recovery_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("reading the spool: {human_pos} messages, {elapsed}");
    let bar = ProgressBar::new_spinner();
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

/// Opens the spool and fills the scheduler with what is in it.
fn recover(config: &Config, scheduler: &mut Scheduler) -> Result<Spool, String> {
    let bar = recovery_bar();
    let now = clock();
    let mut count: u64 = 0;
    let mut on_message = |message: RecoveredMessage| {
        count += 1;
        if count.is_multiple_of(1024) {
            bar.set_position(count);
        }
        let mut destinations = Vec::with_capacity(1);
        let open = message.progress.open().filter_map(|index| message.envelope.recipients.get(index));
        for mailbox in open.map(|recipient| recipient.address()) {
            let destination = crate::wire::routing::destination(config, mailbox);
            if !destinations.contains(&destination) {
                destinations.push(destination);
            }
        }
        for destination in destinations {
            let ticket = Ticket {
                id: message.id,
                destination,
                account: message.envelope.account.clone(),
                received: message.envelope.received,
                due: message.progress.due,
                attempts: message.progress.attempts,
                is_bulk: crate::wire::admit::is_bulk(config, message.envelope.account.as_deref()),
            };
            if scheduler.insert(now, ticket).is_err() {
                tracing::error!(id = %message.id, "the scheduler cannot number more: the message stays in the spool");
            }
        }
        if message.progress.held.is_some() {
            scheduler.hold(now, message.id);
        }
    };
    let opened = Spool::open(live::spool(config), Arc::new(RealDisk), &mut on_message);
    bar.finish_and_clear();
    let (spool, recovered) = opened.map_err(|error| error.to_string())?;
    for damage in &recovered.damage {
        tracing::error!(set_aside = damage.set_aside.as_deref().unwrap_or("nothing"), "spool: {}", damage.what);
    }
    tracing::info!(
        messages = recovered.messages,
        bytes = recovered.bytes_read,
        took_ms = recovered.duration.as_millis(),
        "spool is open"
    );
    Ok(spool)
}

fn authentication(config: &Config) -> AuthenticationSettings {
    let defaults = AuthenticationSettings::default();
    let auth = &config.auth;
    AuthenticationSettings {
        argon2_concurrency: match auth.argon2_concurrency {
            0 => defaults.argon2_concurrency,
            number => live::number(number),
        },
        waiting_max: live::number(auth.argon2_waiting_max),
        wait: auth.argon2_wait,
        remember_for: auth.remembered,
        remembered_max: u64::from(auth.remembered_max),
        networks_known_for: auth.networks_known,
    }
}

/// What the store holds, opened.
struct State {
    accounts: Arc<Accounts>,
    authenticator: Arc<Authenticator>,
    lists: Arc<Lists>,
    quotas: Arc<Quotas>,
    greylist: greylist::Keeper,
    suppression: suppression::Keeper,
    returns: Arc<Returns>,
    reputation: guard::Keeper,
    history: History,
    audit: Arc<Audit>,
    bans: BanRows,
    reports: ReportRows,
    tls: ReportRows,
}

/// Opens the store. `fatal` is told when it fails for good later.
fn open_state(
    data_dir: &Path,
    (authentication, guard): (AuthenticationSettings, Arc<dyn Guard>),
    (history, keep): (&HistorySettings, Keep),
    fatal: mpsc::Sender<String>,
) -> Result<State, String> {
    let words = |failure: postern_state::StateFailure| failure.to_string();
    let store = Store::open(data_dir).map_err(words)?;
    let hashing = Arc::new(Argon2id::default());
    let accounts = Arc::new(Accounts::open(&store, Arc::clone(&hashing) as Arc<_>).map_err(words)?);
    let authenticator = Authenticator::new(&store, Arc::clone(&accounts), hashing, guard, authentication).map_err(words)?;
    let lists = Arc::new(Lists::open(&store).map_err(words)?);
    let greylist = greylist::Keeper::open(&store).map_err(words)?;
    let suppression = suppression::Keeper::open(&store).map_err(words)?;
    let returns = Arc::new(Returns::open(&store).map_err(words)?);
    let reputation = guard::Keeper::open(&store).map_err(words)?;
    let quotas = Quotas::open(&store).map_err(words)?;
    let history = History::start(&store, history, move |failure| {
        let _ = fatal.try_send(format!("history: {failure}"));
    })
    .map_err(words)?;
    let audit = Audit::open(data_dir, clock(), keep).map_err(|error| format!("audit log: {error}"))?;
    Ok(State {
        accounts,
        authenticator,
        lists,
        quotas,
        greylist,
        suppression,
        returns,
        reputation,
        history,
        audit: Arc::new(audit),
        bans: BanRows::of(&store),
        reports: ReportRows::of(&store),
        tls: ReportRows::of_tls(&store),
    })
}

#[expect(
    clippy::too_many_lines,
    reason = "the one place where everything is joined, in order; parts of it would only hide the order"
)]
async fn serve(
    source: Source,
    config: Config,
    data_dir: PathBuf,
    (listeners, http, proofs): Sockets,
    (confinement, open_files_max): (Confinement, usize),
) -> Result<(), String> {
    #[expect(clippy::disallowed_methods, reason = "for the uptime")]
    let began = Instant::now();
    let (fatal, mut died) = mpsc::channel::<String>(1);
    // A reload asked for while the spool is being read is done afterwards; unheard, the signal would end the process. The others may.
    let hangup = signal(SignalKind::hangup()).map_err(|error| format!("signals: {error}"))?;

    let history_settings = HistorySettings {
        keep_for: config.history.keep,
        messages_max: config.history.messages_max,
        refusals_max: config.history.refusals_max,
        trails_keep: config.history.trails_keep,
        trails_max: config.history.trails_max,
        trails_bytes_max: config.history.trails_size_max.0,
        waiting_max: live::number(config.history.queue_max),
        gather: config.history.gather,
    };
    // Beside the spool, since each reads for seconds after a crash in a rush.
    let auth_guard = Arc::new(AuthGuard::new(&config));
    let (state_dir, state_authentication) = (data_dir.clone(), (authentication(&config), Arc::clone(&auth_guard) as Arc<_>));
    let keep = live::audit_keep(&config);
    let state =
        tokio::task::spawn_blocking(move || open_state(&state_dir, state_authentication, (&history_settings, keep), fatal));

    let files = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => Files { certificate: certificate.clone(), key: key.clone() },
        _ => certs::own(&config, &data_dir)?,
    };
    let certificate = Arc::new(CertificateSlot::new(files.load()?));
    let oldest = match config.tls.version_min {
        TlsVersion::Tls12 => OldestVersion::Tls12,
        TlsVersion::Tls13 => OldestVersion::Tls13,
    };
    let tls = server_config(Arc::clone(&certificate), oldest).map_err(|error| format!("TLS: {error}"))?;
    let tls = login::TlsByKind::new(&config, tls, Arc::clone(&certificate), oldest)?;

    let mut scheduler = Scheduler::new(live::scheduler(&config), clock().0);
    let spool = tokio::task::block_in_place(|| recover(&config, &mut scheduler))?;
    let State {
        accounts,
        authenticator,
        lists,
        quotas,
        greylist,
        suppression,
        returns,
        reputation,
        history,
        audit,
        bans,
        reports,
        tls: tls_rows,
    } = state.await.map_err(|error| error.to_string())??;
    lists.put(tokio::task::block_in_place(|| lists::at_start(&config)));

    let mut addresses = Vec::new();
    for bound in &listeners {
        addresses.push((bound.kind, bound.socket.local_addr().map_err(|error| error.to_string())?));
    }
    let own_addresses: Vec<SocketAddr> = addresses.iter().map(|(_, address)| *address).collect();
    let http_addresses: Vec<SocketAddr> = http.iter().filter_map(|socket| socket.local_addr().ok()).collect();
    let bans = tokio::task::block_in_place(|| Keeper::open(Box::new(bans), &config, &own_addresses))?;
    let (reports, reported) =
        tokio::task::block_in_place(|| reports::Reporting::open(reports, &config)).map_err(|failure| failure.to_string())?;
    let sts = tokio::task::block_in_place(|| sts::Policies::open(tls_rows.clone(), &config))?;
    let tls_reports = tokio::task::block_in_place(|| tls_reports::TlsReports::open(tls_rows))?;
    let grace = config.server.shutdown_grace;
    let check_interval = config.tls.check_interval;
    let ceiling = Ceiling::new(live::ceiling(&config, open_files_max));
    ceiling.take_up_homes(clock(), authenticator.homes());
    let maildirs = Maildirs::new(config.server.hostname.as_str(), usize::from(config.outbound.maildir_writers));
    let strangers = Strangers::new(&config);
    let dnsbl = dnsbl::Keeper::new(&config)?;
    let (dispatcher, orders) = mpsc::channel(dispatch::ORDERS_MAX);
    authenticator.trust(&login::issuers(&config)?);
    let live = Live::new(config, own_addresses.clone())?;
    let server = Arc::new(Server {
        live: ArcSwap::from_pointee(live),
        spool: spool.clone(),
        accounts,
        authenticator,
        auth_guard,
        lists,
        dnsbl,
        bans: Arc::new(bans),
        quotas,
        signing: signing::Keeper::new(data_dir.clone()),
        reports,
        sts,
        tls_reports,
        greylist,
        suppression,
        returns,
        guard: reputation,
        history,
        session_ids: SessionIds::default(),
        audit,
        dispatcher,
        maildirs,
        tls,
        certificate,
        ceiling: Arc::clone(&ceiling),
        strangers,
        metrics: Metrics::default(),
        progress_locks: progress_locks(),
        confinement,
        open_files_max,
        began,
        listeners: addresses.clone(),
    });
    server.auth_guard.report_to(&server);
    server.signing.prepare(&server.live.load().config.dkim, clock());

    let (stop, stopping) = watch::channel(false);
    let (sessions_alive, mut sessions_over) = mpsc::channel::<()>(1);
    let (deliveries_alive, mut deliveries_over) = mpsc::channel::<()>(1);
    let mut dispatching =
        tokio::spawn(dispatch::run(Arc::clone(&server), scheduler, orders, (stopping.clone(), deliveries_alive)));
    let gate = Arc::new(Gate(Arc::clone(&server)));
    for bound in listeners {
        let listener = Listener { socket: bound.socket, kind: bound.kind, number: bound.number, proxies: bound.proxies };
        let serving = listener.serve(Arc::clone(&gate), Arc::clone(&ceiling), (stopping.clone(), sessions_alive.clone()));
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "a listener ended");
            }
        });
    }
    drop(sessions_alive);
    for socket in http {
        let mut stopping = stopping.clone();
        let source: Arc<dyn postern_web::Source> = Arc::clone(&server) as _;
        tokio::spawn(postern_web::serve(socket, source, async move {
            stopped(&mut stopping).await;
        }));
    }
    let reloader = Arc::new(reload::Reloader::new(source.clone(), Arc::clone(&server), own_addresses, data_dir.clone()));
    control::listen(Arc::clone(&server), Arc::clone(&reloader), &data_dir, stopping.clone())?;
    acme::start(&server, &reloader, proofs, &stopping);
    tokio::spawn(lists::watch(Arc::clone(&server), stopping.clone()));
    tokio::spawn(dnsbl::watch(Arc::clone(&server), stopping.clone()));
    tokio::spawn(bans::upkeep(Arc::clone(&server), stopping.clone()));
    tokio::spawn(watch_gauges(Arc::clone(&server), stopping.clone()));
    tokio::spawn(unused::run(Arc::clone(&server), stopping.clone()));
    tokio::spawn(reports::count(Arc::clone(&server), reported, stopping.clone()));
    tokio::spawn(tls_reports::watch(Arc::clone(&server), stopping.clone()));
    tokio::spawn(sts::refresh(Arc::clone(&server), stopping.clone()));
    tokio::spawn(reports::watch(Arc::clone(&server), stopping.clone()));
    tokio::spawn(signing::watch(Arc::clone(&server), stopping.clone()));
    tokio::spawn(sweep(Arc::clone(&server), Arc::clone(&reloader), check_interval, stopping.clone()));

    if source == Source::Development {
        welcome(&server, &addresses, &http_addresses, &data_dir).await;
    }
    for (kind, address) in &addresses {
        tracing::info!(%kind, %address, "listening");
    }
    for address in &http_addresses {
        tracing::info!(kind = "http", %address, "listening");
    }
    // Before anybody is told that we are ready, since he may answer with a signal at once.
    let signals = Signals::listen(hangup).map_err(|error| format!("signals: {error}"))?;
    tracing::info!("ready");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);

    let why = until_stopped(signals, &reloader, &spool, (&mut died, &mut dispatching)).await;
    tracing::info!("stopping: {}", why.as_deref().unwrap_or("told to"));
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    let _ = stop.send(true);
    let over = async {
        let _ = sessions_over.recv().await;
        let _ = deliveries_over.recv().await;
    };
    if tokio::time::timeout(grace, over).await.is_err() {
        tracing::warn!(
            grace_s = grace.as_secs(),
            "sessions or deliveries were cut off; what they had not finished is in the spool or with the sender"
        );
    }
    dispatching.abort();
    server.bans.persist().await;
    server.reports.keep().await;
    server.tls_reports.keep().await;
    server.guard.keep().await;
    let _ = std::fs::remove_file(control::socket_path(&data_dir));
    tokio::task::block_in_place(|| spool.close());
    tracing::info!("stopped");
    match why {
        None => Ok(()),
        Some(why) => Err(why),
    }
}

/// The signals we listen to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen(hangup: Signal) -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, hangup })
    }
}

/// `None`: told to stop. `Some(why)`: it must not go on.
async fn until_stopped(
    mut signals: Signals,
    reloader: &reload::Reloader,
    spool: &Spool,
    (died, dispatching): (&mut mpsc::Receiver<String>, &mut JoinHandle<()>),
) -> Option<String> {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return None,
            _ = signals.interrupt.recv() => return None,
            _ = signals.hangup.recv() => {
                let _ = sd_notify::NotifyState::monotonic_usec_now()
                    .and_then(|now| sd_notify::notify(&[sd_notify::NotifyState::Reloading, now]));
                reloader.reload_by_signal().await;
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
            }
            outage = spool.poisoned() => {
                return Some(format!("the spool stopped ({outage}); nothing is taken until a restart has read it anew"));
            }
            Some(why) = died.recv() => return Some(why),
            // It ends by a bug of ours only. Mail would be taken and never sent on; a restart schedules all of it.
            _ = &mut *dispatching => return Some("the scheduler ended".to_owned()),
        }
    }
}

async fn watch_gauges(server: Arc<Server>, mut stopping: watch::Receiver<bool>) {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let mut ticks = tokio::time::interval(GAUGE_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let stats = server.spool.stats();
                let metrics = &server.metrics;
                metrics.connections.set(i64::try_from(server.ceiling.open()).unwrap_or(i64::MAX));
                metrics.bans_active.set(i64::try_from(server.bans.active()).unwrap_or(i64::MAX));
                metrics.counter_bytes.set(i64::try_from(server.counter_bytes()).unwrap_or(i64::MAX));
                metrics.stress.set(i64::from(server.ceiling.is_stressed()));
                metrics.queued.set(i64::try_from(stats.messages).unwrap_or(i64::MAX));
                metrics.syncs.set(signed(stats.groups));
                metrics.live_bytes.set(signed(stats.live_bytes));
                metrics.free_bytes.set(signed(stats.free_space));
                server.history.pause(server.spool.check_room().is_err());
            }
            () = stopped(&mut stopping) => return,
        }
    }
}

async fn sweep(
    server: Arc<Server>,
    reloader: Arc<reload::Reloader>,
    check_interval: Duration,
    mut stopping: watch::Receiver<bool>,
) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    let mut certificates = tokio::time::interval(check_interval.max(Duration::from_secs(1)));
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                server.live.load_full().delivery.close_idle().await;
                server.guard.keep().await;
            }
            _ = certificates.tick() => reloader.renew_certificate(),
            () = stopped(&mut stopping) => return,
        }
    }
}

/// The first words of the development default: where it listens, and how to try it with an account made just now.
async fn welcome(server: &Server, addresses: &[(ListenerKind, SocketAddr)], http: &[SocketAddr], data_dir: &Path) {
    let port = |wanted: ListenerKind| addresses.iter().find(|(kind, _)| *kind == wanted).map_or(0, |(_, address)| address.port());
    let (mx, submission, submissions) = (port(ListenerKind::Mx), port(ListenerKind::Submission), port(ListenerKind::Submissions));
    let accounts = Arc::clone(&server.accounts);
    let made = tokio::task::spawn_blocking(move || {
        let name = "dev@localhost";
        let new = postern_state::NewAccount { name, password: None, addresses: None };
        match accounts.add(clock(), new) {
            // The password was told when the account was made; the next start makes a new one, so that its words are true.
            Err(postern_state::AccountFailure::Exists) => accounts.set_password(clock(), name, None),
            made => made,
        }
    })
    .await;
    let mut text = String::from(
        "\npostern, development default: loopback only, nothing leaves this machine, mail for @localhost goes into Maildirs.\n\n",
    );
    let line = |text: &mut String, name: &str, what: String| text.push_str(&format!("  {name:<12} {what}\n"));
    line(&mut text, "mx", format!("127.0.0.1:{mx}       mail from other servers, no AUTH"));
    line(&mut text, "submission", format!("127.0.0.1:{submission}       STARTTLS, then AUTH"));
    line(&mut text, "submissions", format!("127.0.0.1:{submissions}       TLS from the first octet, then AUTH"));
    for address in http {
        line(&mut text, "http", format!("{address}       /metrics, /health"));
    }
    line(&mut text, "data", data_dir.display().to_string());
    match made {
        Ok(Ok(Some(password))) => {
            let password = String::from_utf8_lossy(password.expose()).into_owned();
            text.push_str(&format!(
                "\nAn account was made: dev@localhost, password {password}\n\nSend a first message:\n\n  \
                 swaks --server 127.0.0.1:{submission} --tls --auth-user dev@localhost --auth-password '{password}' \\\n        \
                 --from dev@localhost --to you@localhost --header 'Subject: first'\n\nand read it:\n\n  \
                 cat {}/mail/localhost/you/new/*\n",
                data_dir.display()
            ));
        }
        Ok(Ok(None)) => {}
        Ok(Err(failure)) => text.push_str(&format!("\nNo account could be made: {failure}\n")),
        Err(error) => text.push_str(&format!("\nNo account could be made: {error}\n")),
    }
    text.push_str(
        "\nFor a server of your own: docs/config.md, then `postern serve --config postern.toml`. Stop with Ctrl-C.\n\n",
    );
    let _ = std::io::stdout().write_all(text.as_bytes());
    let _ = std::io::stdout().flush();
}
