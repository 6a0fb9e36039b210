//! Checks of limits against each other.

use std::time::Duration;

use postern_mail::Domain;

use super::Findings;
use crate::units::{Size, print_duration};

/// What a disk writes whole.
const SECTOR: Size = Size::kib(4);

pub(super) fn limits(findings: &mut Findings<'_>) {
    let limits = &findings.config.limits;
    // RFC 5321 §4.5.3.1.8: fewer than 100 must not be refused.
    if limits.recipients_per_message < 100 {
        findings.warn("limits.recipients_per_message", "RFC 5321 §4.5.3.1.8 asks for at least 100");
    }
    if limits.recipients_per_message_authenticated < 100 {
        findings.warn("limits.recipients_per_message_authenticated", "RFC 5321 §4.5.3.1.8 asks for at least 100");
    }
    let narrower = [
        ("connections_per_address", limits.connections_per_address, "connections_per_network", limits.connections_per_network),
        ("connections_per_network", limits.connections_per_network, "connections", limits.connections),
        ("connections_per_listener", limits.connections_per_listener, "connections", limits.connections),
    ];
    for (inner, inner_value, outer, outer_value) in narrower {
        // A small outer limit beside a default inner one is no contradiction.
        let path = format!("limits.{inner}");
        if inner_value > outer_value && findings.is_set(&path) {
            findings.warn(&path, &format!("is never reached: {outer} is {outer_value}"));
        }
    }
    if limits.stress_until > limits.stress_at {
        let problem = format!("stress begins at {} and would be over at {} already", limits.stress_at, limits.stress_until);
        findings.error_at_either(["limits.stress_until", "limits.stress_at"], &problem);
    }
    if findings.is_set("limits.connections_reserved") && limits.connections_reserved > limits.connections / 2 {
        let text = format!("only half of the connections ({}) are kept", limits.connections / 2);
        findings.warn("limits.connections_reserved", &text);
    }
    if limits.transaction_timeout > limits.session_timeout && findings.is_set("limits.transaction_timeout") {
        let text = format!("is never reached: session_timeout is {}", print_duration(limits.session_timeout));
        findings.warn("limits.transaction_timeout", &text);
    }
}

pub(super) fn retry(findings: &mut Findings<'_>) {
    let outbound = &findings.config.outbound;
    let retry = &outbound.retry;
    if retry.first > retry.longest {
        let problem = longer(retry.first, retry.longest);
        findings.error_at_either(["outbound.retry.first", "outbound.retry.longest"], &problem);
    }
    if retry.give_up < retry.first {
        findings.warn("outbound.retry.give_up", "messages are given back before they are tried a second time");
    }
    if findings.is_set("outbound.delay_warning_after") && outbound.delay_warning_after >= retry.give_up {
        let text = format!("is never reached: messages are given back after {}", print_duration(retry.give_up));
        findings.warn("outbound.delay_warning_after", &text);
    }
}

pub(super) fn guard(findings: &mut Findings<'_>) {
    let guard = &findings.config.outbound.guard;
    if guard.slow_at > guard.hold_at || guard.hold_at > guard.suspend_at {
        let problem = format!(
            "the steps come in this order: slow_at {}, hold_at {}, suspend_at {}",
            guard.slow_at, guard.hold_at, guard.suspend_at
        );
        findings.error_at_either(["outbound.guard.hold_at", "outbound.guard.suspend_at"], &problem);
    }
}

fn longer(first: Duration, longest: Duration) -> String {
    format!("the first wait ({}) is longer than the longest ({})", print_duration(first), print_duration(longest))
}

pub(super) fn bans(findings: &mut Findings<'_>) {
    let auth = &findings.config.auth;
    if auth.ban_first > auth.ban_longest {
        let (first, longest) = (print_duration(auth.ban_first), print_duration(auth.ban_longest));
        let problem = format!("the first ban ({first}) is longer than the longest ({longest})");
        findings.error_at_either(["auth.ban_first", "auth.ban_longest"], &problem);
    }
}

