//! Names of a message that local lists are asked for: what the client calls itself and who sends at MAIL, a recipient at RCPT, and at its end the
//! client's name, the authors and the links. Promise: where no list has names nothing is put together; a client that a list allows is not asked about
//! by its own names; and a name that a client could have made up for its address speaks against it, never for it.

use postern_inspect::{Inspection, Link, LinkHost};
use postern_mail::authenticity::{AuthResult, Authenticity};
use postern_mail::fact::ClientFacts;
use postern_mail::message::headers::Headers;
use postern_mail::netset::{Action, AskedName, Listed, NameKind};
use postern_mail::{Domain, HeloName, Mailbox, ReversePath};

use crate::wire::{Server, clock, lists};

/// Authors that are asked about.
const AUTHORS_MAX: usize = 8;

fn ask(server: &Server, client: &ClientFacts, asked: &[AskedName]) -> Vec<Listed> {
    server.lists.named(asked, client.listener, clock())
}

/// What is asked for at MAIL.
#[must_use]
pub(crate) fn asked_of_sender(helo: Option<&HeloName>, from: &ReversePath) -> Vec<AskedName> {
    let sender = from.mailbox().map(|mailbox| AskedName::address(NameKind::Sender, mailbox));
    helo.map(AskedName::helo).into_iter().chain(sender).collect()
}

/// At MAIL.
pub(crate) fn of_sender(server: &Server, client: &ClientFacts, helo: Option<&HeloName>, from: &ReversePath) -> Vec<Listed> {
    if !server.lists.have_names() {
        return Vec::new();
    }
    let helo = helo.filter(|_| !lists::allows(server, client));
    ask(server, client, &asked_of_sender(helo, from))
}

/// At RCPT.
pub(crate) fn of_recipient(server: &Server, client: &ClientFacts, to: &Mailbox) -> Vec<Listed> {
    if !server.lists.have_names() {
        return Vec::new();
    }
    ask(server, client, &[AskedName::address(NameKind::Recipient, to)])
}

/// At the end of the message.
pub(crate) fn of_message(
    server: &Server,
    client: &ClientFacts,
    headers: &Headers,
    (inspection, authenticity): (Option<&Inspection>, Option<&Authenticity>),
) -> Vec<Listed> {
    if !server.lists.have_names() {
        return Vec::new();
    }
    let mut listed = of_client(server, client, authenticity);
    let authors = asked_of_authors(headers);
    let links = inspection.into_iter().flat_map(|inspection| &inspection.links).filter_map(link);
    listed.extend(ask(server, client, &authors.into_iter().chain(links).collect::<Vec<_>>()));
    listed
}

/// Whoever runs an address gives it any name. One that does not have this address in return may be another's.
fn of_client(server: &Server, client: &ClientFacts, authenticity: Option<&Authenticity>) -> Vec<Listed> {
    let iprev = authenticity.and_then(|found| found.iprev.as_ref());
    let Some((iprev, name)) = iprev.and_then(|iprev| Some((iprev, Domain::parse(iprev.name.as_str()).ok()?))) else {
        return Vec::new();
    };
    if lists::allows(server, client) {
        return Vec::new();
    }
    let mut listed = ask(server, client, &[AskedName::ptr(&name)]);
    if iprev.result != AuthResult::Pass {
        listed.retain(|listed| !matches!(listed.action, Action::Allow | Action::Exempt | Action::Score(..=0)));
    }
    listed
}

/// The addresses of From.
#[must_use]
pub(crate) fn asked_of_authors(headers: &Headers) -> Vec<AskedName> {
    let authors = headers.addresses_in("From");
    authors.iter().take(AUTHORS_MAX).map(|author| AskedName::address(NameKind::From, author)).collect()
}

fn link(link: &Link) -> Option<AskedName> {
    let host = match &link.host {
        LinkHost::Name(name) => name.to_string(),
        LinkHost::Address(address) => address.to_string(),
        LinkHost::Invalid => return None,
    };
    Some(AskedName::link(&host, link.registered.as_ref(), &link.url))
}
