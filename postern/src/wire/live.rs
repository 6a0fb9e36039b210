//! The configuration in force, and the plain settings that each step is given from it. Replaced as a whole by a reload.
//!
//! Promise: every setting of a step is filled in here and nowhere else.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postern_config::Config;
use postern_delivery::tls_policy::{Roots, TlsClient};
use postern_delivery::{Delivery, Settings as DeliverySettings};
use postern_inspect::Inspector;
use postern_listener::{CeilingSettings, PumpSettings};
use postern_lookup::{Authenticator, LookupSettings, Resolver, Sealer};
use postern_mail::Points;
use postern_mail::client::ListenerKind;
use postern_mail::link::Trick;
use postern_policy::rules::links::Weights;
use postern_policy::rules::score::Limits;
use postern_policy::{Outbound, Policy};
use postern_scheduler::{Backoff, Expiry, SchedulerSettings, Shaping};
use postern_session::{Hurry, SessionSettings};
use postern_spool::SpoolSettings;

use crate::wire::examine::{self, Memory};
use crate::wire::{admit, authenticity, dnsbl, guard, outward, sealing, strangers, sts};

/// Clients give up after minutes; what our own rules take is milliseconds.
const JUDGED_LONG: Duration = Duration::from_secs(1);

/// A count of the configuration.
#[must_use]
pub(crate) fn number(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// How much of the audit log is kept.
#[must_use]
pub(crate) fn audit_keep(config: &Config) -> postern_state::audit::Keep {
    let history = &config.history;
    postern_state::audit::Keep { bytes: history.audit_size_max.0, files: number(history.audit_files) }
}

/// A size of the configuration.
#[must_use]
pub(crate) fn size(value: postern_config::Size) -> usize {
    usize::try_from(value.0).unwrap_or(usize::MAX)
}

/// What connections and deliveries work with from now on.
pub(crate) struct Live {
    /// As it was loaded.
    pub config: Config,
    /// The rules' settings.
    pub policy: Policy,
    /// What we call ourselves.
    pub hostname: Arc<str>,
    /// The pump's limits.
    pub pump: Arc<PumpSettings>,
    /// Asks DNS.
    pub resolver: Resolver,
    /// Looks up who mail is from.
    pub authenticator: Authenticator,
    /// Seals what goes on.
    pub sealer: Option<Sealer>,
    /// For messages that are looked at as a whole.
    pub memory: Memory,
    /// Reads messages for links.
    pub inspector: Inspector,
    /// Asks for policies on TLS, where they are kept to.
    pub policy_hosts: Option<postern_lookup::Fetcher>,
    /// Speaks to next hops.
    pub delivery: Delivery,
    /// Which recipients other hosts know.
    pub call_ahead: crate::wire::call_ahead::Keeper,
    /// Filters of others.
    pub filters: postern_filters::Filters,
    /// For messages that are shown to them.
    pub filter_rooms: crate::wire::filters::Rooms,
    session: Arc<SessionSettings>,
}

impl Live {
    /// Makes everything anew from a configuration.
    ///
    /// # Errors
    /// In words, for the operator: what the configuration names cannot be used.
    pub(crate) fn new(config: Config, own_addresses: Vec<SocketAddr>) -> Result<Self, String> {
        let limits = &config.limits;
        let session = SessionSettings {
            hostname: config.server.hostname.clone(),
            message_size: limits.message_size.0,
            recipients_per_message: limits.recipients_per_message,
            recipients_per_submission: limits.recipients_per_message_authenticated,
            messages_per_connection: limits.messages_per_connection,
            faults_per_session: u16::try_from(limits.faults_per_session).unwrap_or(u16::MAX),
            recipients_unknown_per_session: u16::try_from(limits.recipients_unknown_per_session).unwrap_or(u16::MAX),
            idle_commands_per_session: limits.idle_commands_per_session,
            hurry: Hurry {
                command_timeout: limits.stress_command_timeout,
                data_timeout: limits.stress_data_timeout,
                faults_per_session: u16::try_from(limits.stress_faults_per_session).unwrap_or(u16::MAX),
            },
            command_timeout: limits.command_timeout,
            data_timeout: limits.data_timeout,
            transaction_timeout: limits.transaction_timeout,
            session_timeout: limits.session_timeout,
            tls_available: true,
            mechanisms: config.usable_mechanisms().collect(),
        };
        let pump = PumpSettings {
            hostname: config.server.hostname.as_str().into(),
            handshake_timeout: limits.handshake_timeout,
            write_timeout: limits.command_timeout,
            hurried_timeout: limits.stress_command_timeout,
            data_rate_min: limits.data_rate_min.0.0,
            data_rate_grace: limits.data_rate_grace,
            data_rate_max: limits.data_rate_max.0.0,
            bytes_max: bytes_per_connection(&config),
            judged_long: JUDGED_LONG,
        };
        let policy = policy(&config);
        let resolver = Resolver::new(lookup(&config)).map_err(|failure| failure.to_string())?;
        outward::say_whether_dane_is_used(&config, &resolver);
        let authenticator = Authenticator::new(&resolver).map_err(|failure| failure.to_string())?;
        let (delivery, verifying) = delivery(&config, own_addresses)?;
        Ok(Self {
            policy,
            hostname: config.server.hostname.as_str().into(),
            pump: Arc::new(pump),
            authenticator,
            sealer: sealing::sealer(&config)?,
            memory: Memory::new(&config),
            inspector: examine::inspector(&config),
            policy_hosts: verifying.and_then(|tls| sts::fetcher(&config, &resolver, tls)),
            delivery,
            call_ahead: crate::wire::call_ahead::Keeper::new(&config),
            filters: crate::wire::filters::of(&config)?,
            filter_rooms: crate::wire::filters::Rooms::new(&config),
            session: Arc::new(session),
            resolver,
            config,
        })
    }

    /// What a session on such a listener goes by.
    #[must_use]
    pub(crate) fn session(&self, _: ListenerKind) -> Arc<SessionSettings> {
        Arc::clone(&self.session)
    }
}

/// All a connection may send: behind `bytes_per_connection` no message begins, and the one that began before it may end. Its lines are a little longer on
/// the wire than what is counted of them.
fn bytes_per_connection(config: &Config) -> u64 {
    let (connection, message) = (config.limits.bytes_per_connection.0, config.limits.message_size.0);
    connection.saturating_add(message).saturating_add(message / 8).saturating_add(1 << 20)
}

/// How names are asked for.
#[must_use]
pub(crate) fn lookup(config: &Config) -> LookupSettings {
    let dns = &config.dns;
    LookupSettings {
        servers: dns.servers.clone(),
        timeout: dns.timeout,
        attempts: dns.attempts,
        cache_entries_max: number(dns.cache_entries),
        cache_time_max: dns.cache_longest,
        cache_negative_time_max: dns.cache_negative_longest,
        exchangers_max: number(dns.exchangers_max),
        addresses_max: number(dns.addresses_max),
        dnssec: config.outbound.dane,
        trust_ad: dns.trust_ad.clone(),
    }
}

/// What the rules go by.
#[must_use]
pub(crate) fn policy(config: &Config) -> Policy {
    Policy {
        relay_networks: config.server.relay_networks.clone(),
        trusted_networks: config.server.trusted_networks.clone(),
        outbound: if config.outbound.enabled { Outbound::Enabled } else { Outbound::Disabled },
        message_bytes_max: config.limits.message_size.0,
        received_max: number(config.limits.received_max),
        limits: Limits {
            mark: Points::nearest(config.policy.tag_at),
            hold: Points::nearest(config.policy.hold_at),
            refuse: Points::nearest(config.policy.refuse_at),
        },
        dns_lists: dnsbl::rules(config),
        links: link_weights(config),
        authenticity: authenticity::settings(config),
        hygiene: super::suppression::hygiene(config),
        greylist_at: Points::nearest(config.policy.greylist.when_points),
        guard: config.outbound.guard.limits(),
        modes: guard::modes(config),
    }
}

fn link_weights(config: &Config) -> Weights {
    let own = &config.policy.links;
    let of = |trick: Trick| own.points.0.iter().find(|(named, _)| *named == trick).map_or(trick.tenths(), |(_, tenths)| *tenths);
    Weights { tricks: Trick::ALL.map(of), crowd: Points::nearest(own.crowd_points).0 }
}

/// True for a setting that [`policy`] is made of, or that says what the rules are given from outside.
#[must_use]
pub(crate) fn is_of_policy(path: &str) -> bool {
    const OTHERS: [&str; 5] =
        ["server.relay_networks", "server.trusted_networks", "outbound.enabled", "limits.message_size", "limits.received_max"];
    ["policy.", "outbound.hygiene.", "outbound.guard."].iter().any(|section| path.starts_with(section)) || OTHERS.contains(&path)
}

fn delivery(config: &Config, own_addresses: Vec<SocketAddr>) -> Result<(Delivery, Option<Arc<rustls::ClientConfig>>), String> {
    let outbound = &config.outbound;
    let egress = outbound.egress.first();
    let hostname = egress.and_then(|egress| egress.helo.as_ref()).unwrap_or(&config.server.hostname);
    let roots = match &outbound.ca_file {
        None => Roots::Platform,
        Some(path) => Roots::Pem(std::fs::read(path).map_err(|error| format!("[outbound] ca_file {}: {error}", path.display()))?),
    };
    let tls = TlsClient::new(&roots).map_err(|fault| fault.to_string())?;
    let settings = DeliverySettings::new(outbound, hostname.as_str(), own_addresses);
    let verifying = tls.verifying();
    Ok((Delivery::new(settings, tls), verifying))
}

/// Ceilings on connections. A quarter of the files this process may open is kept from them, so that strangers can never use up those the spool and
/// the deliveries need.
#[must_use]
pub(crate) fn ceiling(config: &Config, open_files_max: usize) -> CeilingSettings {
    let limits = &config.limits;
    let (wanted, most) = (number(limits.connections), open_files_max - open_files_max / 4);
    if wanted > most {
        tracing::warn!(
            "limits.connections is {wanted}, but only {most} are taken: this process may open {open_files_max} files; raise LimitNOFILE or ulimit -n"
        );
    }
    let connections = wanted.min(most);
    // Of fewer connections than were wanted, each part is as much smaller.
    let share = |part: usize| part.saturating_mul(connections).div_ceil(wanted.max(1));
    CeilingSettings {
        connections,
        reserved: share(number(limits.connections_reserved).min(wanted / 2)),
        connections_per_listener: match number(limits.connections_per_listener) {
            0 if config.listeners.len() > 1 => connections - connections / 5,
            0 => connections,
            number => share(number),
        },
        connections_per_host: number(limits.connections_per_address),
        connections_per_network: number(limits.connections_per_network),
        connections_per_minute_per_host: limits.connections_per_minute_per_address,
        connections_per_minute_per_network: limits.connections_per_minute_per_network,
        handshakes_per_minute_per_host: limits.handshakes_per_minute_per_address,
        known_networks: config.server.trusted_networks.iter().chain(&config.server.relay_networks).copied().collect(),
        known_for: limits.known_for,
        stress_at: limits.stress_at,
        stress_until: limits.stress_until,
        counter_bytes: strangers::counter_bytes(config),
    }
}

/// The scheduler's settings.
#[must_use]
pub(crate) fn scheduler(config: &Config) -> SchedulerSettings {
    let (outbound, lanes, retry) = (&config.outbound, &config.outbound.lanes, &config.outbound.retry);
    SchedulerSettings {
        // The limit of the queue is held where messages come in (`messages_max`). One that was acknowledged must not be turned away here.
        tickets_max: usize::MAX,
        concurrency_total: number(lanes.concurrency_total),
        lanes_max: number(lanes.lanes_max),
        lane_memory: lanes.remembered,
        shaping: Shaping {
            window_first: lanes.connections_per_destination_start,
            window_max: lanes.connections_per_destination_max,
            pace_per_minute: lanes.messages_per_minute_per_destination,
        },
        retry: Backoff { first: retry.first, factor: retry.factor, longest: retry.longest, jitter: retry.jitter },
        lane_retry: Backoff { first: lanes.pause_first, factor: 2.0, longest: lanes.pause_longest, jitter: retry.jitter },
        expiry: Expiry {
            give_up: retry.give_up,
            warn_after: Some(outbound.delay_warning_after).filter(|after| !after.is_zero()),
            grace: retry.longest,
        },
        providers: admit::providers(config),
        ..SchedulerSettings::default()
    }
}

/// Messages in the queue above which no new one may begin.
#[must_use]
pub(crate) fn messages_max(config: &Config) -> usize {
    usize::try_from(config.spool.messages_max).unwrap_or(usize::MAX)
}

/// The spool's settings.
#[must_use]
pub(crate) fn spool(config: &Config) -> SpoolSettings {
    let spool = &config.spool;
    #[expect(clippy::cast_possible_truncation, reason = "a share between 0.05 and 0.95")]
    let clean_below = spool.live_share_min as f32;
    SpoolSettings {
        dir: Path::new(&config.server.data_dir).join("spool"),
        segment_bytes: spool.segment_size.0,
        group_bytes_max: size(spool.group_size_max),
        body_inline_max: size(spool.body_inline_max),
        free_space_min: spool.free_space_min.0,
        finished_delay: spool.finished_delay,
        writers: usize::from(spool.writers),
        readers: usize::from(spool.readers),
        body_sync_bytes: size(spool.body_sync_size),
        clean_below,
        spare_segments_max: usize::from(spool.spare_segments_max),
        waiting_max: number(spool.waiting_max),
        notes_max: number(spool.notes_max),
    }
}

#[cfg(test)]
mod tests {
    use postern_config::Machine;

    use super::*;

    #[test]
    fn connections_leave_a_quarter_of_the_open_files_to_the_rest_of_the_server() {
        let config = postern_config::load("", "f", &Machine::named("mx.example")).unwrap();
        assert_eq!(ceiling(&config, 1024).connections, 768);
        assert_eq!(ceiling(&config, 1024).reserved, 77, "a tenth, as of more");
        assert_eq!(ceiling(&config, 1024).connections_per_listener, 615, "four fifths");
        assert_eq!(ceiling(&config, usize::MAX).connections_per_listener, 8000);
    }

    #[test]
    fn however_few_connections_there_are_half_of_them_are_for_strangers_and_one_listener_may_have_all() {
        let toml = "limits.connections = 10\n[[listener]]\nkind = \"mx\"\nbind = [\"127.0.0.1:2525\"]";
        let config = postern_config::load(toml, "f", &Machine::named("mx.example")).unwrap();
        let settings = ceiling(&config, usize::MAX);
        assert_eq!((settings.connections, settings.reserved, settings.connections_per_listener), (10, 5, 10));
        assert_eq!(ceiling(&config, usize::MAX).connections, number(config.limits.connections));
    }
}
