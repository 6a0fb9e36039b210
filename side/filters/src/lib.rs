//! Filters of others: milters, rspamd over HTTP, ClamAV by socket.
//!
//! Promise: a filter can refuse, hold or change a message and nothing else. One that is down, slow, or lies in any octet is a filter that
//! could not be asked ([`FilterWord::Down`]), within its time and in bounded memory; and one that was down again and again is not waited for.
//!
//! Exposure: talks to programs the operator chose, about messages of strangers, which those programs read with parsers of their own. What
//! they answer is believed as far as its form goes, and no further.

mod breaker;
mod changes;
mod clamav;
mod connect;
mod http;
mod milter;
mod rspamd;
mod set;

use std::net::IpAddr;

use postern_mail::client::ListenerKind;
use postern_mail::filter::FilterWord;
use postern_mail::{Mailbox, ReversePath};

pub use changes::{Change, apply};
pub use set::{Came, Filters, Settings};

/// Everything there is to tell a filter of a message.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What this server is called.
    pub hostname: &'a str,
    /// The message's name here.
    pub id: &'a str,
    /// The client.
    pub client: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its name, where one was found that leads back to it.
    pub client_name: Option<&'a str>,
    /// On which kind of listener it came.
    pub listener: ListenerKind,
    /// What it called itself.
    pub helo: &'a str,
    /// The version and cipher suite of TLS.
    pub tls: Option<(&'a str, &'a str)>,
    /// The account it authenticated for.
    pub account: Option<&'a str>,
    /// MAIL FROM.
    pub from: &'a ReversePath,
    /// The admitted recipients, as they were named.
    pub recipients: &'a [Mailbox],
    /// The message as it came: without the fields that this server adds.
    pub message: &'a [u8],
}

/// What a filter said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opinion {
    pub(crate) word: FilterWord,
    /// Its reason.
    pub(crate) words: String,
    /// What it wants changed, in its order.
    pub(crate) changes: Vec<Change>,
}

impl Opinion {
    pub(crate) fn of(word: FilterWord, words: impl Into<String>) -> Self {
        Self { word, words: words.into(), changes: Vec::new() }
    }
}
