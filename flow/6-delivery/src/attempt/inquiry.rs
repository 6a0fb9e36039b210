//! Asks a host whether it would take a recipient: MAIL and RCPT, and RSET before anything else is sent. Promise: no host gets a message by being asked, and only
//! its own refusal of the recipient is a no; everything else is trouble.

use std::io::Write as _;

use postern_mail::envelope::DsnRequest;
use postern_mail::{ForwardPath, Mailbox, Outcome, ReversePath, Scope};
use postern_smtp::command::{Command, Mail, Rcpt};
use postern_smtp::reply_lines::ReceivedReply;

use super::{Delivery, Key};
use crate::chosen::choose;
use crate::classify::{self, Failure, Stage};
use crate::connect;
use crate::connection::Connection;
use crate::dialogue::{Trouble, text};
use crate::next_hop::NextHop;

/// What a host says of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// It takes mail for it.
    Taken,
    /// It does not, and says so for good: its words.
    Refused(String),
    /// It could not say, for this recipient and now: its words.
    NotNow(String),
    /// There was no answer to be had, whoever was asked about.
    Trouble(String),
}

impl Delivery {
    /// Asks the hosts of `hop`, the first that answers, whether they take mail for `to`. As long as the timeouts allow: the caller's patience may be
    /// shorter.
    pub async fn ask(&self, hop: &NextHop, to: &Mailbox) -> Inquiry {
        let endpoints = match connect::endpoints(hop, &self.settings) {
            Ok(endpoints) => endpoints,
            Err(outcome) => return Inquiry::Trouble(outcome.evidence().text.to_string()),
        };
        let mut trouble = "there is no host".to_owned();
        let mut sessions = Vec::new();
        let (chosen, _) = choose(endpoints, &hop.tls, false, &mut sessions);
        for host in &chosen {
            let key = Key::of(hop, host);
            if let Some(mut connection) = self.take_kept(&key).await {
                match self.inquire(&mut connection, to).await {
                    Ok(inquiry) => {
                        self.keep(key, connection).await;
                        return inquiry;
                    }
                    // It died while it was kept.
                    Err(_) => self.count(|counters| &counters.found_dead),
                }
            }
            match self.open_as_allowed(hop, host, &mut sessions).await {
                Ok(mut connection) => match self.inquire(&mut connection, to).await {
                    Ok(inquiry) => {
                        self.keep(key, connection).await;
                        return inquiry;
                    }
                    Err(why) => trouble = words(&why, &connection.by),
                },
                Err(why) => trouble = words(&why, &host.by()),
            }
        }
        Inquiry::Trouble(trouble)
    }

    async fn inquire(&self, connection: &mut Connection, to: &Mailbox) -> Result<Inquiry, Trouble> {
        let offered = &connection.peer.offered;
        let smtputf8 = to.local.needs_utf8();
        if smtputf8 && !offered.smtputf8 {
            return Ok(Inquiry::Refused("the address needs SMTPUTF8 and the host does not offer it".to_owned()));
        }
        let authenticated = connection.peer.authenticated;
        let reset = std::mem::replace(&mut connection.dirty, true);
        if reset {
            self.command(connection, Stage::Mail, &Command::Rset).await?;
        }
        // RFC 5321 §4.5.5: without a sender, so that nothing that comes of it can come back.
        let mail = Mail {
            from: ReversePath::Null,
            size: None,
            body: None,
            smtputf8,
            require_tls: false,
            ret: None,
            envid: None,
            auth_given: authenticated,
        };
        let reply = self.command(connection, Stage::Mail, &Command::Mail(Box::new(mail))).await?;
        if !reply.code.is_positive() {
            return Err(Trouble::Reply(Stage::Mail, reply));
        }
        let rcpt = Rcpt { to: ForwardPath::Mailbox(to.clone()), dsn: DsnRequest::default() };
        let reply = self.command(connection, Stage::Rcpt, &Command::Rcpt(Box::new(rcpt))).await?;
        let said = text(&reply);
        let inquiry = match reply.code {
            code if code.0 == 421 => return Err(Trouble::Reply(Stage::Rcpt, reply)),
            code if code.is_positive() => Inquiry::Taken,
            code if code.is_permanent() => match refusal(&reply, &connection.by, said) {
                Some(inquiry) => inquiry,
                None => return Err(Trouble::Reply(Stage::Rcpt, reply)),
            },
            code if code.is_transient() => Inquiry::NotNow(said),
            code => return Err(Trouble::Failure(Stage::Rcpt, Failure::OutOfPlace(code))),
        };
        // The answer is known, and nobody waits longer for it: whoever uses the connection next begins with RSET.
        connection.messages_left = connection.messages_left.saturating_sub(1);
        Ok(inquiry)
    }

