//! Which way a recipient goes: from the configuration to a [`Destination`], and from there, with DNS, to hosts.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use postern_config::{Config, Credentials as ConfiguredCredentials, Deliver, LmtpAddress, Password, Resolution, Target};
use postern_delivery::{Credentials, HostAddresses, HostTls, NextHop, Place, Protocol, Template, TlsPolicy, Webhook};
use postern_lookup::{Exchange, LookupFailure, MxAnswer, Resolver, shuffle_equals};
use postern_mail::attempt::{Destination, Ticket};
use postern_mail::outcome::{Evidence, Outcome};
use postern_mail::return_token::ReturnToken;
use postern_mail::{Domain, Envelope, Host, Mailbox, MessageId, Recipient, Scope, Secret, Status};

use crate::wire::admit;
use crate::wire::report::seed;
use crate::wire::sts::Policies;
use crate::wire::{Live, outward};

/// Octets of a secret that signs.
const SIGNING_SECRET_MIN: usize = 16;

/// Where a destination's mail is put.
pub(crate) enum Way {
    /// Into Maildirs.
    Maildir(Template),
    /// Nowhere.
    Discard,
    /// To an application.
    Webhook(Webhook),
    /// Over a connection.
    Hop(NextHop),
}

/// Replaces recipients of ours by who they are in the end, each once. An alias of an admitted recipient is admitted with it.
/// Gives them as they were, where that changes any. RFC 5321 §3.9.1: the sender and the message stay as they are. RFC 5321 §3.9 TODO: lists, which put their own sender in its place.
pub(crate) fn expand_aliases(envelope: &mut Envelope, config: &Config) -> Option<Vec<Recipient>> {
    // A sender that mail left with is nobody's mailbox, whatever the domain makes of names that it does not know.
    let resolve = |address: &Mailbox| config.resolve(address).filter(|_| ReturnToken::of(address).is_none());
    let hosted_unchanged = |address: &Mailbox| match resolve(address) {
        Some(Resolution::Deliver(own)) => own == *address,
        Some(_) => false,
        None => true,
    };
    if envelope.recipients.iter().all(|recipient| hosted_unchanged(recipient.address())) {
        return None;
    }
    let mut seen = HashSet::new();
    let mut expanded = Vec::with_capacity(envelope.recipients.len());
    for recipient in &envelope.recipients {
        let targets = match resolve(recipient.address()) {
            Some(Resolution::Deliver(own)) => vec![own],
            Some(Resolution::Alias(targets)) => targets,
            Some(Resolution::Unknown | Resolution::Unavailable) | None => vec![recipient.address().clone()],
        };
        for target in targets {
            if seen.insert(target.clone()) {
                expanded.push(if target == *recipient.address() {
                    recipient.clone()
                } else {
                    recipient.redirected_by_alias(target)
                });
            }
        }
    }
    Some(std::mem::replace(&mut envelope.recipients, expanded))
}

/// The lane of a recipient.
#[must_use]
pub(crate) fn destination(config: &Config, mailbox: &Mailbox) -> Destination {
    destination_of_host(config, &mailbox.host)
}

/// The lane of everything at a host.
#[must_use]
pub(crate) fn destination_of_host(config: &Config, host: &Host) -> Destination {
    if let Some(domain) = host.name().and_then(|name| config.domain(name)) {
        return Destination::Hosted(domain.name.clone());
    }
    if let Some(route) = config.route_for(host) {
        return Destination::Route { host: route.host.to_string().into(), port: route.port };
    }
    match host {
        Host::Name(domain) => Destination::Mx(domain.clone()),
        Host::Literal(address) => Destination::Literal(*address),
    }
}

