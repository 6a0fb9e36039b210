//! Local lists of the running server: what is read at the start and at a reload, and the task that looks at the files for a change. Promise: lists that
//! are in force are only ever replaced by whole ones, and what is wrong with a file is told once; whoever
//! is turned away by one costs less than it costs him.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use postern_config::Config;
use postern_listener::Door;
use postern_mail::Verdict;
use postern_mail::client::ListenerKind;
use postern_mail::envelope::UnixMillis;
use postern_mail::event::Event;
use postern_mail::fact::ClientFacts;
use postern_mail::netset::Action;
use postern_policy::{ConnectFacts, Stage, explain};
use postern_state::{FileSettings, Files, ListSettings, Looks};
use tokio::sync::watch;

use crate::wire::{Server, clock, live, stopped};

/// The files a configuration names.
#[must_use]
pub(crate) fn settings(config: &Config) -> FileSettings {
    let policy = &config.policy;
    FileSettings {
        lists: policy
            .lists
            .iter()
            .map(|list| ListSettings {
                file: list.file.0.clone(),
                format: list.format,
                of: list.of,
                action: list.default_action(),
                mode: list.mode,
                listeners: list.listeners.clone(),
            })
            .collect(),
        asns: policy.asn_file.clone(),
        countries: policy.country_file.clone(),
        entries_max: live::number(policy.list_entries_max),
    }
}

/// Reads what can be read at the start, and says what is wrong with the rest: without this start there would be no list at all, and no mail.
pub(crate) fn at_start(config: &Config) -> Files {
    let (files, wrong) = Files::read_what_can_be(settings(config));
    for line in wrong.iter().flat_map(|why| why.lines()) {
        tracing::error!("running without a list until it is mended: {line}");
    }
    warn(&files);
    files
}

/// Reads all files of a new configuration beside those in force.
///
/// # Errors
/// Everything that is wrong, a line each.
pub(crate) fn read(server: &Server, config: &Config) -> Result<Files, String> {
    let files = server.lists.read(settings(config))?;
    warn(&files);
    Ok(files)
}

/// What can never be found.
fn warn(files: &Files) {
    for sentence in files.blind_spots() {
        tracing::warn!("{sentence}");
    }
}

/// What the policy in force makes of what lists say. Not the one the session began with: a reload that brings a wide list brings what spares our own
/// as well, and both hold at once.
pub(crate) fn judged(server: &Server, facts: &ConnectFacts<'_>) -> Verdict {
    let verdict = server.live.load().policy.connect(facts);
    if verdict.reply().is_some() {
        server.metrics.turned_away("listed");
    }
    verdict
}

/// True when a list lets a client in by its address.
pub(crate) fn allows(server: &Server, client: &ClientFacts) -> bool {
    let listed = server.lists.listed(client.address, client.listener, clock());
    listed.iter().any(|listed| !listed.observed && listed.action == Action::Allow)
}

/// True when a client that is turned away is to be written down: the first of its network and its entries within a minute. All are counted, and
/// `postern list test` explains the others.
pub(crate) fn is_told(server: &Server, facts: &ConnectFacts<'_>) -> bool {
    server.lists.is_news(clock(), facts.client.address, facts.listed)
}

/// Where a client is refused for what lists say of its address now, in words.
pub(crate) fn refusals(server: &Server, now: UnixMillis, address: IpAddr) -> Vec<String> {
    let policy = &server.live.load().policy;
    let refused_on = |listener| {
        let client = ClientFacts { address, port: 0, listener };
        let listed = server.lists.listed(address, listener, now);
        let verdict = policy.connect(&ConnectFacts { client: &client, listed: &listed });
        let reply = verdict.reply()?;
        reply.is_refusal().then(|| format!("on {listener}: {}", explain::explain(Stage::Connect, &verdict)))
    };
    [ListenerKind::Mx, ListenerKind::Submission, ListenerKind::Submissions].into_iter().filter_map(refused_on).collect()
}

/// Whoever is listed is not given a TLS handshake first, which costs more than all the rest, to be told in it to go away.
pub(crate) fn door(server: &Server, client: &ClientFacts) -> Door {
    if client.listener != ListenerKind::Submissions {
        return Door::Open;
    }
    let listed = server.lists.listed(client.address, client.listener, clock());
    let facts = ConnectFacts { client, listed: &listed };
    if listed.is_empty() {
        return Door::Open;
    }
    let verdict = judged(server, &facts);
    let Some(reply) = verdict.reply() else { return Door::Open };
    if is_told(server, &facts) {
        server.emit(Event::Refused {
            at: "CONNECT",
            reply: reply.clone(),
            because: explain::explain(Stage::Connect, &verdict),
            client: client.address,
            listener: client.listener,
            address: None,
        });
    }
    Door::Shut(None)
}

/// A file that was seen to change is looked at again after this long, if not sooner.
const SETTLING: Duration = Duration::from_secs(2);

/// Takes up files that change while the server runs.
pub(crate) async fn watch(server: Arc<Server>, mut stopping: watch::Receiver<bool>) {
    let (mut looks, mut unsettled) = (Looks::default(), false);
    loop {
        let interval = server.live.load().config.policy.lists_check_interval;
        let wait = if unsettled { interval.min(SETTLING) } else { interval };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            // Another interval may hold from now on.
            () = server.lists.replaced() => continue,
            () = stopped(&mut stopping) => return,
        }
        let lists = Arc::clone(&server.lists);
        let looked = tokio::task::spawn_blocking(move || {
            let renewed = lists.renew(&mut looks);
            (looks, renewed)
        });
        let renewed;
        (looks, renewed) = looked.await.unwrap_or_default();
        unsettled = renewed.unsettled;
        for sentence in renewed.taken {
            tracing::info!("list taken up: {sentence}");
        }
        for line in renewed.wrong.iter().flat_map(|why| why.lines()) {
            tracing::error!("a changed list is not taken: {line}");
        }
    }
}