/// A credential is given notice, and has this long to be used: with a notice as long as the whole time it would be told when it was just used.
pub(super) fn unused(findings: &mut Findings<'_>) {
    let auth = &findings.config.auth;
    if !auth.unused_after.is_zero() && auth.unused_notice >= auth.unused_after {
        let (after, notice) = (print_duration(auth.unused_after), print_duration(auth.unused_notice));
        let problem = format!("notice ({notice}) must be shorter than the time it is about ({after})");
        findings.error_at_either(["auth.unused_notice", "auth.unused_after"], &problem);
    }
}

/// What is refused is neither marked nor held.
pub(super) fn points(findings: &mut Findings<'_>) {
    let policy = &findings.config.policy;
    for (path, limit) in [("policy.tag_at", policy.tag_at), ("policy.hold_at", policy.hold_at)] {
        if limit > policy.refuse_at {
            findings.warn(path, &format!("is never reached: refuse_at is {:?}", policy.refuse_at));
        }
    }
}

pub(super) fn lanes(findings: &mut Findings<'_>) {
    let lanes = &findings.config.outbound.lanes;
    if lanes.pause_first > lanes.pause_longest {
        let problem = longer(lanes.pause_first, lanes.pause_longest);
        findings.error_at_either(["outbound.lanes.pause_first", "outbound.lanes.pause_longest"], &problem);
    }
    let (start, max) = (lanes.connections_per_destination_start, lanes.connections_per_destination_max);
    if start > max {
        let problem = format!("destinations start with {start} connections and may have {max} at most");
        let paths = ["outbound.lanes.connections_per_destination_start", "outbound.lanes.connections_per_destination_max"];
        findings.error_at_either(paths, &problem);
    }
}

/// A pattern that takes in half of all hosts would make half of all mail wait in one lane.
pub(super) fn providers(findings: &mut Findings<'_>) {
    for (number, provider) in findings.config.outbound.provider.iter().enumerate() {
        let path = format!("outbound.provider[{}].mx", number + 1);
        if provider.mx.is_empty() {
            findings.error(&path, "a provider without exchangers is nobody; name at least one");
        }
        for pattern in &provider.mx {
            let name = pattern.strip_prefix("*.").unwrap_or(pattern);
            if name.contains('*') || !name.contains('.') || Domain::parse(name).is_err() {
                let problem = format!("{pattern:?} is neither a host's name nor one of at least two labels behind `*.`");
                findings.error(&path, &problem);
            }
        }
    }
}

pub(super) fn spool(findings: &mut Findings<'_>) {
    let spool = &findings.config.spool;
    let share = |size: Size, n: u64| size.octets() / n;
    // What the spool itself asks for: no sector that was acknowledged is written again, so sizes are whole sectors; and a message that
    // is moved must find room beside others.
    for (path, size) in [("spool.segment_size", spool.segment_size), ("spool.group_size_max", spool.group_size_max)] {
        if !size.octets().is_multiple_of(SECTOR.octets()) {
            findings.error(path, &format!("{size} is no multiple of {SECTOR}"));
        }
    }
    let room = Size(spool.segment_size.octets().saturating_sub(2 * SECTOR.octets()));
    if spool.group_size_max.octets() > share(room, 4) {
        let problem = format!("a segment of {} does not hold four groups of up to {}", spool.segment_size, spool.group_size_max);
        findings.error_at_either(["spool.group_size_max", "spool.segment_size"], &problem);
    }
    if spool.body_inline_max.octets() > share(spool.group_size_max, 4) {
        let problem =
            format!("a group of up to {} does not hold four bodies of up to {}", spool.group_size_max, spool.body_inline_max);
        findings.error_at_either(["spool.body_inline_max", "spool.group_size_max"], &problem);
    }
}
