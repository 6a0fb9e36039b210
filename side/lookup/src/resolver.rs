//! Questions to name servers: asked once, answered within a time limit, remembered for as long as the answer allows. Promise: what
//! comes back is what the configured servers said; nothing is answered from a hosts file or from what the library knows of special
//! names.
//!
//! The library's own `Resolver` answers `localhost` and `invalid` by itself (RFC 6761 §6.3, §6.4), and its cache reads the clock. Both
//! are passed by: we hand questions to its pool of name servers and follow aliases and remember answers here.

mod response;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use postern_mail::{Domain, Outage};
use tokio::sync::Semaphore;

use self::response::{Read, read};
use crate::cache::{Answer, Cache};

/// An alias may lead to an alias. RFC 1034 §5.2.2 asks for a limit and names none.
const ALIASES_MAX: usize = 8;
/// Questions on the way at once to one name server; those above it wait for their turn within their time limit.
pub(crate) const QUESTIONS_AT_ONCE_MAX: usize = 1024;
/// A name server on the way to which a datagram is lost is asked again.
const ROOT_ATTEMPTS: u32 = 2;
/// For an answer about the root, which needs no other server.
const ROOT_TIMEOUT: Duration = Duration::from_millis(500);

/// How to ask. The binary fills it from the configuration.
#[derive(Clone, Debug)]
pub struct LookupSettings {
    /// Name servers that resolve for us, with their ports; empty: those the system is configured with.
    pub servers: Vec<SocketAddr>,
    /// For one question, all attempts and aliases included.
    pub timeout: Duration,
    /// How often a question is asked when no answer comes, at least once. The time limit is shared out evenly.
    pub attempts: u32,
    /// Answers remembered at once.
    pub cache_entries_max: usize,
    /// No answer is remembered longer than this, whatever it says.
    pub cache_time_max: Duration,
    /// The same for "there is none" (RFC 2308 §5 proposes one to three hours).
    pub cache_negative_time_max: Duration,
    /// Exchangers tried of one domain, the best first.
    pub exchangers_max: usize,
    /// Addresses kept of one host.
    pub addresses_max: usize,
    /// Whether the servers are asked what they have validated (RFC 4035 §3.2), and believed where they may be.
    pub dnssec: bool,
    /// Servers that are believed beside those on loopback: the way to them must be as safe as that.
    pub trust_ad: Vec<IpAddr>,
}

impl Default for LookupSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(10),
            attempts: 2,
            cache_entries_max: 10_000,
            cache_time_max: Duration::from_secs(24 * 3600),
            cache_negative_time_max: Duration::from_secs(3600),
            exchangers_max: 16,
            addresses_max: 16,
            dnssec: false,
            trust_ad: Vec::new(),
        }
    }
}

/// Why there is no answer to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupFailure {
    /// The name does not exist: 5.1.2.
    NoSuchDomain,
    /// It exists, and nothing about it says where mail goes: 5.1.2 or, for a host, no address.
    NoMail,
    /// Nobody could tell: try again.
    Temporary(Outage),
}

impl std::fmt::Display for LookupFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchDomain => f.write_str("the domain does not exist"),
            Self::NoMail => f.write_str("the domain has no mail exchanger and no address"),
            Self::Temporary(outage) => outage.fmt(f),
        }
    }
}

impl std::error::Error for LookupFailure {}

/// The resolver could not be set up: the system names no server, or its configuration does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupFailure(String);

impl SetupFailure {
    pub(crate) fn because(why: &dyn std::fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl std::fmt::Display for SetupFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DNS: {}", self.0)
    }
}

impl std::error::Error for SetupFailure {}

/// Asks name servers. Cheap to clone; clones share servers and memory.
#[derive(Clone)]
pub struct Resolver {
    pool: NameServerPool<TokioRuntimeProvider>,
    servers: usize,
    /// For as many questions as one server is asked at once, so that the library has none that wait where nobody sees it.
    pub(crate) turns: Arc<Semaphore>,
    believed: bool,
    cache: Arc<Mutex<Cache<Known>>>,
    pub(crate) settings: Arc<LookupSettings>,
}

fn dns(what: impl Into<String>) -> LookupFailure {
    LookupFailure::Temporary(Outage::Dns(what.into()))
}

impl Resolver {
    /// Reads the system's configuration where no server is given; asks nothing yet.
    ///
    /// # Errors
    /// When no name server is known.
    pub fn new(settings: LookupSettings) -> Result<Self, SetupFailure> {
        let servers = name_servers(&settings)?;
        let mut options = ResolverOpts::default();
        options.timeout = settings.timeout / settings.attempts.max(1);
        options.max_active_requests = QUESTIONS_AT_ONCE_MAX;
        let tls = TlsConfig::new().map_err(|e| SetupFailure(e.to_string()))?;
        let count = servers.len();
        // Which of them an answer is from is not told, so one that is not believed takes belief from all.
        let believed =
            settings.dnssec && servers.iter().all(|server| server.ip.is_loopback() || settings.trust_ad.contains(&server.ip));
        let pool = NameServerPool::from_config(servers, Arc::new(PoolContext::new(options, tls)), TokioRuntimeProvider::new());
        let cache = Arc::new(Mutex::new(Cache::new(settings.cache_entries_max)));
        let turns = Arc::new(Semaphore::new(QUESTIONS_AT_ONCE_MAX));
        Ok(Self { pool, servers: count, turns, believed, cache, settings: Arc::new(settings) })
    }

