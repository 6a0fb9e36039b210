//! Head: the conversation with a milter about one message, which is all there: from the connection to the end of the body.
//!
//! Promise: a reply that does not belong where it comes, an action that was not agreed on, more changes or a larger body than we take: each is
//! a failure of the filter and no judgement on the message.

use std::net::IpAddr;

use postern_mail::filter::{FilterWord, bounded};
use postern_mail::{Mailbox, Status};

use super::packet::{self, CHUNK_BYTES_MAX, Reply, action, command, step};
use crate::changes::{clean_body, cut, name_of};
use crate::{Change, Opinion, Told};

/// Changes of one filter to one message.
const CHANGES_MAX: usize = 1_000;

/// What filter and server agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    version: u32,
    pub(super) actions: u32,
    pub(super) steps: u32,
    macros: Vec<(u32, String)>,
}

/// The first packet: everything we can do.
pub(super) fn offer(out: &mut Vec<u8>) {
    let numbers = [packet::VERSION.to_be_bytes(), action::ALL.to_be_bytes(), step::ALL.to_be_bytes()].concat();
    packet::put(out, command::NEGOTIATE, &[&numbers]);
}

/// What the filter made of the offer.
pub(super) fn agree(reply: Reply) -> Result<Agreed, String> {
    match reply {
        Reply::Negotiated { version, .. } if !(2..=packet::VERSION).contains(&version) => {
            Err(format!("it speaks version {version} of the protocol"))
        }
        Reply::Negotiated { actions, steps, .. } if actions & !action::ALL != 0 || steps & !step::ALL != 0 => {
            Err("it wants what was not offered".to_owned())
        }
        Reply::Negotiated { version, actions, steps, macros } => {
            let macros = if actions & action::SET_MACROS == 0 { Vec::new() } else { macros };
            Ok(Agreed { version, actions, steps, macros })
        }
        _ => Err("it did not say what it is".to_owned()),
    }
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Something was written that has no reply.
    Go,
    /// Something was written, and there is a reply to come.
    Wait,
    /// It is over.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Connect,
    Helo,
    Mail,
    Rcpt(usize),
    Data,
    Header(usize),
    EndOfHeader,
    Body(usize),
    End,
    Done,
}