/// One ticket for each lane that has a recipient for whom `open` holds.
pub(crate) fn tickets<'a>(
    config: &Config,
    id: MessageId,
    envelope: &Envelope,
    open: impl Iterator<Item = &'a Mailbox>,
    (due, attempts): (postern_mail::envelope::UnixMillis, u16),
) -> Vec<Ticket> {
    let mut tickets: Vec<Ticket> = Vec::with_capacity(1);
    for mailbox in open {
        let destination = destination(config, mailbox);
        if tickets.iter().all(|ticket| ticket.destination != destination) {
            tickets.push(Ticket {
                id,
                destination,
                account: envelope.account.clone(),
                received: envelope.received,
                due,
                attempts,
                is_bulk: admit::is_bulk(config, envelope.account.as_deref()),
            });
        }
    }
    tickets
}

fn deferred(status: Status, what: &str) -> Outcome {
    let evidence = Evidence { by: "".into(), text: what.into() };
    Outcome::Deferred { scope: Scope::Destination, status, evidence }
}

fn bounced(status: Status, what: &str) -> Outcome {
    let evidence = Evidence { by: "".into(), text: what.into() };
    Outcome::Bounced { scope: Scope::Destination, status, evidence }
}

/// RFC 3463 §3.2 (X.1.2), §3.5 (X.4.3, X.4.4): a domain that does not exist is bad for good, silence is not.
fn lookup_failed(failure: &LookupFailure) -> Outcome {
    let words = failure.to_string();
    match failure {
        LookupFailure::NoSuchDomain => bounced(Status::new(5, 1, 2), &words),
        LookupFailure::NoMail => bounced(Status::new(5, 4, 4), &words),
        LookupFailure::Temporary(_) => deferred(Status::new(4, 4, 3), &words),
    }
}

/// A secret in a file. It is our configuration that is wrong where there is none, so nobody's mail bounces for it.
fn first_line(path: &Path) -> Result<Secret, Outcome> {
    let text = std::fs::read(path)
        .map_err(|error| deferred(Status::new(4, 3, 5), &format!("the password file {}: {error}", path.display())))?;
    Ok(Secret::new(text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end().to_vec()))
}

fn signing_secret(path: &Path) -> Result<Secret, Outcome> {
    let secret = first_line(path)?;
    if secret.expose().len() < SIGNING_SECRET_MIN {
        let what = format!("{}: a secret of less than {SIGNING_SECRET_MIN} octets could be guessed", path.display());
        return Err(deferred(Status::new(4, 3, 5), &what));
    }
    Ok(secret)
}

fn credentials(configured: Option<&ConfiguredCredentials>) -> Result<Option<Arc<Credentials>>, Outcome> {
    let Some(configured) = configured else { return Ok(None) };
    let password = match &configured.password {
        Password::Given(secret) => secret.clone(),
        Password::File(path) => first_line(path)?,
    };
    Ok(Some(Arc::new(Credentials { user: configured.user.as_str().into(), password })))
}

async fn target_hosts(resolver: &Resolver, target: &Target, port: u16) -> Result<Place, Outcome> {
    let addresses: Vec<IpAddr> = match target {
        Target::Address(address) => vec![*address],
        Target::Name(name) => resolver.addresses(name).await.map_err(|failure| match failure {
            // The host is of our own configuration: a mistake there must not bounce anybody's mail.
            LookupFailure::NoSuchDomain | LookupFailure::NoMail => deferred(Status::new(4, 4, 4), &format!("{name}: {failure}")),
            LookupFailure::Temporary(_) => lookup_failed(&failure),
        })?,
    };
    Ok(Place::Hosts(vec![HostAddresses {
        name: target.to_string().into(),
        addresses,
        port,
        preference: 0,
        tls: HostTls::NOTHING,
    }]))
}

