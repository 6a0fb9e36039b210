//! Head: one message for some recipients, from MAIL to the last reply. What can go in one write goes in one write.
//!
//! Promise: a body follows only a 354, or a BDAT that says its length; each recipient is settled once, and a recipient is settled as
//! delivered only by a positive reply after the body.

use std::collections::VecDeque;
use std::io::Write as _;

use postern_mail::envelope::{BodyKind, DsnRequest};
use postern_mail::{Envelope, ForwardPath, Outcome, Recipient, Scope, Status};
use postern_smtp::command::{Command, Mail, Rcpt};
use postern_smtp::reply_lines::ReceivedReply;

use super::{Peer, Trouble, text};
use crate::classify::{self, Failure, Stage, evidence};
use crate::next_hop::Protocol;
use crate::tls_policy::Security;

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Behind DATA: dot-stuffed, ended by a dot (RFC 5321 §4.5.2).
    Dotted,
    /// Behind BDAT LAST: as it is (RFC 3030 §2).
    Chunk,
}

/// What to do next. What is to be sent was appended to `out` and goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for a reply.
    Await(Stage),
    /// Send the body in this form, then [`Transaction::after_body`].
    Body(Form),
    /// Every recipient is settled. The session can take another message.
    Done,
    /// Every recipient is settled. The session is over.
    Close,
}

/// What the body turned out to hold, where it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BodyFacts {
    /// An octet over 127 anywhere.
    pub(crate) eight_bit: bool,
    /// An octet over 127 in the header section.
    pub(crate) eight_bit_header: bool,
}

/// True when the body must be read once before the peer can be told about it.
pub(crate) fn needs_body_facts(peer: &Peer, envelope: &Envelope) -> bool {
    let eight_bit = envelope.body == BodyKind::EightBitMime && !peer.offered.eight_bit_mime;
    let utf8 = envelope.smtputf8 && !peer.offered.smtputf8;
    eight_bit || utf8
}

/// True when this host cannot keep the promise that REQUIRETLS asks for; another may.
pub(crate) fn breaks_require_tls(peer: &Peer, envelope: &Envelope) -> bool {
    // RFC 8689 §4.2.1: the host must be verified and offer REQUIRETLS itself. Whether it is one of the domain's was asked before.
    let safe = peer.security == Security::Verified && peer.offered.require_tls;
    demands_tls(envelope, peer.protocol) && !safe
}

/// True when the message may only go where its promise is kept.
pub(crate) fn demands_tls(envelope: &Envelope, protocol: Protocol) -> bool {
    // RFC 8689 §5: a report is not lost for want of TLS; it says REQUIRETLS to the hosts that offer it.
    // RFC 8689 §2 DEPARTS: a mailbox store over LMTP is ours and need not offer REQUIRETLS; with it the message has arrived.
    envelope.require_tls && envelope.from.mailbox().is_some() && protocol == Protocol::Smtp
}

/// Why this peer cannot have this message at all, or `None`.
pub(crate) fn obstacle(peer: &Peer, envelope: &Envelope, bytes: u64, facts: BodyFacts, by: &str) -> Option<Outcome> {
    let bounce = |status, text: &str| Some(Outcome::Bounced { scope: Scope::Message, status, evidence: evidence(by, text) });
    // RFC 1870 §7: over the size the host names, it is not even tried.
    if let Some(limit) = peer.offered.size_max.filter(|limit| bytes > *limit) {
        return bounce(Status::new(5, 3, 4), &format!("the message has {bytes} octets and the host takes {limit}"));
    }
    // RFC 6152 §3: without 8BITMIME there, an eight-bit body is converted or returned; we return it (5.6.3: conversion required and not
    // supported, RFC 3463 §3.7).
    // RFC 5321 §2.4: what was declared as seven bits is taken to be, and passed on without a look inside.
    if facts.eight_bit && envelope.body == BodyKind::EightBitMime && !peer.offered.eight_bit_mime {
        return bounce(Status::new(5, 6, 3), "the body has eight-bit octets and the host takes seven bits only");
    }
    // RFC 6531 §3.2: an internationalised message is not sent to a host without SMTPUTF8.
    let sender = envelope.from.mailbox().is_some_and(|mailbox| mailbox.local.needs_utf8());
    if !peer.offered.smtputf8 && (sender || envelope.smtputf8 && facts.eight_bit_header) {
        return bounce(Status::new(5, 6, 7), "the message needs SMTPUTF8 and the host does not offer it");
    }
    None
}