    async fn command(&self, connection: &mut Connection, stage: Stage, command: &Command<'_>) -> Result<ReceivedReply, Trouble> {
        let timeouts = &self.settings.timeouts;
        // Writing to a vector cannot fail.
        let _ = write!(connection.wire.out, "{command}\r\n");
        let failed = |failure| Trouble::Failure(stage, failure);
        connection.wire.flush(timeouts.data_piece).await.map_err(failed)?;
        connection.wire.reply(timeouts.of(stage)).await.map_err(failed)
    }
}

/// What a 5yz to RCPT says of the recipient; `None`: it is about us or about all mail, as many hosts say there all that they have against a client.
fn refusal(reply: &ReceivedReply, by: &str, said: String) -> Option<Inquiry> {
    // RFC 4954 §6: 530 is about us.
    let outcome = classify::of_reply(Stage::Rcpt, reply.code, reply.status, by, &said);
    let status = match outcome {
        Outcome::Bounced { scope: Scope::Recipient, status, .. } if reply.code.0 != 530 => status,
        Outcome::Deferred { scope: Scope::Recipient, .. } => return Some(Inquiry::NotNow(said)),
        _ => return None,
    };
    // RFC 3463 §3.2: of the address. Some large hosts say 5.4.1 for that. What has no code is read by its reply. All else (full, forbidden, policy) leaves
    // open whether there is somebody.
    Some(match (status.subject, status.detail) {
        (1, _) | (4, 1) => Inquiry::Refused(said),
        // RFC 5321 §4.2.2: a 554 is a failure of anything.
        (0, _) if reply.code.0 != 554 => Inquiry::Refused(said),
        _ => Inquiry::NotNow(said),
    })
}

fn words(trouble: &Trouble, by: &str) -> String {
    let outcome = trouble.outcome(by);
    let evidence = outcome.evidence();
    format!("{}: {}", evidence.by, evidence.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_mail::{ReplyCode, Status};

    #[test]
    fn only_what_is_said_of_the_address_means_that_nobody_is_there() {
        let said = |code, status: Option<(u8, u16, u16)>| {
            let status = status.map(|(class, subject, detail)| Status::new(class, subject, detail));
            let reply = ReceivedReply { code: ReplyCode(code), status, lines: Vec::new() };
            match refusal(&reply, "", String::new()) {
                Some(Inquiry::Refused(_)) => "refused",
                Some(Inquiry::NotNow(_)) => "not now",
                _ => "trouble",
            }
        };
        for (code, status) in [(550, None), (550, Some((5, 1, 1))), (550, Some((5, 4, 1))), (556, None), (550, Some((5, 1, 10)))]
        {
            assert_eq!(said(code, status), "refused", "{code} {status:?}");
        }
        for (code, status) in [(554, Some((5, 7, 1))), (550, Some((5, 7, 1))), (552, Some((5, 2, 2))), (552, None), (554, None)] {
            assert_eq!(said(code, status), "not now", "{code} {status:?}");
        }
        for (code, status) in [(530, Some((5, 7, 0))), (530, None), (550, Some((5, 7, 25))), (550, Some((5, 1, 8)))] {
            assert_eq!(said(code, status), "trouble", "{code} {status:?}");
        }
    }
}
