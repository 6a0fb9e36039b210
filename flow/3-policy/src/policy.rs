//! The settings of the rules, and which rules run at which stage. Promise: every stage runs all of its rules, so that the trail of a
//! refusal shows everything that was wrong.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use postern_mail::envelope::Admission;
use postern_mail::netset::Listed;
use postern_mail::{DnsListRule, GuardLimits, Mode, Modes, Points, Scored, Verdict};

use crate::decide::{self, Panel};
use crate::facts::{ConnectFacts, Directory, MessageFacts, RecipientFacts, SenderFacts};
use crate::rules::dnsbl;
use crate::rules::recipient::Said;
use crate::rules::score::{self, Holding};
use crate::rules::{
    authenticity, filters, greylist, guard, hygiene, links, lists, loops, recipient, relay, scope, sender, sender_identity, size,
};

/// Whether mail may leave for domains that are not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// By MX or route.
    Enabled,
    /// Nothing leaves, whoever asks: the development default.
    Disabled,
}

/// What the rules go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `server.relay_networks`: clients that may send without AUTH.
    pub relay_networks: Vec<IpNet>,
    /// `server.trusted_networks`: clients that no list turns away.
    pub trusted_networks: Vec<IpNet>,
    /// `outbound.enabled`.
    pub outbound: Outbound,
    /// `limits.message_size`, in octets.
    pub message_bytes_max: u64,
    /// How many `Received` fields a message may have when it comes; [`loops::RECEIVED_MAX`] unless told otherwise.
    pub received_max: usize,
    /// `policy.tag_at`, `policy.hold_at`, `policy.refuse_at`.
    pub limits: score::Limits,
    /// `policy.dnsbl`: what answers of lists are worth.
    pub dns_lists: Vec<DnsListRule>,
    /// `policy.links.points`.
    pub links: links::Weights,
    /// What SPF, DKIM, DMARC, ARC and the client's name count.
    pub authenticity: authenticity::Settings,
    /// `policy.greylist.when_points`: who has fewer is not told to come again.
    pub greylist_at: Points,
    /// `outbound.hygiene`.
    pub hygiene: hygiene::Settings,
    /// `outbound.guard.slow_at` and the others.
    pub guard: GuardLimits,
    /// `policy.mode` and `policy.rules`.
    pub modes: Modes,
}

impl Policy {
    /// Before the greeting.
    pub fn connect(&self, facts: &ConnectFacts<'_>) -> Verdict {
        self.listed(Panel::new(&self.modes), facts.listed, facts.client.address).verdict()
    }

    /// What lists say of names, and nothing else: for whoever asks about a list.
    pub fn names(&self, said: &[Listed], client: IpAddr) -> Verdict {
        self.listed(Panel::new(&self.modes), said, client).verdict()
    }

    fn listed<'a>(&self, panel: Panel<'a>, said: &[Listed], client: IpAddr) -> Panel<'a> {
        lists::judge(panel, said, client, &self.trusted_networks)
    }

    /// At MAIL FROM.
    pub fn sender(&self, facts: &SenderFacts<'_>) -> Verdict {
        let panel = Panel::new(&self.modes)
            .rule(sender::SENDER, || sender::judge(self, facts))
            .rule(sender_identity::SENDER_IDENTITY, || sender_identity::judge_envelope(facts.from, facts.identity))
            .rule(size::SIZE, || size::judge(facts.size, self.message_bytes_max));
        let panel = self.listed(panel, facts.listed, facts.client.address);
        let panel = dnsbl::judge(panel, facts.dns, &self.dns_lists);
        let panel = scope::judge(panel, facts.scope);
        let excused = self.trusts(facts.client.address).then_some(score::TRUSTED);
        panel.score(facts.earlier, |scored| score::judge(scored, self.limits, Holding::TooEarly, excused)).verdict()
    }

    /// At RCPT TO. The admission is there exactly when the verdict lets the recipient through.
    pub fn recipient(&self, facts: &RecipientFacts<'_>, directory: &dyn Directory) -> (Verdict, Option<Admission>) {
        let panel = self.listed(Panel::new(&self.modes), facts.listed, facts.client.address);
        match recipient::judge(directory, facts.to) {
            Said::Ours(finding, hosted) => {
                let panel = panel.rule(recipient::RECIPIENT, || finding);
                let panel = match facts.greylist {
                    Some(said) => panel.rule(greylist::GREYLIST, || greylist::judge(said)),
                    None => panel,
                };
                decide::admit(scope::judge(panel, facts.scope), hosted.map(Admission::Hosted))
            }
            Said::NotOurs(finding) => {
                let (relay, permit) = relay::judge(self, facts.client, facts.who);
                let panel = panel.rule(recipient::RECIPIENT, || finding).rule(relay::RELAY, || relay);
                let panel = if permit.is_some() { hygiene::judge(panel, &self.hygiene, facts) } else { panel };
                decide::admit(scope::judge(panel, facts.scope), permit.map(Admission::Relay))
            }
        }
    }

    /// At the end of the body.
    pub fn message(&self, facts: &MessageFacts<'_>) -> Verdict {
        let panel = Panel::new(&self.modes)
            .rule(size::SIZE, || size::judge(Some(facts.size), self.message_bytes_max))
            .rule(loops::LOOPS, || loops::judge(facts.headers, &facts.envelope.recipients, self.received_max))
            .rule(sender::SENDER, || sender::judge_message(facts))
            .rule(sender_identity::SENDER_IDENTITY, || sender_identity::judge_header(facts.headers, facts.identity));
        let panel = self.listed(panel, &facts.found.listed, facts.client.address);
        let panel = dnsbl::judge(panel, &facts.found.dns, &self.dns_lists);
        let panel = match &facts.found.links {
            Some(links) => panel.rule(links::LINKS, || links::judge(links, &self.links)),
            None => panel,
        };
        let panel = authenticity::judge(panel, facts, &self.authenticity);
        let panel = scope::judge(panel, facts.scope);
        let panel = match &facts.found.guard {
            Some(said) => panel.rule(guard::GUARD, || guard::judge(said, &self.guard)),
            None => panel,
        };
        let panel = filters::judge(panel, &facts.found.filters);
        let trusted = self.trusts(facts.client.address).then_some(score::TRUSTED);
        let excused = trusted.or(facts.found.is_for_postmaster.then_some(score::POSTMASTER));
        panel.score(facts.earlier, |scored| score::judge(scored, self.limits, Holding::Possible, excused)).verdict()
    }

    /// The fields that mark a message for its readers, where the points of its session and of its own verdict are enough for them. Like
    /// every effect of points, there is none while the rule `score` is not enforced.
    #[must_use]
    pub fn marks(&self, earlier: &[Scored], verdict: &Verdict) -> Option<Vec<u8>> {
        if self.modes.of(score::SCORE) != Mode::Enforce {
            return None;
        }
        let scored: Vec<Scored> = earlier.iter().copied().chain(verdict.scored()).collect();
        Some(score::sum(&scored)).filter(|sum| !scored.is_empty() && *sum >= self.limits.mark).map(score::marks)
    }

    /// Whether it is in one of `server.trusted_networks`.
    #[must_use]
    pub fn trusts(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.trusted_networks.iter().any(|network| network.contains(&client))
    }

    /// The account a client of a relay network is counted as: `network:192.0.2.0/24`.
    #[must_use]
    pub fn network_account(&self, address: IpAddr) -> Option<Arc<str>> {
        relay::network_of(&self.relay_networks, address).map(|network| format!("network:{}", network.trunc()).into())
    }
}

#[cfg(test)]
pub(crate) mod tests;