    /// Whether what the servers have validated is believed. Without that there is no DANE.
    #[must_use]
    pub fn is_believed(&self) -> bool {
        self.believed
    }

    /// The addresses of a host, IPv6 before IPv4, each in the order they came; at most `addresses_max`.
    ///
    /// # Errors
    /// [`LookupFailure::NoMail`] when the host exists without an address. When one family is known and the other could not be found out,
    /// the known one is the answer.
    pub async fn addresses(&self, host: &Domain) -> Result<Vec<IpAddr>, LookupFailure> {
        self.addresses_at(clock(), host).await
    }

    pub(crate) async fn addresses_at(&self, now: Instant, host: &Domain) -> Result<Vec<IpAddr>, LookupFailure> {
        let (v6, v4) = tokio::join!(self.records(now, host, RecordType::AAAA), self.records(now, host, RecordType::A));
        let records = [&v6, &v4].into_iter().filter_map(|answer| match answer {
            Ok(Answer::Records(records)) => Some(records.iter().filter_map(address)),
            _ => None,
        });
        let found: Vec<IpAddr> = records.flatten().filter(is_a_host).take(self.settings.addresses_max).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        match (v6, v4) {
            // A name that does not exist for one type exists for none (RFC 2308 §2.1), even where the other question was not answered.
            (Ok(Answer::NoSuchName), _) | (_, Ok(Answer::NoSuchName)) => Err(LookupFailure::NoSuchDomain),
            (Err(failure), _) | (_, Err(failure)) => Err(failure),
            (Ok(_), Ok(_)) => Err(LookupFailure::NoMail),
        }
    }

    /// The records of one type, aliases followed. The only failure is a temporary one.
    pub(crate) async fn records(&self, now: Instant, name: &Domain, kind: RecordType) -> Result<Answer, LookupFailure> {
        self.known(now, name, kind).await.map(|known| known.answer)
    }

    /// The same, with what is known of how the answer came.
    pub(crate) async fn known(&self, now: Instant, name: &Domain, kind: RecordType) -> Result<Known, LookupFailure> {
        // The lock is not held over the question.
        let found = self.cache().find(now, name, kind);
        match found {
            Some(known) => Ok(known),
            None => self.known_anew(now, name, kind).await,
        }
    }

    /// What is remembered of an earlier answer.
    pub(crate) fn remembered(&self, now: Instant, name: &Domain, kind: RecordType) -> Option<Answer> {
        self.cache().find(now, name, kind).map(|known| known.answer)
    }

    /// The same as `records`, whatever is remembered.
    pub(crate) async fn records_anew(&self, now: Instant, name: &Domain, kind: RecordType) -> Result<Answer, LookupFailure> {
        self.records_sent(now, (name, kind), &OnceLock::new()).await
    }

    async fn known_anew(&self, now: Instant, name: &Domain, kind: RecordType) -> Result<Known, LookupFailure> {
        self.known_sent(now, (name, kind), &OnceLock::new()).await
    }

    /// The same as `records_anew`, and tells when the question was sent: before that it waits for its turn, which is no fault of whoever is asked.
    pub(crate) async fn records_sent(
        &self,
        now: Instant,
        asked: (&Domain, RecordType),
        sent: &OnceLock<Instant>,
    ) -> Result<Answer, LookupFailure> {
        self.known_sent(now, asked, sent).await.map(|known| known.answer)
    }

    async fn known_sent(
        &self,
        now: Instant,
        (name, kind): (&Domain, RecordType),
        sent: &OnceLock<Instant>,
    ) -> Result<Known, LookupFailure> {
        let asked = tokio::time::timeout(self.settings.timeout, self.follow(name, kind, sent)).await;
        let (known, time_to_live) = asked.unwrap_or_else(|_| Err(dns(format!("no answer about {name} {kind} in time"))))?;
        let ceiling = match known.answer {
            Answer::Records(_) => self.settings.cache_time_max,
            Answer::NoData | Answer::NoSuchName => self.settings.cache_negative_time_max,
        };
        self.cache().keep(now, name.clone(), kind, known.clone(), time_to_live.min(ceiling));
        Ok(known)
    }

