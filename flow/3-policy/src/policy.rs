//! The settings of the rules, and which rules run at which stage. Promise: every stage runs all of its rules, so that the trail of a
//! refusal shows everything that was wrong.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use postern_mail::Verdict;
use postern_mail::envelope::Admission;

use crate::decide;
use crate::facts::{Directory, MessageFacts, RecipientFacts, SenderFacts};
use crate::rules::recipient::Said;
use crate::rules::{loops, recipient, relay, scope, sender, sender_identity, size};

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
    /// `outbound.enabled`.
    pub outbound: Outbound,
    /// `limits.message_size`, in octets.
    pub message_bytes_max: u64,
    /// How many `Received` fields a message may have when it comes; [`loops::RECEIVED_MAX`] unless told otherwise.
    pub received_max: usize,
}

impl Policy {
    /// At MAIL FROM.
    pub fn sender(&self, facts: &SenderFacts<'_>) -> Verdict {
        Verdict::of(vec![
            sender::judge(self, facts),
            sender_identity::judge_envelope(facts.from, facts.identity),
            size::judge(facts.size, self.message_bytes_max),
            scope::judge_sender(facts.scope, facts.client, facts.from, facts.size),
        ])
    }

    /// At RCPT TO. The admission is there exactly when the verdict lets the recipient through.
    pub fn recipient(&self, facts: &RecipientFacts<'_>, directory: &dyn Directory) -> (Verdict, Option<Admission>) {
        let scope = scope::judge_recipient(facts.scope, facts.client, facts.to);
        match recipient::judge(directory, facts.to) {
            Said::Ours(finding, hosted) => decide::admit(vec![finding, scope], hosted.map(Admission::Hosted)),
            Said::NotOurs(finding) => {
                let (relay, permit) = relay::judge(self, facts.client, facts.who);
                decide::admit(vec![finding, relay, scope], permit.map(Admission::Relay))
            }
        }
    }

    /// At the end of the body.
    pub fn message(&self, facts: &MessageFacts<'_>) -> Verdict {
        Verdict::of(vec![
            size::judge(Some(facts.size), self.message_bytes_max),
            loops::judge(facts.headers, &facts.envelope.recipients, self.received_max),
            sender::judge_message(facts),
            sender_identity::judge_header(facts.headers, facts.identity),
            scope::judge_message(facts.scope, facts.client, facts.headers, facts.size),
        ])
    }

    /// The account a client of a relay network is counted as: `network:192.0.2.0/24`.
    #[must_use]
    pub fn network_account(&self, address: IpAddr) -> Option<Arc<str>> {
        relay::network_of(&self.relay_networks, address).map(|network| format!("network:{}", network.trunc()).into())
    }
}

#[cfg(test)]
mod tests;
