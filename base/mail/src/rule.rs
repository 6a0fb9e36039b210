//! The catalogue of rules: what a configuration may name, what guards the server itself, and what helps against each. Promise: a rule that is not
//! in here is always enforced, so forgetting one never opens anything.

use crate::verdict::{Mode, RuleName};

/// What there is to know of a rule beside what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// As it stands in configuration, trail and metrics.
    pub name: RuleName,
    /// Why it can be neither observed nor switched off; `None` where it can.
    pub guards: Option<&'static str>,
    /// What a person can do when it says no, in words.
    pub helps: &'static str,
}

/// Every rule. One line for each new one; its name is what `[policy.rules.NAME]` takes.
pub const RULES: &[Rule] = &[
    Rule {
        name: "relay",
        guards: Some("without it this server would be an open relay"),
        helps: "authenticate on a submission listener, add the client's network to server.relay_networks, or host the domain",
    },
    Rule {
        name: "recipient",
        guards: Some(
            "it is what proves that a recipient is ours; without it we would send bounces to people who were only named",
        ),
        helps: "add the recipient, an alias or a catch-all to the domain",
    },
    Rule {
        name: "admission",
        guards: Some("it refuses what no rule admitted"),
        helps: "one of the rules recipient and relay must admit the recipient",
    },
    Rule {
        name: "sender",
        guards: Some("without it strangers could send through the submission listeners"),
        helps: "authenticate before MAIL; use a null sender for reports and automatic replies only",
    },
    Rule { name: "size", guards: Some("it keeps the disk from being filled"), helps: "send less, or raise limits.message_size" },
    Rule {
        name: "loops",
        guards: Some("without it a message could go in a circle for ever"),
        helps: "find the server or mailbox that forwards the message back; limits.received_max is the limit",
    },
    Rule {
        name: "sender_identity",
        guards: None,
        helps: "send as an address of the account, or let it send as this one: postern account scope ADDRESS --may-send-as",
    },
    Rule {
        name: "scope",
        guards: Some(
            "log-ins and open sessions are held to their scopes whatever the rules do, and a message must not get further than they",
        ),
        helps: "postern account scope ADDRESS shows what the account and its app passwords may do, and changes it",
    },
    Rule {
        name: "list_block",
        guards: None,
        helps: "postern list test ADDRESS names the list and the entry; take the client out of it, or allow it: postern list add ADDRESS --allow",
    },
    Rule { name: "list_allow", guards: None, helps: "postern list test ADDRESS names the list and the entry" },
    Rule { name: "list_score", guards: None, helps: "postern list test ADDRESS names the lists and the entries" },
    Rule {
        name: "score",
        guards: None,
        helps: "the trail names the rules and their points; policy.hold_at and policy.refuse_at are the limits, and points are set where the rules are",
    },
    Rule {
        name: "dnsbl",
        guards: None,
        helps: "the list's own page says why and how to get out of it; postern dnsbl status shows the lists, list add ADDRESS --allow spares a client",
    },
    Rule {
        name: "dnsbl_observed",
        guards: None,
        helps: "postern dnsbl status shows whom the list would have refused; set mode = \"enforce\" for it, and it counts",
    },
    Rule {
        name: "spf",
        guards: None,
        helps: "the sender's domain names the servers that may send for it: its SPF record must have the client; policy.authenticity.spf_fail_points says what it counts",
    },
    Rule {
        name: "dkim",
        guards: None,
        helps: "the signature must match the message and the key in the DNS; policy.authenticity.dkim_fail_points says what it counts",
    },
    Rule {
        name: "dmarc",
        guards: None,
        helps: "send from a server that the SPF record of the From domain has, or sign with a key of that domain; or name the forwarder in policy.arc_trusted",
    },
    Rule { name: "arc", guards: None, helps: "policy.arc_trusted names the forwarders whose seals are believed" },
    Rule {
        name: "reverse_dns",
        guards: None,
        helps: "the client's address must have a name (PTR) that has this address; policy.authenticity.reverse_dns_points says what it counts",
    },
    Rule { name: "list_observed", guards: None, helps: "set mode = \"enforce\" for the list, and what it says has an effect" },
    Rule {
        name: "greylist",
        guards: None,
        helps: "a mail server comes again by itself and is let in; [policy.greylist] says who is delayed and how long, and postern list add ADDRESS --allow spares a client",
    },
    Rule {
        name: "suppressed",
        guards: None,
        helps: "postern suppression check ADDRESS says why and until when; postern suppression remove ADDRESS lifts it, where its owner wants mail again",
    },
    Rule {
        name: "mistyped",
        guards: None,
        helps: "the domain is how people mistype that of a large provider: write to the right one; only told of unless [policy.rules.mistyped] enforces it",
    },
    Rule {
        name: "trap",
        guards: None,
        helps: "outbound.hygiene.traps has the address; whoever writes to it has it from a list that was not asked for, so find out where from",
    },
    Rule {
        name: "role_address",
        guards: None,
        helps: "outbound.bulk_accounts has the account and role_names the name; write to a person who asked for it, or send from another account",
    },
    Rule {
        name: "guard",
        guards: None,
        helps: "postern reputation show ACCOUNT says what speaks against it; clear ACCOUNT --release takes it back, and trust ACCOUNT vouches for it for a while",
    },
    Rule {
        name: "links",
        guards: None,
        helps: "write links as they are: the domain that is shown is the one that is led to, by name, without a user before it",
    },
    Rule {
        name: "filter",
        guards: None,
        helps: "ask whoever runs the filter that is named; its section under policy has a mode and says what happens while it is down",
    },
    Rule {
        name: "filter_observed",
        guards: None,
        helps: "set mode = \"enforce\" for the filter, and what it says has an effect",
    },
];

/// Rules that are off unless they have a mode of their own: what they do to good mail is for the operator to want.
const OFF_UNASKED: &[RuleName] = &["greylist"];

/// Rules that are only observed unless they have a mode of their own: now and then they are wrong, and the operator should see it first.
const OBSERVED_UNASKED: &[RuleName] = &["mistyped"];

/// How a rule is taken that has no mode of its own.
#[must_use]
pub(crate) fn unasked(name: RuleName, general: Mode) -> Mode {
    match general {
        _ if OFF_UNASKED.contains(&name) => Mode::Off,
        Mode::Enforce if OBSERVED_UNASKED.contains(&name) => Mode::Observe,
        general => general,
    }
}

/// A rule by its name.
#[must_use]
pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

/// The static name of a rule that was read back from a record; `unknown` for one of another version.
#[must_use]
pub fn known_name(name: &str) -> RuleName {
    rule(name).map_or("unknown", |rule| rule.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_in_the_catalogue_once() {
        for one in RULES {
            assert_eq!(RULES.iter().filter(|other| other.name == one.name).count(), 1, "{}", one.name);
            assert_eq!(known_name(one.name), one.name);
        }
        assert_eq!(known_name("of tomorrow"), "unknown");
    }
}
