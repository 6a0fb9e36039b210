//! Who is written to: whom we know not to be there or not to want it, who was mistyped, whom only spam is sent to, and offices that newsletters are
//! not for. Four rules about recipients elsewhere, of accounts and relay networks.
//!
//! Promise: recipients of ours and strangers' mail are never looked at; a mistyped domain is only told of unless the rule is enforced. When it
//! cannot know (nothing is remembered of an address): nothing is held against it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use postern_mail::message::date::MailDate;
use postern_mail::scope::Addresses;
use postern_mail::suppression::Suppressed;
use postern_mail::{Finding, Mailbox, Reply, RuleName};

use crate::decide::Panel;
use crate::facts::RecipientFacts;

/// Bounced, complained, unsubscribed, or named by a person.
pub const SUPPRESSED: RuleName = "suppressed";
/// A domain as people mistype it.
pub const MISTYPED: RuleName = "mistyped";
/// An address that nobody gave to anybody.
pub const TRAP: RuleName = "trap";
/// An office, in mail of an account that sends to many.
pub const ROLE: RuleName = "role_address";

/// What the rules go by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `outbound.hygiene.traps`.
    pub traps: Vec<Addresses>,
    /// `outbound.bulk_accounts`.
    pub bulk_accounts: Vec<Arc<str>>,
    /// `outbound.hygiene.role_names`, in lower case.
    pub role_names: Vec<Arc<str>>,
}

/// The domain that was meant, by what was typed.
static MEANT: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let lines = include_str!("../../data/mistyped-domains.txt").lines().filter(|line| !line.starts_with('#'));
    let pairs = |line: &'static str| {
        let mut words = line.split_whitespace();
        let meant = words.next();
        words.filter_map(move |typed| Some((typed, meant?)))
    };
    lines.flat_map(pairs).collect()
});

/// The domain of a large provider that was meant, where this one is how people mistype it.
#[must_use]
pub fn meant(domain: &str) -> Option<&'static str> {
    MEANT.get(domain).copied()
}

/// Adds what there is to say of a recipient that is not ours.
#[must_use]
pub fn judge<'a>(mut panel: Panel<'a>, settings: &Settings, facts: &RecipientFacts<'_>) -> Panel<'a> {
    if let Some(said) = facts.suppressed {
        panel = panel.rule(SUPPRESSED, || suppressed(facts.to, said));
    }
    if let Some(finding) = mistyped(facts.to) {
        panel = panel.rule(MISTYPED, || finding);
    }
    if settings.traps.iter().any(|trap| trap.contains(facts.to)) {
        let because = format!("{} is a trap: nobody asked for mail there", facts.to);
        panel = panel.rule(TRAP, || Finding::refuse(TRAP, because, Reply::not_written_to()));
    }
    if let Some(finding) = facts.who.and_then(|who| role(settings, facts.to, who.account())) {
        panel = panel.rule(ROLE, || finding);
    }
    panel
}

fn suppressed(to: &Mailbox, said: Suppressed) -> Finding {
    let since = format!("since {}", MailDate(said.since));
    let until = said.until.map_or("until that is taken back".to_owned(), |until| format!("until {}", MailDate(until)));
    let whose = if said.of_account { ", for this account" } else { "" };
    let because = format!("{to} is suppressed{whose}: {} ({}); {since}, {until}", said.cause.words(), said.cause.as_str());
    Finding::refuse(SUPPRESSED, because, Reply::suppressed(said, &since, &until))
}

fn mistyped(to: &Mailbox) -> Option<Finding> {
    let typed = to.domain()?.as_str();
    let meant = meant(typed)?;
    let right = format!("{}@{meant}", to.local);
    Some(Finding::refuse(MISTYPED, format!("{typed} is how {meant} is mistyped"), Reply::mistyped(typed, &right)))
}

fn role(settings: &Settings, to: &Mailbox, account: &str) -> Option<Finding> {
    let is_bulk = settings.bulk_accounts.iter().any(|bulk| bulk.eq_ignore_ascii_case(account));
    // `info+news` is the same desk.
    let local = to.local.as_str().split('+').next().unwrap_or_default();
    let is_role = settings.role_names.iter().any(|name| name.eq_ignore_ascii_case(local));
    if !is_bulk || !is_role {
        return None;
    }
    let because = format!("{to} is an office, and {account} sends to many");
    Some(Finding::refuse(ROLE, because, Reply::role_address(&to.to_string())))
}

#[cfg(test)]
mod tests;
