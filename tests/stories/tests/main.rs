//! The stories: the whole server as it is shipped, over its sockets, with real peers. Each file tells one; read them as a manual.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a panic is a failed test, and stories keep time"
)]

mod acme;
mod aliases;
mod arc_seals;
mod auth_guard;
mod auth_only_under_tls;
mod ban_mirror;
mod bans;
mod body_kinds;
mod call_ahead;
mod chain;
mod config_commands;
mod dane;
mod dkim_peers;
mod dkim_signing;
mod dns_lists;
mod dns_plan;
mod dovecot_lmtp;
mod dribble;
mod dsn;
mod exim_both_ways;
mod explain_looks_up;
mod fairness;
mod filters;
mod first_message;
mod foreign_results;
mod forged_authors;
mod full_disk;
mod greylist;
mod guard;
mod hostile_names;
mod hostile_next_hop;
mod limits;
mod lists;
mod loops;
mod metrics;
mod mta_sts;
mod mx_lookup;
mod name_lists;
mod next_hop_trouble;
mod no_open_relay;
mod opensmtpd_next_hop;
mod other_ways_in;
mod pipelining;
mod postfix_both_ways;
mod prelude;
mod proxy_protocol;
mod queue_commands;
mod reasons;
mod reload;
mod replay;
mod reports;
mod requiretls;
mod returns;
mod sandbox;
mod scopes;
mod scram_plus_gsasl;
mod sender_suites;
mod shutdown;
mod sigkill_ledger;
mod sizes;
mod slow_names;
mod smtputf8;
mod smuggling;
mod socket_activation;
mod spool_lock;
mod starttls_injection;
mod strangers;
mod suppression;
mod survives_kill;
mod tls_reports;
mod uri_lists;
mod webhooks;