/// One message, as the peer is told of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'m> {
    pub(crate) envelope: &'m Envelope,
    /// Octets of the body.
    pub(crate) bytes: u64,
    /// The body is small enough to be sent before it is known that anybody is taken.
    pub(crate) at_once: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Reset,
    Mail,
    Rcpt(usize),
    Content,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Reset,
    Mail,
    Rcpt(usize),
    Data,
    End,
}

impl Expect {
    fn stage(self) -> Stage {
        match self {
            Self::Reset | Self::Mail => Stage::Mail,
            Self::Rcpt(_) => Stage::Rcpt,
            Self::Data => Stage::Data,
            Self::End => Stage::Body,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Waiting,
    Accepted,
    Settled,
}

/// A transaction under way. `by` is how the host is named in evidence.
#[derive(Debug)]
pub(crate) struct Transaction<'m> {
    peer: &'m Peer,
    by: &'m str,
    content: Content<'m>,
    /// Index in the caller's list, recipient, state.
    recipients: Vec<(usize, &'m Recipient, Slot)>,
    next: Next,
    expected: VecDeque<Expect>,
    /// Replies after the body that are still to come.
    ends_left: Option<usize>,
    /// A reply has come that was not a goodbye.
    heard: bool,
    /// The last reply left the peer ready for MAIL.
    clean: bool,
    settled: Vec<(usize, Outcome)>,
}

impl<'m> Transaction<'m> {
    /// `dirty`: the last transaction on this connection did not end well, so RSET comes first.
    pub(crate) fn new(
        peer: &'m Peer,
        by: &'m str,
        content: Content<'m>,
        recipients: impl Iterator<Item = (usize, &'m Recipient)>,
        dirty: bool,
    ) -> Self {
        let mut settled = Vec::new();
        let fits = |(at, recipient): (usize, &'m Recipient)| {
            // RFC 6531 §3.2: the others of the message can still be reached.
            if recipient.address().local.needs_utf8() && !peer.offered.smtputf8 {
                let evidence = evidence(by, "the address needs SMTPUTF8 and the host does not offer it");
                settled.push((at, Outcome::Bounced { scope: Scope::Recipient, status: Status::new(5, 6, 7), evidence }));
                return None;
            }
            Some((at, recipient, Slot::Waiting))
        };
        let recipients: Vec<_> = recipients.filter_map(fits).collect();
        let next = if dirty { Next::Reset } else { Next::Mail };
        let expected = VecDeque::with_capacity(recipients.len() + 3);
        Self { peer, by, content, recipients, next, expected, ends_left: None, heard: false, clean: !dirty, settled }
    }

    /// Writes the first commands.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) -> Step {
        if self.recipients.is_empty() {
            return Step::Done;
        }
        self.advance(out)
    }

    /// The body is out.
    pub(crate) fn after_body(&mut self) -> Step {
        self.wait_or_end()
    }

    /// True as soon as the peer has answered anything but a goodbye: before that, a lost connection says nothing about this message.
    pub(crate) fn was_heard(&self) -> bool {
        self.heard
    }

    /// True when RSET must come before the next MAIL on this connection.
    pub(crate) fn left_dirty(&self) -> bool {
        !self.clean
    }

    /// What the next reply will be about.
    pub(crate) fn awaited(&self) -> Option<Stage> {
        self.expected.front().map(|expected| expected.stage())
    }

    /// What was settled since the last call: caller's index, outcome.
    pub(crate) fn take_settled(&mut self) -> std::vec::Drain<'_, (usize, Outcome)> {
        self.settled.drain(..)
    }

    /// Takes a reply.
    pub(crate) fn on_reply(&mut self, reply: &ReceivedReply, out: &mut Vec<u8>) -> Step {
        let Some(expected) = self.expected.pop_front() else {
            // The peer speaks unasked: nothing it says on this connection can be matched any more.
            return self.stop(Stage::Body, Failure::OutOfPlace(reply.code));
        };
        self.clean = false;
        if reply.code.0 == 421 {
            // RFC 5321 §3.8: the host closes the connection whatever it was asked. As the first reply it tells of the connection (idle for
            // too long, most often), not of this message.
            return self.close_by(expected.stage(), reply);
        }
        self.heard = true;
        match expected {
            Expect::Reset => {}
            Expect::Mail if reply.code.is_positive() => {}
            Expect::Mail => self.settle_open(Stage::Mail, reply),
            Expect::Rcpt(at) => self.on_rcpt(at, reply),
            Expect::Data if reply.code.0 == 354 => return self.on_go_ahead(out),
            Expect::Data => self.settle_open(Stage::Data, reply),
            Expect::End => self.on_end(reply),
        }
        let odd = !(reply.code.is_positive() || reply.code.is_transient() || reply.code.is_permanent())
            || expected == Expect::Data && reply.code.is_positive();
        if odd { self.stop(expected.stage(), Failure::OutOfPlace(reply.code)) } else { self.advance(out) }
    }

    /// The connection is gone, or must be closed: everybody still open fails with it.
    pub(crate) fn lost(&mut self, failure: Failure) {
        self.stop(self.awaited().unwrap_or(Stage::Body), failure);
    }

    /// The body cannot be sent: everybody still open gets this outcome.
    pub(crate) fn abandon(&mut self, outcome: &Outcome) {
        self.settle_each(|slot| slot != Slot::Settled, outcome);
    }

    fn on_rcpt(&mut self, at: usize, reply: &ReceivedReply) {
        let by = self.by;
        let Some((caller, _, slot)) = self.recipients.get_mut(at) else { return };
        if *slot == Slot::Settled {
            return;
        }
        // RFC 5321 §3.3, §4.2: 250 or 251, or any other 2yz, is a promise to deliver.
        if reply.code.is_positive() {
            *slot = Slot::Accepted;
        } else {
            *slot = Slot::Settled;
            let outcome = classify::of_reply(Stage::Rcpt, reply.code, reply.status, by, &text(reply));
            self.settled.push((*caller, outcome));
        }
    }

    fn on_go_ahead(&mut self, out: &mut Vec<u8>) -> Step {
        self.expected.push_back(Expect::End);
        if self.accepted() > 0 {
            return Step::Body(Form::Dotted);
        }
        // RFC 2920 §3.1: 354 though nobody was accepted is answered with a lone dot; whatever the host says to it is nobody's mail.
        out.extend_from_slice(b".\r\n");
        Step::Await(Stage::Body)
    }

    fn on_end(&mut self, reply: &ReceivedReply) {
        // RFC 2033 §4.2, §4.3: in LMTP one reply after DATA or BDAT LAST for each accepted recipient, in their order; in SMTP one for all.
        let each = self.peer.protocol == Protocol::Lmtp;
        let left = self.ends_left.unwrap_or(if each { self.accepted().max(1) } else { 1 }).saturating_sub(1);
        self.ends_left = Some(left);
        self.clean = reply.code.is_positive();
        let outcome = if reply.code.is_positive() {
            // RFC 3461 §5.2.1: who offers DSN reports success itself. Behind LMTP delivery is final, and ours to report.
            let dsn_passed_on = self.peer.offered.dsn && !each;
            Outcome::Delivered { evidence: evidence(self.by, &text(reply)), dsn_passed_on }
        } else {
            classify::of_reply(Stage::Body, reply.code, reply.status, self.by, &text(reply))
        };
        if each {
            if let Some((caller, _, slot)) = self.recipients.iter_mut().find(|(_, _, slot)| *slot == Slot::Accepted) {
                *slot = Slot::Settled;
                self.settled.push((*caller, outcome));
            }
        } else {
            self.settle_each(|slot| slot == Slot::Accepted, &outcome);
        }
        if left > 0 {
            self.expected.push_front(Expect::End);
        }
    }

    /// Writes as many commands as may go out before a reply is needed. RFC 2920 §3.1: every reply is matched with its command by count.
    fn advance(&mut self, out: &mut Vec<u8>) -> Step {
        let pipelining = self.peer.offered.pipelining;
        loop {
            if !self.expected.is_empty() && !pipelining {
                return self.wait_or_end();
            }
            match self.next {
                Next::Reset => {
                    self.send(out, &Command::Rset, Expect::Reset);
                    self.next = Next::Mail;
                }
                Next::Mail => {
                    let mail = self.mail();
                    self.send(out, &mail, Expect::Mail);
                    self.next = Next::Rcpt(0);
                }
                // Step by step, a refused MAIL leaves nothing to ask.
                Next::Rcpt(_) if self.open() == 0 => self.next = Next::Nothing,
                Next::Rcpt(at) => match self.recipients.get(at) {
                    Some((_, recipient, _)) => {
                        let rcpt = self.rcpt(recipient);
                        self.send(out, &rcpt, Expect::Rcpt(at));
                        self.next = Next::Rcpt(at + 1);
                    }
                    None => self.next = Next::Content,
                },
                Next::Content => match self.content(out) {
                    Some(step) => return step,
                    None => continue,
                },
                Next::Nothing => return self.wait_or_end(),
            }
        }
    }

    fn content(&mut self, out: &mut Vec<u8>) -> Option<Step> {
        let chunking = self.peer.offered.chunking;
        let all_answered = self.expected.is_empty();
        if all_answered && self.accepted() == 0 {
            self.next = Next::Nothing;
            return None;
        }
        if chunking && (all_answered || self.content.at_once) {
            // RFC 3030 §2, §4.2: BDAT may stand in a pipeline; a host that refuses it reads its octets all the same.
            self.send(out, &Command::Bdat { size: self.content.bytes, last: true }, Expect::End);
            self.next = Next::Nothing;
            return Some(Step::Body(Form::Chunk));
        }
        if chunking {
            // A large body waits until somebody is there to take it.
            return Some(self.wait_or_end());
        }
        self.send(out, &Command::Data, Expect::Data);
        self.next = Next::Nothing;
        None
    }

    fn wait_or_end(&mut self) -> Step {
        // With nothing awaited nobody is open: each reply that can end a transaction settles all it leaves behind.
        self.awaited().map_or(Step::Done, Step::Await)
    }

    fn mail(&self) -> Command<'static> {
        let (envelope, offered) = (self.content.envelope, &self.peer.offered);
        Command::Mail(Box::new(Mail {
            from: envelope.from.clone(),
            // RFC 1870 §6: the size without the stuffed dots.
            size: offered.size.then_some(self.content.bytes),
            body: Some(envelope.body).filter(|body| offered.eight_bit_mime && *body != BodyKind::SevenBit),
            // RFC 6531 §3.4: said again where it was said to us.
            smtputf8: envelope.smtputf8 && offered.smtputf8,
            // RFC 8689 §4.2.1: the promise is asked of the next host as it was asked of us.
            require_tls: envelope.require_tls && offered.require_tls,
            // RFC 3461 §5.2.1: what the sender asked for goes on unchanged, to hosts that know it. RFC 3461 §5.2.2: and to no others.
            ret: envelope.ret.filter(|_| offered.dsn),
            envid: envelope.envid.clone().filter(|_| offered.dsn),
            // RFC 4954 §5: a host that we have proved ourselves to is told that the message is not from us.
            auth_given: self.peer.authenticated,
        }))
    }