pub(super) struct Machine<'a> {
    told: &'a Told<'a>,
    agreed: Agreed,
    fields: Vec<std::borrow::Cow<'a, [u8]>>,
    body: std::borrow::Cow<'a, [u8]>,
    at: At,
    opinion: Opinion,
    new_body: Option<Vec<u8>>,
    new_body_bytes_max: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(told: &'a Told<'a>, agreed: Agreed, new_body_bytes_max: usize) -> Self {
        let (fields, body) = cut(told.message);
        let opinion = Opinion::of(FilterWord::Pass, "nothing against it");
        Self { told, agreed, fields, body, at: At::Connect, opinion, new_body: None, new_body_bytes_max }
    }

    fn does_without(&self, flag: u32) -> bool {
        self.agreed.steps & flag != 0
    }

    /// Writes what is to be sent next.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> Next {
        loop {
            let (no, silent) = match self.at {
                At::Connect => (step::NO_CONNECT, step::SILENT_CONNECT),
                At::Helo => (step::NO_HELO, step::SILENT_HELO),
                At::Mail => (step::NO_MAIL, step::SILENT_MAIL),
                At::Rcpt(_) => (step::NO_RCPT, step::SILENT_RCPT),
                At::Data => (step::NO_DATA, step::SILENT_DATA),
                At::Header(_) => (step::NO_HEADERS, step::SILENT_HEADER),
                At::EndOfHeader => (step::NO_EOH, step::SILENT_EOH),
                At::Body(_) => (step::NO_BODY, step::SILENT_BODY),
                At::End => (0, 0),
                At::Done => return Next::Done,
            };
            if self.does_without(no) || !self.write(out) {
                self.skip();
            } else if self.does_without(silent) {
                self.advance();
                return Next::Go;
            } else {
                return Next::Wait;
            }
        }
    }

    /// To the next of the same kind, or the next kind.
    fn advance(&mut self) {
        match self.at {
            At::Rcpt(number) => self.at = At::Rcpt(number + 1),
            At::Header(number) => self.at = At::Header(number + 1),
            At::Body(number) => self.at = At::Body(number + 1),
            _ => self.skip(),
        }
    }

    /// To the next kind.
    fn skip(&mut self) {
        self.at = match self.at {
            At::Connect => At::Helo,
            At::Helo => At::Mail,
            At::Mail => At::Rcpt(0),
            At::Rcpt(_) => At::Data,
            At::Data => At::Header(0),
            At::Header(_) => At::EndOfHeader,
            At::EndOfHeader => At::Body(0),
            At::Body(_) => At::End,
            At::End | At::Done => At::Done,
        };
    }

    /// Writes the packets of where we are; false when there are none (left).
    fn write(&self, out: &mut Vec<u8>) -> bool {
        let told = self.told;
        match self.at {
            At::Connect => {
                self.macros(out, command::CONNECT, None);
                let literal = format!("[{}]", told.client);
                let name = told.client_name.unwrap_or(&literal);
                let family = if told.client.is_ipv4() { b"4" } else { b"6" };
                let address = told.client.to_string();
                let port = told.port.to_be_bytes();
                packet::put(out, command::CONNECT, &[name.as_bytes(), b"\0", family, &port, address.as_bytes(), b"\0"]);
            }
            At::Helo => {
                self.macros(out, command::HELO, None);
                packet::put(out, command::HELO, &[told.helo.as_bytes(), b"\0"]);
            }
            At::Mail => {
                self.macros(out, command::MAIL, None);
                let from = told.from.mailbox().map(ToString::to_string).unwrap_or_default();
                packet::put(out, command::MAIL, &[b"<", from.as_bytes(), b">\0"]);
            }
            At::Rcpt(number) => {
                let Some(to) = told.recipients.get(number) else { return false };
                self.macros(out, command::RCPT, Some(to));
                packet::put(out, command::RCPT, &[b"<", to.to_string().as_bytes(), b">\0"]);
            }
            // One that speaks an older version knows no such command, and would end over it.
            At::Data if self.agreed.version < packet::VERSION_OF_DATA => return false,
            At::Data => {
                self.macros(out, command::DATA, None);
                packet::put(out, command::DATA, &[]);
            }
            At::Header(number) => {
                let Some(field) = self.fields.get(number) else { return false };
                if number == 0 {
                    self.macros(out, command::HEADER, None);
                }
                let name = name_of(field);
                packet::put(out, command::HEADER, &[name, b"\0", &self.value(field), b"\0"]);
            }
            At::EndOfHeader => {
                self.macros(out, command::END_OF_HEADER, None);
                packet::put(out, command::END_OF_HEADER, &[]);
            }
            At::Body(number) => {
                let Some(chunk) = self.body.chunks(CHUNK_BYTES_MAX).nth(number) else { return false };
                packet::put(out, command::BODY, &[chunk]);
            }
            At::End => {
                self.macros(out, command::END, None);
                packet::put(out, command::END, &[]);
            }
            At::Done => return false,
        }
        true
    }

    /// What stands behind the colon, its lines ended by LF alone as sendmail has it, without a NUL, which would end it. One space before it is
    /// told only to whom wants it.
    fn value(&self, field: &[u8]) -> Vec<u8> {
        let colon = field.iter().position(|octet| *octet == b':').map_or(0, |at| at + 1);
        let value = field.get(colon..).unwrap_or_default();
        let value = value.strip_suffix(b"\r\n").or_else(|| value.strip_suffix(b"\n")).unwrap_or(value);
        let value = match value.strip_prefix(b" ") {
            Some(rest) if !self.does_without(step::LEADING_SPACE) => rest,
            _ => value,
        };
        value.iter().copied().filter(|octet| !matches!(octet, b'\r' | 0)).collect()
    }

    /// The macros of a stage, those that are known of those it wants.
    fn macros(&self, out: &mut Vec<u8>, at: u8, to: Option<&Mailbox>) {
        let (stage, names) = match at {
            command::CONNECT => (0, "j {daemon_name} {client_addr} {client_name} {client_port} {client_ptr} v"),
            command::HELO => (1, "{tls_version} {cipher}"),
            command::MAIL => {
                (2, "i {auth_authen} {auth_type} {mail_addr} {mail_host} {client_addr} {client_name} {tls_version} {cipher} j")
            }
            command::RCPT => (3, "i {rcpt_addr} {rcpt_host} {auth_authen} {client_addr}"),
            command::DATA => (4, "i"),
            command::END => (5, "i {auth_authen} {client_addr}"),
            command::END_OF_HEADER => (6, "i"),
            _ => (u32::MAX, "i"),
        };
        let wanted = self.agreed.macros.iter().find(|(of, _)| *of == stage).map(|(_, wanted)| wanted.as_str());
        let mut data = vec![at];
        let separators = [' ', ',', '\t'];
        for name in wanted.unwrap_or(names).split(separators).filter(|name| !name.is_empty()).take(64) {
            if let Some(value) = self.value_of_macro(name, to) {
                data.extend_from_slice(name.as_bytes());
                data.push(0);
                data.extend(value.bytes().filter(|octet| *octet != 0));
                data.push(0);
            }
        }
        if data.len() > 1 {
            packet::put(out, command::MACROS, &[&data]);
        }
    }

    fn value_of_macro(&self, name: &str, to: Option<&Mailbox>) -> Option<String> {
        let told = self.told;
        let from = told.from.mailbox();
        let host = |mailbox: &Mailbox| mailbox.domain().map(ToString::to_string);
        let bare = name.trim_start_matches('{').trim_end_matches('}');
        Some(match bare {
            "i" => told.id.to_owned(),
            "j" => told.hostname.to_owned(),
            "v" => "postern".to_owned(),
            "daemon_name" => told.listener.to_string(),
            "client_addr" => match told.client {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => address.to_string(),
            },
            "client_name" | "client_ptr" => told.client_name.unwrap_or("unknown").to_owned(),
            "client_port" => told.port.to_string(),
            "_" => format!("{} [{}]", told.client_name.unwrap_or("unknown"), told.client),
            "auth_authen" | "auth_author" => told.account?.to_owned(),
            "auth_type" => told.account.map(|_| "PLAIN".to_owned())?,
            "tls_version" => told.tls?.0.to_owned(),
            "cipher" => told.tls?.1.to_owned(),
            "mail_addr" => from.map(ToString::to_string).unwrap_or_default(),
            "mail_host" => from.and_then(host)?,
            "mail_mailer" | "rcpt_mailer" => "smtp".to_owned(),
            "rcpt_addr" => to?.to_string(),
            "rcpt_host" => host(to?)?,
            "r" => "ESMTP".to_owned(),
            "s" => told.helo.to_owned(),
            "f" => from.map(ToString::to_string).unwrap_or_default(),
            _ => return None,
        })
    }

    /// Takes a reply to what was sent last. True when the next may be sent.
    pub(super) fn take(&mut self, reply: Reply) -> Result<bool, String> {
        use postern_mail::Reply as Said;
        let over = |word, words: &str| Opinion::of(word, words);
        let verdict = match reply {
            Reply::Progress => return Ok(false),
            Reply::Continue => {
                self.advance();
                return Ok(true);
            }
            Reply::Skip if matches!(self.at, At::Body(_)) && self.does_without(step::SKIP) => {
                self.skip();
                return Ok(true);
            }
            Reply::Change(change) => return self.change(change).map(|()| false),
            Reply::Quarantine(why) => {
                if self.at != At::End || self.agreed.actions & action::QUARANTINE == 0 {
                    return Err("it wants a quarantine that was not agreed on".to_owned());
                }
                self.opinion.word = FilterWord::Hold;
                self.opinion.words = bounded(&format!("quarantine: {why}"));
                return Ok(false);
            }
            // At the end it goes with what was changed.
            Reply::Accept => {
                self.at = At::Done;
                return Ok(true);
            }
            Reply::Reject => over(FilterWord::Refuse(Said::refused_by_policy()), "reject"),
            Reply::TempFail => over(FilterWord::Defer(Said::deferred_by_policy()), "tempfail"),
            Reply::Discard => over(FilterWord::Discard, "discard"),
            Reply::Code(text) => self.coded(&text)?,
            Reply::Gone => return Err("it goes away".to_owned()),
            Reply::Skip | Reply::Negotiated { .. } => return Err("it said what does not belong there".to_owned()),
        };
        self.opinion = verdict;
        self.new_body = None;
        self.at = At::Done;
        Ok(true)
    }

    /// `550 5.7.1 text`, or several lines of it.
    fn coded(&self, text: &str) -> Result<Opinion, String> {
        let code = text.get(..3).and_then(|code| code.parse::<u16>().ok()).unwrap_or_default();
        let (mut status, mut lines) = (None, Vec::new());
        for line in text.split(['\r', '\n']).filter(|line| !line.is_empty()).take(10) {
            let rest = line.get(4..).unwrap_or_default();
            match Status::parse_prefix(rest) {
                Some((found, rest)) => {
                    status = Some(found);
                    lines.push(rest.trim());
                }
                None => lines.push(rest.trim()),
            }
        }
        // A filter writes `%` twice, since a library of its puts it through a formatter.
        let said = bounded(&lines.join("\n").replace("%%", "%"));
        let reply = postern_mail::Reply::of_filter(code, status, said);
        let reply = reply.ok_or_else(|| "it wants a reply that refuses nothing".to_owned())?;
        let word = if code < 500 { FilterWord::Defer(reply) } else { FilterWord::Refuse(reply) };
        let whom = match self.at {
            At::Rcpt(number) => self.told.recipients.get(number).map(|to| format!(" of {to}")).unwrap_or_default(),
            _ => String::new(),
        };
        Ok(Opinion::of(word, bounded(&format!("{}{whom}", text.trim()))))
    }

    fn change(&mut self, change: Change) -> Result<(), String> {
        if self.at != At::End || self.agreed.actions & packet::permission(&change) == 0 {
            return Err("it wants a change that was not agreed on".to_owned());
        }
        if let Change::Body(piece) = change {
            let body = self.new_body.get_or_insert_default();
            if body.len() + piece.len() > self.new_body_bytes_max {
                return Err("it wants a larger body than a message may have".to_owned());
            }
            body.extend_from_slice(&piece);
            return Ok(());
        }
        if self.opinion.changes.len() >= CHANGES_MAX {
            return Err("it wants too many changes".to_owned());
        }
        self.opinion.changes.push(change);
        Ok(())
    }

    /// What it came to.
    pub(super) fn opinion(mut self) -> Result<Opinion, String> {
        if let Some(body) = self.new_body.take() {
            let body = clean_body(body).ok_or("it wants a body with a NUL in it")?;
            self.opinion.changes.push(Change::Body(body));
        }
        Ok(self.opinion)
    }
}