    /// Whether a name server answers at all, whatever it says, when it is asked for the root.
    pub(crate) async fn answers(&self) -> bool {
        for _ in 0..ROOT_ATTEMPTS {
            let asked = self.pool.lookup(Query::query(Name::root(), RecordType::NS), DnsRequestOptions::default()).first_answer();
            if let Ok(Ok(_) | Err(NetError::Dns(_))) = tokio::time::timeout(ROOT_TIMEOUT, asked).await {
                return true;
            }
        }
        false
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache<Known>> {
        // A thread that died holding the lock leaves a cache that is still a cache.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and asks again where the answer ends in an alias the server did not follow for us.
    async fn follow(
        &self,
        name: &Domain,
        kind: RecordType,
        sent: &OnceLock<Instant>,
    ) -> Result<(Known, Duration), LookupFailure> {
        let first = Name::from_ascii(format!("{name}.")).map_err(|e| dns(e.to_string()))?;
        let mut target = first.clone();
        let mut secure = self.believed;
        let mut seconds = u32::MAX;
        for _ in 0..ALIASES_MAX {
            match self.ask(target.clone(), kind, sent).await? {
                Asked::Nothing { answer, seconds: own } => {
                    // That there is nothing gives nobody a reason to trust anybody, so nobody asks whether it was validated.
                    let known = Known { answer, secure: false, alias_of: None };
                    return Ok((known, Duration::from_secs(seconds.min(own).into())));
                }
                Asked::Response(response) => {
                    // RFC 4035 §3.2.3: all of an answer was validated, or none of it counts as such; the same for a chain of them.
                    secure &= response.metadata.authentic_data;
                    match read(&response, target, kind, &mut seconds) {
                        Read::Done { answer, owner } => {
                            let alias_of = (owner != first).then(|| domain(&owner)).flatten();
                            return Ok((Known { answer, secure, alias_of }, Duration::from_secs(seconds.into())));
                        }
                        Read::AliasOf(next) => target = next,
                        Read::Endless => break,
                    }
                }
            }
        }
        Err(dns(format!("{name} is an alias without end")))
    }

    async fn ask(&self, name: Name, kind: RecordType, sent: &OnceLock<Instant>) -> Result<Asked, LookupFailure> {
        // It is never closed.
        let _turn = self.turns.acquire().await.map_err(|error| dns(error.to_string()))?;
        sent.get_or_init(clock);
        let mut failure = None;
        for _ in 0..self.settings.attempts.max(1) {
            let query = Query::query(name.clone(), kind);
            let mut options = DnsRequestOptions::default();
            options.edns_set_dnssec_ok = self.believed;
            match self.pool.lookup(query, options).first_answer().await {
                Ok(response) => return Ok(Asked::Response(response)),
                Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                    let answer = match none.response_code {
                        ResponseCode::NXDomain => Answer::NoSuchName,
                        _ => Answer::NoData,
                    };
                    // RFC 2308 §5: without an SOA nothing says how long, and it is not remembered.
                    return Ok(Asked::Nothing { answer, seconds: none.negative_ttl.unwrap_or(0) });
                }
                Err(NetError::Dns(DnsError::ResponseCode(code))) => {
                    failure = Some(format!("the name server answers {code} about {name} {kind}"));
                    // It has answered. Only another one might say something else.
                    if self.servers == 1 {
                        break;
                    }
                }
                Err(other) => failure = Some(format!("{other} ({name} {kind})")),
            }
        }
        Err(dns(failure.unwrap_or_default()))
    }
}

/// An answer, and how it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) answer: Answer,
    /// A server we believe has validated it, with every alias on the way.
    pub(crate) secure: bool,
    /// The name it is about in the end, where the name that was asked for is an alias.
    pub(crate) alias_of: Option<Domain>,
}

fn domain(name: &Name) -> Option<Domain> {
    let text = name.to_ascii();
    Domain::parse(text.strip_suffix('.').unwrap_or(&text)).ok()
}

enum Asked {
    Response(DnsResponse),
    Nothing { answer: Answer, seconds: u32 },
}

/// The servers that are asked: those that are configured, else the system's.
pub(crate) fn name_servers(settings: &LookupSettings) -> Result<Vec<NameServerConfig>, SetupFailure> {
    let servers = if settings.servers.is_empty() {
        let (system, _) = hickory_resolver::system_conf::read_system_conf().map_err(|e| SetupFailure::because(&e))?;
        system.name_servers
    } else {
        settings.servers.iter().map(|server| name_server(*server)).collect()
    };
    if servers.is_empty() {
        return Err(SetupFailure("no name server is configured, neither here nor in the system".into()));
    }
    Ok(servers)
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn address(record: &RData) -> Option<IpAddr> {
    match record {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(aaaa) => Some(aaaa.0.into()),
        _ => None,
    }
}

/// Addresses no host can have. A stranger's domain that names one would otherwise make us connect to ourselves or to everybody.
fn is_a_host(address: &IpAddr) -> bool {
    let plain = address.to_canonical();
    !plain.is_unspecified() && !plain.is_multicast() && plain != IpAddr::V4(Ipv4Addr::BROADCAST)
}

#[expect(clippy::disallowed_methods, reason = "this crate holds the clock: answers are remembered for a time")]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
