//! Prometheus metrics. Promise: no label takes its values from peers, so the number of series is fixed.

use std::sync::atomic::AtomicU64;

use postern_mail::event::Event;
use postern_mail::outcome::Outcome;
use postern_mail::scope::Part;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct At {
    at: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Why {
    why: &'static str,
}

/// A zone of the configuration.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Zone {
    zone: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LimitName {
    limit: &'static str,
}

/// All metrics of the server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    accepted: Counter,
    accepted_bytes: Counter,
    refused: Family<At, Counter>,
    outcomes: Family<Kind, Counter>,
    turned_away: Family<Why, Counter>,
    ended: Family<Why, Counter>,
    bans: Family<Why, Counter>,
    quotas_full: Family<Why, Counter>,
    dns_lists_parked: Family<Zone, Gauge>,
    /// Networks banned now.
    pub bans_active: Gauge,
    limits_reached: Family<LimitName, Counter>,
    /// 1 while strangers are hurried.
    pub stress: Gauge,
    /// Memory of what is counted by address and network.
    pub counter_bytes: Gauge,
    /// Connections open.
    pub connections: Gauge,
    /// Recipients that greylisting was asked about.
    greylisted: Family<Why, Counter>,
    /// Replies for good, by what they mean.
    bounces: Family<Why, Counter>,
    /// Addresses that were suppressed.
    suppressed: Family<Why, Counter>,
    guarded: Family<Why, Counter>,
    /// Messages in the spool.
    pub queued: Gauge,
    /// Syncs of the log.
    pub syncs: Gauge<i64>,
    /// Octets of live messages in the log.
    pub live_bytes: Gauge<i64>,
    /// Octets free on the disk of the spool.
    pub free_bytes: Gauge<i64>,
    /// History entries dropped because its writer was behind.
    pub history_dropped: Counter<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("postern"),
            accepted: Counter::default(),
            accepted_bytes: Counter::default(),
            refused: Family::default(),
            outcomes: Family::default(),
            turned_away: Family::default(),
            ended: Family::default(),
            bans: Family::default(),
            quotas_full: Family::default(),
            dns_lists_parked: Family::default(),
            bans_active: Gauge::default(),
            limits_reached: Family::default(),
            stress: Gauge::default(),
            counter_bytes: Gauge::default(),
            connections: Gauge::default(),
            greylisted: Family::default(),
            bounces: Family::default(),
            suppressed: Family::default(),
            guarded: Family::default(),
            queued: Gauge::default(),
            syncs: Gauge::default(),
            live_bytes: Gauge::default(),
            free_bytes: Gauge::default(),
            history_dropped: Counter::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("messages_accepted", "Messages made durable and acknowledged", metrics.accepted.clone());
        registry.register_with_unit("accepted", "Octets of accepted messages", Unit::Bytes, metrics.accepted_bytes.clone());
        registry.register("refused", "Refusals by command and class of the reply", metrics.refused.clone());
        registry.register("deliveries", "Attempts by outcome, a recipient each", metrics.outcomes.clone());
        registry.register(
            "connections_turned_away",
            "Connections not taken, by the ceiling that was reached or the list that names them",
            metrics.turned_away.clone(),
        );
        registry.register("connections_ended", "How conversations ended", metrics.ended.clone());
        registry.register("quotas_full", "Commands put off since a quota was used up, by the quota", metrics.quotas_full.clone());
        registry.register(
            "dns_list_parked",
            "1 while a DNS list is not asked since it was seen to be broken, by its zone",
            metrics.dns_lists_parked.clone(),
        );
        registry.register(
            "greylisted",
            "Recipients that greylisting was asked about: delayed, come back, or of a network that is known to come back",
            metrics.greylisted.clone(),
        );
        registry.register(
            "bounces",
            "Recipients of accounts that next hops refused for good, by what their words mean",
            metrics.bounces.clone(),
        );
        registry.register("suppressed", "Addresses that are not written to any more, by why", metrics.suppressed.clone());
        registry.register("accounts_guarded", "Steps the guard of accounts has taken", metrics.guarded.clone());
        registry.register("bans", "Bans by what they are for", metrics.bans.clone());
        registry.register("bans_active", "Networks banned now", metrics.bans_active.clone());
        registry.register(
            "limits_reached",
            "How often a limit ended a session, or refused a message or a recipient, by its setting",
            metrics.limits_reached.clone(),
        );
        registry.register(
            "stress",
            "1 while unknown clients hold so many connections that they have less time and fewer faults",
            metrics.stress.clone(),
        );
        registry.register_with_unit(
            "counters",
            "Memory of what is counted by address and network, of limits.counters_memory",
            Unit::Bytes,
            metrics.counter_bytes.clone(),
        );
        registry.register("connections_open", "Connections open now", metrics.connections.clone());
        registry.register("queue_messages", "Messages in the spool now", metrics.queued.clone());
        registry.register("spool_syncs", "Syncs of the spool's log since the start", metrics.syncs.clone());
        registry.register_with_unit("spool_live", "Live messages in the log", Unit::Bytes, metrics.live_bytes.clone());
        registry.register_with_unit("spool_free", "Free on the disk of the spool", Unit::Bytes, metrics.free_bytes.clone());
        registry.register(
            "history_dropped",
            "History entries dropped because the writer was behind",
            metrics.history_dropped.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// Counts an event.
    pub(crate) fn count(&self, event: &Event) {
        match event {
            Event::Accepted { size, .. } => {
                self.accepted.inc();
                self.accepted_bytes.inc_by(*size);
            }
            Event::Refused { at, reply, .. } => {
                let class = if reply.code.is_permanent() { "5yz" } else { "4yz" };
                self.refused.get_or_create(&At { at, class }).inc();
            }
            Event::Attempted { outcome, .. } => {
                let outcome = match outcome {
                    Outcome::Delivered { .. } => "delivered",
                    Outcome::Deferred { .. } => "deferred",
                    Outcome::Bounced { .. } => "bounced",
                    Outcome::Expired { .. } => "expired",
                };
                self.outcomes.get_or_create(&Kind { outcome }).inc();
            }
            Event::Banned(ban) => {
                self.bans.get_or_create(&Why { why: ban.cause.as_str() }).inc();
            }
            Event::DnsList { zone, what, .. } => {
                let parked = self.dns_lists_parked.get_or_create(&Zone { zone: zone.to_string() });
                parked.set(i64::from(*what == "parked"));
            }
            Event::Finished { .. } | Event::Ordered { .. } | Event::BanLifted { .. } | Event::Credential { .. } => {}
        }
    }

    /// A quota had no room.
    pub(crate) fn quota_full(&self, part: Part) {
        self.quotas_full.get_or_create(&Why { why: part.as_str() }).inc();
    }

    /// A next hop said no for good.
    pub(crate) fn bounced(&self, why: &'static str) {
        self.bounces.get_or_create(&Why { why }).inc();
    }

    /// An address is not written to any more.
    pub(crate) fn suppressed(&self, why: &'static str) {
        self.suppressed.get_or_create(&Why { why }).inc();
    }

    /// Greylisting was asked about a recipient.
    pub(crate) fn greylisted(&self, why: &'static str) {
        self.greylisted.get_or_create(&Why { why }).inc();
    }

    /// The guard of accounts took a step.
    pub(crate) fn guarded(&self, why: &'static str) {
        self.guarded.get_or_create(&Why { why }).inc();
    }

    /// A client was turned away at a ceiling.
    pub(crate) fn turned_away(&self, why: &'static str) {
        self.turned_away.get_or_create(&Why { why }).inc();
    }

    /// A conversation ended.
    pub(crate) fn ended(&self, why: &'static str) {
        self.ended.get_or_create(&Why { why }).inc();
    }

    /// A limit within a session was reached.
    pub(crate) fn limit_reached(&self, limit: &'static str) {
        self.limits_reached.get_or_create(&LimitName { limit }).inc();
    }

    /// Everything in the OpenMetrics text format.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // A `String` never refuses what is written into it.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
