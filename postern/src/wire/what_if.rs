//! What would be decided about mail that nobody has sent: lists, senders and links are looked up as they would be for it. Promise: nothing is counted, kept or
//! held against anybody, and what the server's own resolver says is what rules are given.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_mail::message::headers::Headers;
use postern_mail::{Envelope, HeloName, Mailbox};

use crate::control::Answer;
use crate::control::bans::BanOrder;
use crate::explained::{self, Explained, Looked, WhatIf};
use crate::offline;
use crate::wire::examine::{self, About};
use crate::wire::{Server, account_facts, bans, clock, dnsbl, live, suppression};

/// The answer to an order.
pub(crate) async fn carry_out(server: &Arc<Server>, asked: Box<WhatIf>) -> Answer {
    let bans = bans::carry_out(server, BanOrder::Explain { what: asked.ip.clone() }).await;
    let looked = match looked_up(server, &asked).await {
        Ok(looked) => looked,
        Err(error) => return Answer::Failed { exit: 2, error },
    };
    let server = Arc::clone(server);
    // It reads files.
    let answered = tokio::task::spawn_blocking(move || judge(&server, &asked, &looked)).await;
    match answered.map_err(|error| error.to_string()).flatten() {
        Ok(explained) => Answer::Explained(Box::new(explained::with_bans(explained, &bans))),
        Err(error) => Answer::Failed { exit: 2, error },
    }
}

async fn looked_up(server: &Server, asked: &WhatIf) -> Result<Looked, String> {
    let live = server.live.load_full();
    let (client, from) = explained::client_and_sender(asked)?;
    let account = asked.account.as_deref().map(Into::into).or_else(|| live.policy.network_account(client.address));
    if let Some(account) = &account {
        let said = |to: &String| {
            Some((to.clone(), suppression::about(server, &Mailbox::parse(to.trim_matches(['<', '>'])).ok()?, account)?))
        };
        return Ok(Looked { suppressed: asked.to.iter().filter_map(said).collect(), ..Looked::default() });
    }
    let helo = asked.helo.as_deref().map(HeloName::parse).transpose().map_err(|fault| format!("--helo: {fault}"))?;
    let sender = dnsbl::would_say(server, &live, &client, helo.as_ref(), &from).await;
    let Some(message) = &asked.message else { return Ok(Looked { sender, ..Looked::default() }) };
    let message = STANDARD.decode(message).map_err(|error| format!("the message: {error}"))?;
    let headers = Headers::parse(asked.header.as_deref().unwrap_or_default().as_bytes());
    let envelope = Envelope { client: Some(client.address), ..Envelope::plain(from, Vec::new()) };
    // A client that does not say who it is would not get this far: its address is a name that lists and records know nothing of.
    let helo = helo.map_or_else(|| format!("[{}]", client.address), |helo| helo.to_string());
    let about = About { client: &client, envelope: &envelope, helo: &helo, headers: &headers };
    let found = if examine::is_looked_at(&live, &client, &envelope) {
        let _room = live.memory.room(message.len() as u64).await.map_err(|outage| outage.to_string())?;
        examine::look(server, &live, about, &message).await.0
    } else {
        postern_policy::facts::Found::default()
    };
    Ok(Looked { sender, message: found, suppressed: Vec::new() })
}

/// By the configuration that is named, or else by the one in force. Accounts, lists and bans are the ones in force.
fn judge(server: &Server, asked: &WhatIf, looked: &Looked) -> Result<Explained, String> {
    let live = server.live.load_full();
    let named = asked.config.as_ref().map(|(name, text)| offline::configuration(name, text).map(|config| (name, config)));
    let (config, by) = match named.transpose()? {
        None => (None, "the configuration in force".to_owned()),
        Some((name, config)) => match postern_config::diff(&live.config, &config).len() {
            0 => (None, format!("{name}, as it is in force")),
            changes => (Some(config), format!("{name}, which has {changes} settings other than the configuration in force")),
        },
    };
    let policy = config.as_ref().map(live::policy);
    let explained = explained::what_if(
        config.as_ref().unwrap_or(&live.config),
        policy.as_ref().unwrap_or(&live.policy),
        |account| account_facts(&server.accounts, account),
        |client, names| match names {
            None => server.lists.listed(client.address, client.listener, clock()),
            Some(names) => server.lists.named(names, client.listener, clock()),
        },
        (asked, looked),
    )?;
    // To a filter of others each message is one that has come: it would learn from it, or keep it.
    let asks_none = asked.message.is_some() && config.as_ref().unwrap_or(&live.config).policy.has_filters();
    let by = if asks_none { format!("{by}; filters are not asked, only about mail that has come") } else { by };
    Ok(Explained { by: Some(by), ..explained })
}
