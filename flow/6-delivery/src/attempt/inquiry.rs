//! Asks a host whether it would take a recipient: MAIL, RCPT, and RSET before anything is sent. Promise: no host gets a message by being asked, and only
//! its own refusal of the recipient is a no; everything else is trouble.

use std::io::Write as _;

use postern_mail::envelope::DsnRequest;
use postern_mail::{ForwardPath, Mailbox, ReversePath};
use postern_smtp::command::{Command, Mail, Rcpt};
use postern_smtp::reply_lines::ReceivedReply;

use super::{Delivery, Key};
use crate::chosen::choose;
use crate::classify::{Failure, Stage};
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
            code if code.is_permanent() => Inquiry::Refused(said),
            code if code.is_transient() => Inquiry::NotNow(said),
            code => return Err(Trouble::Failure(Stage::Rcpt, Failure::OutOfPlace(code))),
        };
        // Without it the connection is as good for the next message: that one begins with RSET.
        if let Ok(reply) = self.command(connection, Stage::Mail, &Command::Rset).await {
            connection.dirty = !reply.code.is_positive();
        } else {
            connection.messages_left = 1;
        }
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

fn words(trouble: &Trouble, by: &str) -> String {
    let outcome = trouble.outcome(by);
    let evidence = outcome.evidence();
    format!("{}: {}", evidence.by, evidence.text)
}