async fn exchangers(live: &Live, sts: &Policies, domain: &Domain) -> Result<Place, Outcome> {
    let (config, resolver) = (&live.config, &live.resolver);
    match resolver.exchangers(domain).await.map_err(|failure| lookup_failed(&failure))? {
        MxAnswer::NullMx => Ok(Place::NullMx),
        MxAnswer::Exchangers { mut exchangers, implicit, secure } => {
            // A domain that is its own exchanger is who it is.
            let secure = secure || implicit;
            shuffle_equals(&mut exchangers, seed());
            let demands = outward::demands(live, sts, domain, (&exchangers, secure)).await;
            let host = |(exchange, tls): (Exchange, HostTls)| HostAddresses {
                name: exchange.name.as_str().into(),
                addresses: exchange.addresses,
                port: config.outbound.port,
                preference: exchange.preference,
                tls,
            };
            Ok(Place::Hosts(exchangers.into_iter().zip(demands).map(host).collect()))
        }
    }
}

/// The way of a destination, as configuration and DNS have it now.
///
/// # Errors
/// What becomes of its recipients when there is none.
pub(crate) async fn way(live: &Live, sts: &Policies, destination: &Destination) -> Result<Way, Outcome> {
    let (config, resolver) = (&live.config, &live.resolver);
    let hop = match destination {
        Destination::Hosted(name) => {
            let Some(domain) = config.domain(name) else {
                return Err(deferred(Status::new(4, 3, 5), "the domain is not hosted here any more"));
            };
            match &domain.deliver {
                Deliver::Maildir { path } => {
                    let template = Template::parse(path, Path::new(&config.server.data_dir))
                        .map_err(|fault| deferred(Status::new(4, 3, 5), &fault.to_string()))?;
                    return Ok(Way::Maildir(template));
                }
                Deliver::Discard => return Ok(Way::Discard),
                Deliver::Webhook { url, secret_file } => {
                    return Ok(Way::Webhook(Webhook {
                        place: target_hosts(resolver, &url.host, url.port).await?,
                        tls: url.tls,
                        authority: url.authority().into(),
                        path: url.path.as_str().into(),
                        secret: signing_secret(secret_file)?,
                    }));
                }
                Deliver::Lmtp { address: LmtpAddress::Unix(path) } => NextHop {
                    place: Place::Unix(path.clone()),
                    protocol: Protocol::Lmtp,
                    tls: TlsPolicy::None,
                    credentials: None,
                },
                Deliver::Lmtp { address: LmtpAddress::Tcp { host, port } } => NextHop {
                    place: target_hosts(resolver, host, *port).await?,
                    protocol: Protocol::Lmtp,
                    tls: TlsPolicy::None,
                    credentials: None,
                },
                Deliver::Relay { host, port, tls: mode, credentials: login } => NextHop {
                    place: target_hosts(resolver, host, *port).await?,
                    protocol: Protocol::Smtp,
                    tls: (*mode).into(),
                    credentials: credentials(login.as_ref())?,
                },
            }
        }
        Destination::Route { host, port } => {
            let Some(route) = config.routes.iter().find(|route| route.port == *port && route.host.to_string() == **host) else {
                return Err(deferred(Status::new(4, 3, 5), "the route is not in the configuration any more"));
            };
            NextHop {
                place: target_hosts(resolver, &route.host, route.port).await?,
                protocol: Protocol::Smtp,
                tls: route.tls.into(),
                credentials: credentials(route.credentials.as_ref())?,
            }
        }
        Destination::Mx(_) | Destination::Literal(_) if !config.outbound.enabled => {
            return Err(bounced(Status::new(5, 7, 1), "mail does not leave this server: outbound.enabled is false"));
        }
        Destination::Mx(domain) => NextHop {
            place: exchangers(live, sts, domain).await?,
            protocol: Protocol::Smtp,
            tls: config.outbound.tls.into(),
            credentials: None,
        },
        Destination::Literal(address) => NextHop {
            place: target_hosts(resolver, &Target::Address(*address), config.outbound.port).await?,
            protocol: Protocol::Smtp,
            tls: config.outbound.tls.into(),
            credentials: None,
        },
    };
    Ok(Way::Hop(hop))
}