    fn rcpt(&self, recipient: &Recipient) -> Command<'static> {
        let mut dsn = if self.peer.offered.dsn { recipient.dsn().clone() } else { DsnRequest::default() };
        // RFC 6533 §3: an original recipient in plain UTF-8 may go to hosts with SMTPUTF8 only.
        dsn.original = dsn.original.filter(|original| self.peer.offered.smtputf8 || original.is_ascii());
        Command::Rcpt(Box::new(Rcpt { to: ForwardPath::Mailbox(recipient.address().clone()), dsn }))
    }

    fn send(&mut self, out: &mut Vec<u8>, command: &Command<'_>, expect: Expect) {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{command}\r\n");
        self.expected.push_back(expect);
    }

    fn accepted(&self) -> usize {
        self.recipients.iter().filter(|(_, _, slot)| *slot == Slot::Accepted).count()
    }

    fn open(&self) -> usize {
        self.recipients.iter().filter(|(_, _, slot)| *slot != Slot::Settled).count()
    }

    fn settle_open(&mut self, stage: Stage, reply: &ReceivedReply) {
        let outcome = classify::of_reply(stage, reply.code, reply.status, self.by, &text(reply));
        self.abandon(&outcome);
    }

    fn settle_each(&mut self, which: impl Fn(Slot) -> bool, outcome: &Outcome) {
        for (caller, _, slot) in &mut self.recipients {
            if which(*slot) {
                *slot = Slot::Settled;
                self.settled.push((*caller, outcome.clone()));
            }
        }
    }

    fn close_by(&mut self, stage: Stage, reply: &ReceivedReply) -> Step {
        let outcome = Trouble::Reply(stage, reply.clone()).outcome(self.by);
        self.abandon(&outcome);
        Step::Close
    }

    fn stop(&mut self, stage: Stage, failure: Failure) -> Step {
        let outcome = classify::of_failure(stage, &failure, self.by);
        self.abandon(&outcome);
        self.clean = false;
        Step::Close
    }
}

#[cfg(test)]
mod tests;
